from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import torch

from gpen_core.errors import GPENError, MismatchError
from gpen_core.faces import Alignment, Crops, Faces

SIZE = (2, 40, 60)  # two images, 40 px high, 60 px wide


def faces(count: int = 4) -> Faces:
    corner = torch.rand(count, 2) * 20
    return Faces(
        boxes=torch.cat([corner, corner + 10 + torch.rand(count, 2)], dim=1),
        landmarks=torch.rand(count, 5, 2) * 30,
        scores=torch.rand(count),
        image_index=torch.arange(count) % 2,
        image_size=SIZE,
    )


def alignment(count: int = 4, size: int = 8) -> Alignment:
    affine = torch.rand(count, 2, 3, dtype=torch.float64)
    affine[:, 0, 0] += 1
    affine[:, 1, 1] += 1
    return Alignment(affine, size, torch.arange(count) % 2, SIZE)


def crops(count: int = 4, side: int = 8) -> Crops:
    return Crops(torch.rand(count, 3, side, side), alignment(count))


VALUES = {"Faces": faces, "Alignment": alignment, "Crops": crops}


def tensors(value: Any) -> dict[str, torch.Tensor]:
    if isinstance(value, Crops):
        return {"pixels": value.pixels} | tensors(value.alignment)
    return {k: v for k, v in vars(value).items() if isinstance(v, torch.Tensor)}


# Indexing, the same for all three


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize(
    ("index", "rows"),
    [
        ([2, 0], [2, 0]),
        ([1, 1, 1], [1, 1, 1]),
        ([-1], [3]),
        (2, [2]),
        (-4, [0]),
        (slice(1, None), [1, 2, 3]),
        (slice(None, None, 2), [0, 2]),
        (torch.tensor([3, 1]), [3, 1]),
        (torch.tensor(2), [2]),
        (torch.tensor([True, False, False, True]), [0, 3]),
        ([False, True, False, True], [1, 3]),
        ([False] * 4, []),
        ([], []),
        (slice(0, 0), []),
    ],
)
def test_indexing_selects_rows_of_every_field(kind: str, index: Any, rows: list[int]) -> None:
    value = VALUES[kind]()
    picked = value[index]
    assert type(picked) is type(value)
    assert len(picked) == len(rows)
    for name, tensor in tensors(value).items():
        assert torch.equal(tensors(picked)[name], tensor[torch.tensor(rows, dtype=torch.int64)])
    source = value.alignment if isinstance(value, Crops) else value
    found = picked.alignment if isinstance(picked, Crops) else picked
    assert found.image_size == source.image_size


@pytest.mark.parametrize("kind", VALUES)
def test_selecting_twice_equals_selecting_the_selection(kind: str) -> None:
    value = VALUES[kind]()
    twice, once = tensors(value[[3, 1, 0]][[2, 0]]), tensors(value[[0, 3]])
    assert all(torch.equal(twice[name], once[name]) for name in once)


@pytest.mark.parametrize("kind", VALUES)
def test_selecting_an_absent_face_is_refused(kind: str) -> None:
    value = VALUES[kind]()
    for index, absent in ((4, 4), (-5, -5), ([0, 4], 4), ([0, -5], -5)):
        with pytest.raises(MismatchError, match=f"Face {absent} was asked for; there are 4"):
            value[index]
    with pytest.raises(MismatchError, match=r"A mask over 4 faces has shape \[3\]"):
        value[torch.tensor([True, False, True])]


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_iterated_face_by_face(kind: str) -> None:
    value = VALUES[kind](3)
    each = list(value)
    assert [len(one) for one in each] == [1, 1, 1]
    for row, one in enumerate(each):
        for name, tensor in tensors(one).items():
            assert torch.equal(tensor, tensors(value)[name][row : row + 1])


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize(
    "index",
    [
        torch.tensor([0.9]),
        [0.5],
        torch.zeros(0, dtype=torch.bool),
        "a",
        None,
        torch.zeros(1, 1).int(),
    ],
    ids=str,
)
def test_an_index_that_names_no_rows_is_refused(kind: str, index: Any) -> None:
    with pytest.raises(MismatchError):
        VALUES[kind](3)[index]


@pytest.mark.parametrize("kind", VALUES)
def test_slices_may_run_backwards(kind: str) -> None:
    value = VALUES[kind](3)
    for name, tensor in tensors(value[::-1]).items():
        assert torch.equal(tensor, tensors(value)[name].flip(0))


def test_changing_the_original_tensors_does_not_change_a_value() -> None:
    boxes = torch.rand(3, 4)
    value = replace(faces(3), boxes=boxes)
    kept = value.boxes.clone()
    boxes.mul_(0)
    assert torch.equal(value.boxes, kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": None},
        {"boxes": [[1, 2, 3, 4], [1]]},
        {"image_size": 64},
        {"image_index": torch.zeros(3, 2)},
        {"image_index": torch.tensor(0)},
        {"image_index": [0.9, 0, 0]},
    ],
    ids=str,
)
def test_fields_of_another_kind_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MismatchError, match=next(iter(changes))):
        replace(faces(3), **changes)


@pytest.mark.parametrize("size", [16.5, "16", 0])
def test_a_crop_size_that_is_no_whole_number_is_refused(size: Any) -> None:
    with pytest.raises(MismatchError, match="crop_size"):
        replace(alignment(2), crop_size=size)


def test_a_map_without_an_inverse_is_refused() -> None:
    with pytest.raises(MismatchError, match="no inverse"):
        Alignment(torch.zeros(1, 2, 3), 16, torch.tensor([0]), SIZE)


