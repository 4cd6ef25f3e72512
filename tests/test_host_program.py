"""Results do not depend on a program's default device, default dtype, autocast or threads."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from networks import build_gpen

import gpen_core as gpen
from gpen_core.align import align
from gpen_core.arch import precision
from gpen_core.checkpoints.tensor_files import read_tensor_file
from gpen_core.select import select_faces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

BF16 = torch.autocast("cpu", torch.bfloat16)


@pytest.fixture
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def photograph(astronaut: torch.Tensor) -> torch.Tensor:
    return astronaut[:, :, :256, 96:352].contiguous()


@pytest.fixture(scope="module")
def faces(photograph: torch.Tensor) -> gpen.Faces:
    return gpen.detect(gpen.load_detector("mtcnn", device="cpu"), photograph)


@pytest.fixture(scope="module")
def expected(photograph: torch.Tensor, faces: gpen.Faces) -> tuple[torch.Tensor, torch.Tensor]:
    return run_every_verb(photograph, faces)


def run_every_verb(image: torch.Tensor, faces: gpen.Faces) -> tuple[torch.Tensor, torch.Tensor]:
    """Restore and degrade an image with every public function that takes part in it."""
    model = gpen.load_gpen(device="cpu")
    chosen = faces[select_faces(faces).kept][faces.scores > 0][0:1]
    assert len(gpen.Faces.empty((1, 8, 8))) == 0
    crops = gpen.restore(model, align(image, chosen, size=256))
    pasted = gpen.paste(image, crops, limit=torch.ones_like(image[:, :1]))
    larger = gpen.paste(
        image, crops, background=image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    assert larger.image.shape[-1] == 2 * image.shape[-1]
    return pasted.image, gpen.degrade(image, seed=3)


def assert_same(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "around", [torch.device("meta"), BF16, nullcontext()], ids=["meta", "bfloat16", "nothing"]
)
def test_default_device_and_autocast_change_nothing(
    photograph: torch.Tensor,
    faces: gpen.Faces,
    expected: tuple[torch.Tensor, torch.Tensor],
    around: AbstractContextManager[object],
) -> None:
    with around:
        found = run_every_verb(photograph, faces)
    assert_same(found, expected)


@pytest.mark.usefixtures("float64_by_default")
def test_the_default_dtype_changes_nothing(
    photograph: torch.Tensor,
    faces: gpen.Faces,
    expected: tuple[torch.Tensor, torch.Tensor],
    tmp_path: Path,
) -> None:
    assert_same(run_every_verb(photograph, faces), expected)
    found = gpen.detect(gpen.load_detector("mtcnn", device="cpu"), photograph)
    assert torch.equal(found.landmarks, faces.landmarks)
    gpen.write_image(tmp_path / "a.png", photograph)
    assert gpen.read_image(tmp_path / "a.png").dtype == torch.float32


def test_autocast_does_not_move_landmarks(photograph: torch.Tensor, faces: gpen.Faces) -> None:
    detector = gpen.load_detector("mtcnn", device="cpu")
    with BF16:
        found = gpen.detect(detector, photograph)
    assert torch.equal(found.landmarks, faces.landmarks)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["retinaface_mobile0.25", "yunet"])
def test_autocast_does_not_move_landmarks_of_other_detectors(
    detector_files, photograph: torch.Tensor, name: str
) -> None:
    detector = gpen.load_detector(name, device="cpu", weights=detector_files(name))
    expected = gpen.detect(detector, photograph)
    with BF16:
        assert torch.equal(gpen.detect(detector, photograph).landmarks, expected.landmarks)
    torch.set_default_dtype(torch.float64)
    try:
        again = gpen.load_detector(name, device="cpu", weights=detector_files(name))
        assert torch.equal(gpen.detect(again, photograph).landmarks, expected.landmarks)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.weights
def test_threads_share_a_yunet(detector_files, photograph: torch.Tensor) -> None:
    detector = gpen.load_detector("yunet", device="cpu", weights=detector_files("yunet"))
    images = [photograph[..., :side, :side] for side in (256, 224, 192, 160)] * 6
    expected = [gpen.detect(detector, image).landmarks for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: gpen.detect(detector, image).landmarks, images))
    assert all(map(torch.equal, found, expected))


def test_threads_read_checkpoints_with_a_command_line_in_them(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"g_ema": {"w": torch.ones(3)}, "args": argparse.Namespace(a=1)}, path)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(read_tensor_file, [path] * 40))
    finally:
        sys.setswitchinterval(interval)
    assert {file.contents["args"].a for file in found} == {1}


def test_types_that_a_program_allows_in_pickles_stay_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"args": argparse.Namespace(a=1)}, path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    read_tensor_file(path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([argparse.Namespace]):
        read_tensor_file(path)
        assert argparse.Namespace in torch.serialization.get_safe_globals()


def test_a_model_loaded_in_inference_mode_can_be_trained() -> None:
    with torch.inference_mode():
        model = gpen.load_gpen(device="cpu")
    x = torch.zeros(1, 3, 256, 256, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_tf32_returns_with_the_last_float32_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    x = torch.zeros(1, device="meta")
    monkeypatch.setattr(precision, "DEVICE", "meta")
    first, second = (precision.exact_convolutions(x, torch.float32) for _ in range(2))
    first.__enter__()
    second.__enter__()
    assert not torch.backends.cudnn.allow_tf32
    first.__exit__(None, None, None)
    assert not torch.backends.cudnn.allow_tf32
    second.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32


def spread(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the same values with other values between them, along one of the axes."""
    wide = torch.full((*tensor.shape, 3), 9.0).movedim(-1, axis + 1).flatten(axis, axis + 1)
    index = [slice(None)] * tensor.ndim
    index[axis] = slice(1, None, 3)
    return wide[tuple(index)].copy_(tensor)


@torch.inference_mode()
@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)]
)
def test_weights_may_have_any_strides(dtype: torch.dtype) -> None:
    state = gpen.load_gpen(device="cpu").state_dict()
    x = torch.rand(1, 3, 256, 256) * 2 - 1
    expected = build_gpen(state).set_dtype(dtype)(x)
    backwards = {name: t.permute(*reversed(range(t.ndim))) for name, t in state.items()}
    ways = {
        "first axis": {name: spread(t, 0) for name, t in state.items()},
        "last axis": {name: spread(t, t.ndim - 1) for name, t in state.items()},
        "reversed": {
            n: t.contiguous().permute(*reversed(range(t.ndim))) for n, t in backwards.items()
        },
    }
    for way, tensors in ways.items():
        assert all(torch.equal(tensors[name], state[name]) for name in state)
        assert torch.equal(build_gpen(tensors).set_dtype(dtype)(x), expected), way
    assert torch.equal(build_gpen(ways["last axis"])(x), build_gpen(state)(x))


@torch.inference_mode()
def test_a_bias_may_be_one_expanded_number() -> None:
    state = gpen.load_gpen(device="cpu").state_dict()
    biases = [name for name, tensor in state.items() if tensor.shape == (1, 3, 1, 1)]
    assert len(biases) == 7
    plain = {name: torch.full((1, 3, 1, 1), 0.25) for name in biases}
    expanded = {name: torch.full((1, 1, 1, 1), 0.25).expand(1, 3, 1, 1) for name in biases}
    x = torch.zeros(1, 3, 256, 256)
    found, expected = (build_gpen({**state, **given})(x) for given in (expanded, plain))
    assert torch.equal(found, expected)
