"""The four verbs in a row, over batches with any number of faces."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runners import FunctionRunner

from gpen_core import pipeline
from gpen_core.align import align
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.detectors.merging import filter_faces
from gpen_core.errors import DetectorError, MismatchError
from gpen_core.faces import Faces
from gpen_core.pasting.paste import paste
from gpen_core.pipeline import restore_image
from gpen_core.restore import restore

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])
"""Five landmarks of a face about 30 px high at the top left."""


@pytest.fixture(scope="module")
def model() -> GPEN:
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    return GPEN(config).eval().requires_grad_(False)


def image(count: int, height: int = 48, width: int = 90) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(count))


def faces_per_image(counts: list[int], height: int = 48, width: int = 90) -> Faces:
    """Make this many faces in each image, side by side and overlapping."""
    index = [i for i, count in enumerate(counts) for _ in range(count)]
    offsets = torch.tensor([[20.0 * n, 2.0 * n] for count in counts for n in range(count)])
    landmarks = FACE + offsets.reshape(-1, 1, 2)
    return Faces(
        boxes=torch.cat([landmarks.amin(1) - 4, landmarks.amax(1) + 4], dim=1),
        landmarks=landmarks,
        scores=torch.full((len(index),), 0.9),
        image_index=torch.tensor(index, dtype=torch.int64),
        image_size=(len(counts), height, width),
    )


@pytest.fixture
def found(monkeypatch):
    """Make the detector find these faces, and note the options it was called with."""
    asked: dict[str, object] = {}

    def find(faces: Faces) -> dict[str, object]:
        def detect(detector, image, **options):
            asked.update(options, detector=detector)
            return faces

        monkeypatch.setattr(pipeline, "detect", detect)
        return asked

    return find


def test_restore_image_equals_the_four_verbs_in_a_row(model, found):
    pixels, faces = image(1), faces_per_image([3])
    asked = found(faces)
    result = restore_image(
        model, "detector", pixels, strength=0.7, template="ffhq", detail=0.5, threshold=0.6,
        min_size=9, max_faces=4, min_face=7, turns="always",
    )  # fmt: skip
    crops = align(pixels, faces, size=32, template="ffhq")
    expected = paste(pixels, restore(model, crops), detail=0.5, strength=0.7)
    assert torch.equal(result.image, expected.image)
    assert torch.equal(result.mask, expected.mask)
    assert asked == {
        "detector": "detector", "threshold": 0.6, "min_size": 9, "on_progress": None,
        "min_face": 7, "turns": "always",
    }  # fmt: skip


def test_strengths_hold_for_each_face_and_parts_and_0_keeps_all_pixels(model, found, monkeypatch):
    pixels = image(2)
    found(faces_per_image([1, 2]))
    assert torch.equal(restore_image(model, None, pixels, strength=0).image, pixels)
    whole = restore_image(model, None, pixels)
    monkeypatch.setattr(pipeline, "CROPS_BUDGET", 1)
    result = restore_image(model, None, pixels, strengths=[0, 0.5, 0.5])
    assert torch.equal(result.image[0], pixels[0])
    assert torch.allclose(result.image[1], pixels[1].lerp(whole.image[1], 0.5), atol=1e-5)
    with pytest.raises(MismatchError, match="2 strengths do not fit 3 faces"):
        restore_image(model, None, pixels, strengths=[1, 1])


def test_a_detection_that_is_no_face_is_left_out_with_a_warning_that_names_it(model, found):
    pixels, faces = image(2), faces_per_image([1, 2])
    landmarks = faces.landmarks.clone()
    landmarks[1] = landmarks[1, [1, 0, 2, 4, 3]]  # left and right exchanged
    good = torch.tensor([True, False, True])
    found(faces[good])
    expected = restore_image(model, None, pixels)
    found(replace(faces, landmarks=landmarks))
    with pytest.warns(UserWarning, match=r"image 1.* 8, 10 … 26, 30 \(score 0\.90\)"):
        result = restore_image(model, None, pixels)
    assert torch.equal(result.image, expected.image)
    told = []
    restore_image(model, None, pixels, on_left_out=told.append)
    assert [faces.image_index.tolist() for faces in told] == [[1]]


def test_the_largest_of_the_faces_that_can_be_cut_are_restored(model, found):
    pixels, faces = image(1), faces_per_image([3])
    largest = int((faces.widths * faces.heights).argmax())
    landmarks = faces.landmarks.clone()
    landmarks[largest] = landmarks[largest, [1, 0, 2, 4, 3]]
    others = faces[[row for row in range(3) if row != largest]]
    found(filter_faces(others, max_faces=1))
    expected = restore_image(model, None, pixels)
    found(replace(faces, landmarks=landmarks))
    result = restore_image(model, None, pixels, max_faces=1, on_left_out=lambda faces: None)
    assert torch.equal(result.image, expected.image)
    assert expected.mask.any()


def test_a_number_of_faces_below_0_is_refused_before_the_search(model):
    with pytest.raises(DetectorError, match="max_faces is 0 or more"):
        restore_image(model, None, image(1), max_faces=-1)


def test_an_image_without_an_alignable_face_comes_back_unchanged(model, found):
    faces = faces_per_image([1])
    found(replace(faces, landmarks=torch.zeros(1, 5, 2)))
    pixels = image(1)
    result = restore_image(model, None, pixels, on_left_out=lambda faces: None)
    assert result.image is pixels


@pytest.mark.parametrize("most", [1, 2, 4])
def test_parts_give_the_same_as_the_whole(model, found, monkeypatch, most):
    counts = [0, 2, 1, 0, 3, 1, 0]
    pixels = image(len(counts))
    found(faces_per_image(counts))
    whole = restore_image(model, None, pixels)
    monkeypatch.setattr(pipeline, "CROPS_BUDGET", most * 3 * 4 * 2 * 32**2)
    held, progress = [], []
    parts = restore_image(
        model,
        None,
        pixels,
        on_restored=lambda crops: held.append(len(crops)),
        on_progress=lambda *call: progress.append(call),
    )
    assert torch.allclose(parts.image, whole.image, atol=1e-5)
    assert torch.equal(parts.mask, whole.mask)
    assert sum(held) == sum(counts)
    assert max(held) <= most
    assert progress[-1] == (7, 7)
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})
    for frame, count in enumerate(counts):
        assert torch.equal(parts.image[frame], pixels[frame]) == (count == 0)


@pytest.mark.slow
def test_a_long_clip_holds_few_crops(model, found, monkeypatch):
    """24 frames × 3 faces with room for 10 crops: never more than 10 are alive."""
    found(faces_per_image([3] * 24))
    monkeypatch.setattr(pipeline, "CROPS_BUDGET", 10 * 3 * 4 * 2 * 32**2)
    held = []
    restore_image(model, None, image(24), on_restored=lambda crops: held.append(len(crops)))
    assert sum(held) == 72
    assert max(held) == 10


def test_a_part_is_gone_before_the_next_is_restored(model, found, monkeypatch):
    """Three overlapping faces of one image, one at a time, with the garbage collector off."""
    found(faces_per_image([3]))
    monkeypatch.setattr(pipeline, "CROPS_BUDGET", 1)
    living: list[weakref.ref[torch.Tensor]] = []

    def forward(faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        assert not [crop for crop in living if crop() is not None]
        return model(faces, noise_seed=noise_seed)

    gc.disable()
    try:
        restore_image(
            FunctionRunner(model, forward),
            None,
            image(1),
            on_restored=lambda crops: living.append(weakref.ref(crops.pixels)),
        )
    finally:
        gc.enable()
    assert len(living) == 3


CROWD = """
import torch
from runners import FunctionRunner
import gpen_core
from gpen_core import pipeline
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands.bench_timing import peak_of_process
from gpen_core.faces import Faces