@pytest.mark.parametrize("pixels", [None, [[1.0]]])
def test_crops_are_a_tensor(pixels: Any) -> None:
    with pytest.raises(MismatchError, match="must be a tensor"):
        Crops(pixels, alignment(1))


@pytest.mark.parametrize("kind", VALUES)
def test_zero_faces_are_an_ordinary_value(kind: str) -> None:
    none = VALUES[kind](0)
    assert len(none) == 0
    assert len(none[[]]) == 0
    assert len(none[torch.zeros(0, dtype=torch.bool)]) == 0


@pytest.mark.parametrize("kind", VALUES)
def test_values_cannot_be_changed(kind: str) -> None:
    value = VALUES[kind]()
    with pytest.raises(FrozenInstanceError):
        setattr(value, next(iter(vars(value))), None)


# Faces


def test_empty_faces_have_every_field() -> None:
    none = Faces.empty(SIZE)
    assert len(none) == 0
    assert {name: tuple(t.shape) for name, t in tensors(none).items()} == {
        "boxes": (0, 4), "landmarks": (0, 5, 2), "scores": (0,), "image_index": (0,),
    }  # fmt: skip


def test_widths_and_heights_are_those_of_the_boxes() -> None:
    found = replace(faces(1), boxes=torch.tensor([[1.0, 2.0, 11.0, 32.0]]))
    assert found.widths.tolist() == [10]
    assert found.heights.tolist() == [30]


def test_fields_are_copied_to_the_cpu_in_their_dtypes() -> None:
    found = Faces(
        boxes=[[0, 0, 10, 10]],  # pyright: ignore[reportArgumentType]
        landmarks=torch.ones(1, 5, 2, dtype=torch.float64, requires_grad=True),
        scores=torch.ones(1, dtype=torch.float16),
        image_index=[0],  # pyright: ignore[reportArgumentType]
        image_size=torch.Size([1, 20, 30]),
    )
    assert found.boxes.dtype == found.landmarks.dtype == found.scores.dtype == torch.float32
    assert found.image_index.dtype == torch.int64
    assert not found.landmarks.requires_grad
    assert type(found.image_size) is tuple


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"boxes": torch.zeros(4, 5)}, r"Faces.boxes must be \[N, 4\], found \[4, 5\]"),
        ({"boxes": torch.zeros(4)}, r"Faces.boxes must be \[N, 4\], found \[4\]"),
        ({"landmarks": torch.zeros(4, 10)}, r"landmarks must be \[N, 5, 2\], found \[4, 10\]"),
        ({"scores": torch.zeros(4, 1)}, r"scores must be \[N\], found \[4, 1\]"),
        ({"scores": torch.zeros(3)}, r"one row per face .*'scores': 3"),
        ({"scores": torch.tensor([0, 0, 0, float("nan")])}, "scores holds NaN"),
        ({"landmarks": torch.full((4, 5, 2), float("inf"))}, "landmarks holds NaN or infinite"),
        ({"image_index": torch.tensor([0, 1, 2, 0])}, r"lie in 0 … 1 .*found 0 … 2"),
        ({"image_index": torch.tensor([0, 1, -1, 0])}, r"lie in 0 … 1 .*found -1 … 1"),
        ({"image_index": torch.zeros(3)}, "one row per face"),
        ({"image_size": (40, 60)}, r"image_size must be \(B, H, W\)"),
        ({"image_size": (2, -1, 60)}, r"image_size must be \(B, H, W\)"),
    ],
)
def test_faces_that_contradict_themselves_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MismatchError, match=said):
        replace(faces(), **changes)


# Alignment


def test_affine_and_inverse_affine_undo_each_other() -> None:
    found = alignment(6)
    points = torch.rand(6, 7, 2, dtype=torch.float64) * 50

    def apply(affine: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return at @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]

    back = apply(found.inverse_affine, apply(found.affine, points))
    assert torch.allclose(back, points, atol=1e-10)


def test_affine_keeps_double_precision() -> None:
    assert alignment().affine.dtype == alignment().inverse_affine.dtype == torch.float64


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"affine": torch.zeros(4, 3, 3)}, r"affine must be \[N, 2, 3\], found \[4, 3, 3\]"),
        ({"affine": torch.full((4, 2, 3), float("nan"))}, "affine holds NaN"),
        ({"affine": torch.zeros(3, 2, 3)}, "one row per face"),
        ({"crop_size": 0}, "crop_size must be a whole number from 1, found 0"),
        ({"image_index": torch.tensor([0, 1, 2, 0])}, "lie in 0 … 1"),
    ],
)
def test_an_alignment_that_contradicts_itself_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(MismatchError, match=said):
        replace(alignment(), **changes)


# Crops


def test_crops_may_come_back_larger_than_they_were_cut() -> None:
    larger = crops(side=32)
    assert larger.size == 32
    assert larger.alignment.crop_size == 8


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (torch.zeros(4, 1, 8, 8), r"must be \[N, 3, S, S\], found \[4, 1, 8, 8\]"),
        (torch.zeros(4, 3, 8, 9), r"must be \[N, 3, S, S\]"),
        (torch.zeros(3, 8, 8), r"must be \[N, 3, S, S\]"),
        (torch.zeros(4, 3, 0, 0), r"must be \[N, 3, S, S\]"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "floating point in .* found torch.uint8"),
        (torch.zeros(5, 3, 8, 8), "5 crops do not fit 4 alignments"),
    ],
)
def test_crops_that_do_not_fit_are_refused(pixels: torch.Tensor, said: str) -> None:
    with pytest.raises(MismatchError, match=said):
        Crops(pixels, alignment())


def test_a_mismatch_is_caught_as_a_value_error_and_as_ours() -> None:
    assert issubclass(MismatchError, ValueError)
    assert issubclass(MismatchError, GPENError)