model = GPEN(GPENConfig(512, 512, (8,) * 8, style_dim=16, mapping_layers=2))
model.eval().requires_grad_(False)
pipeline.CROPS_BUDGET = 4 * 2 * 3 * 4 * 512**2  # four faces, before and after
image = torch.rand(1, 3, 300, 400)
points = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])

def peak(count):
    shifts = torch.stack([torch.arange(count) % 12, torch.arange(count) // 12], 1)[:, None] * 30.0
    landmarks = points + shifts
    faces = Faces(torch.cat([landmarks.amin(1), landmarks.amax(1)], 1), landmarks,
                  torch.ones(count), torch.zeros(count, dtype=torch.int64), (1, 300, 400))
    pipeline.detect = lambda *_, **__: faces
    runner = FunctionRunner(model, lambda faces, noise_seed: faces)
    pipeline.restore_image(runner, None, image, refine="off")
    return peak_of_process()

few = peak(8)
print(peak(80) - few)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform == "win32", reason="reads the peak memory of a process by getrusage"
)
def test_a_crowd_needs_no_more_memory_than_a_few():
    """80 crops of 512 px in one image would be 252 MB, and as much again before restoring."""
    root = Path(__file__).parents[1]
    grown = subprocess.run(
        [sys.executable, "-c", CROWD],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "tests" / "support")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(grown.stdout) < 110e6


def test_published_sizes_hold_what_the_budget_allows():
    most = {size: pipeline._crops_at_a_time(GPENConfig.published(size)) for size in (512, 2048)}
    assert most == {512: 85, 2048: 5}


def test_no_face_returns_the_input_itself(model, found):
    pixels, background = image(2), image(2, 96, 180)
    found(Faces.empty((2, 48, 90)))
    result = restore_image(model, None, pixels)
    assert result.image is pixels
    assert result.mask.shape == (2, 1, 48, 90)
    assert not result.mask.any()
    result = restore_image(model, None, pixels, background=background)
    assert result.image is background
    assert result.mask.shape == (2, 1, 96, 180)
    assert restore_image(model, None, pixels.double()).mask.dtype == torch.float32


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"strength": 7}, "strength"),
        ({"feather": 9}, "feather"),
        ({"limit": torch.ones(1, 1, 3, 3)}, "limit"),
        ({"template": "dlib"}, "template"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_options_are_refused_before_faces_are_searched(model, monkeypatch, option, message):
    monkeypatch.setattr(pipeline, "detect", None)
    with pytest.raises(MismatchError, match=message):
        restore_image(model, None, image(1), **option)


def test_a_larger_background_takes_the_faces(model, found, monkeypatch):
    pixels, background = image(2), image(2, 96, 180)
    found(faces_per_image([1, 2]))
    whole = restore_image(model, None, pixels, background=background)
    assert whole.image.shape == background.shape
    outside = (whole.mask == 0).expand_as(background)
    assert 0.1 < outside.float().mean() < 0.9
    assert torch.equal(whole.image[outside], background[outside])
    monkeypatch.setattr(pipeline, "CROPS_BUDGET", 1)
    parts = restore_image(model, None, pixels, background=background)
    assert torch.allclose(parts.image, whole.image, atol=1e-5)


def test_a_limit_keeps_faces_out(model, found):
    pixels = image(1)
    found(faces_per_image([2]))
    limit = torch.zeros(1, 1, 48, 90)
    limit[..., 40:] = 1
    result = restore_image(model, None, pixels, limit=limit)
    assert torch.equal(result.image[..., :36], pixels[..., :36])
    assert not torch.equal(result.image[..., 44:], pixels[..., 44:])


def test_faces_in_any_order_go_to_their_images(model, found):
    counts = [1, 2, 1]
    faces = faces_per_image(counts)
    found(faces)
    expected = restore_image(model, None, image(3))
    found(faces[[3, 0, 1, 2]])
    assert torch.allclose(restore_image(model, None, image(3)).image, expected.image, atol=1e-6)


def test_inputs_stay_as_they_were(model, found):
    pixels, background = image(1), image(1, 96, 180)
    before = pixels.clone(), background.clone()
    found(faces_per_image([2]))
    restore_image(model, None, pixels, background=background)
    assert torch.equal(pixels, before[0])
    assert torch.equal(background, before[1])


def test_on_progress_may_cancel(model, found):
    found(faces_per_image([2]))

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_image(model, None, image(1), on_progress=cancel)


def test_any_runner_may_be_the_model(model, found):
    found(faces_per_image([3]))
    batches = []

    def forward(faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        batches.append(len(faces))
        return model(faces, noise_seed=noise_seed)

    restore_image(FunctionRunner(model, forward), None, image(1), batch_size=2)
    assert batches == [2, 1]


def test_a_background_batch_of_another_length_is_refused(model, found):
    found(faces_per_image([1, 1]))
    with pytest.raises(MismatchError, match="batch of 1, the image of 2"):
        restore_image(model, None, image(2), background=image(1))
