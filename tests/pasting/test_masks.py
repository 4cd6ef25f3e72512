"""Masks of faces: ovals, parsed parts and the user's own, all with a soft edge inside."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gpen_core import Crops, MismatchError, align, paste
from gpen_core.align import TEMPLATES, cut
from gpen_core.names import FACE_REGIONS, MASK_KINDS
from gpen_core.pasting.feathering import feather_drawn

skimage_data = pytest.importorskip("skimage.data", reason="pip install scikit-image runs this")


def load_drawn_face():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "drawn_face.py"
    spec = importlib.util.spec_from_file_location("drawn_face", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["drawn_face"] = module
    spec.loader.exec_module(module)
    return module


drawn_face = load_drawn_face()


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    return torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def stranger(photograph) -> Crops:
    """A crop that paints everything anew: it has nothing of the photograph."""
    crops = align(photograph, drawn_face.find_face(), size=256)
    return Crops(1 - crops.pixels.flip(3), crops.alignment)


def in_crop(values: torch.Tensor, crops: Crops, side: int = 500) -> torch.Tensor:
    """Cut [1, C, H, W] as the crop."""
    return cut(values.expand(-1, 3, -1, -1), crops.alignment.at_size(side)).pixels


def psnr(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
    error = ((one - other).square() * where).sum() / where.expand_as(one).sum()
    return float(-10 * torch.log10(error.clamp(min=1e-14)))


def test_only_the_box_paints_the_background_when_a_network_paints_everything(photograph, stranger):
    parser = drawn_face.DrawnParser()
    face = parser.find_regions(torch.zeros(1, 3, 8, 8), FACE_REGIONS)
    hair = parser.find_regions(torch.zeros(1, 3, 8, 8), ["hair"])
    figures = {}
    for kind in MASK_KINDS:
        result = paste(photograph, stranger, detail=0.0, mask_kind=kind, parser=parser)
        after, before = in_crop(result.image, stranger), in_crop(photograph, stranger)
        figures[kind] = psnr(after, before, 1 - (face + hair).clamp(max=1))
        assert in_crop(result.mask, stranger)[0, 0, 245:340, 200:300].min() > 0.9
        if kind == "parse":
            assert psnr(after, before, 1 - face) > 40
    assert figures["box"] < 15
    assert figures["oval"] > 40
    assert figures["parse"] > 40


def test_a_hand_before_the_face_is_kept_by_a_parser_only(photograph, stranger):
    hand = (300, 600, 560, 1000)
    parser = drawn_face.DrawnParser(covered=hand)
    left, top, right, bottom = (place // 2 for place in hand)
    for kind, kept in (("oval", False), ("parse", True)):
        result = paste(photograph, stranger, detail=0.0, mask_kind=kind, parser=parser)
        before, after = in_crop(photograph, stranger), in_crop(result.image, stranger)
        inside = (..., slice(top + 3, bottom), slice(left, right - 3))
        assert (psnr(after[inside], before[inside], torch.ones(1)) > 40) is kept


def test_the_oval_lies_where_the_template_places_the_face(photograph):
    masks = {}
    for template in TEMPLATES:
        crops = align(photograph, drawn_face.find_face(), size=256, template=template)
        assert crops.alignment.template == template
        assert crops[[0]].alignment.at_size(512).template == template
        masks[template] = paste(photograph, crops, mask_kind="oval").mask
    one, other = masks.values()
    assert (one - other).abs().mean() < 0.01 * one.mean() + 0.002
    with pytest.raises(MismatchError, match=r"template must be gpen or ffhq"):
        replace(crops.alignment, template="other")


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize("feather", [0.05, 0.3])
def test_every_mask_ends_without_a_seam(photograph, stranger, kind, feather):
    options = {"mask_kind": kind, "parser": drawn_face.DrawnParser(), "feather": feather}
    if kind == "parse":
        options["regions"] = (*FACE_REGIONS, "hair", "neck")
    large = torch.nn.functional.interpolate(photograph, size=(1000, 1000), mode="bilinear")
    mask = paste(photograph, stranger, background=large, **options).mask[0, 0]
    side = 1000 * float(stranger.alignment.inverse_affine[0, 0, :2].norm()) * 256 / 512
    steepest = 1.5 / (feather * (1 if kind == "box" else 0.5) * side)  # of a smooth step
    steps = torch.maximum(mask.diff(dim=0)[:, 1:].abs(), mask.diff(dim=1)[1:].abs())
    assert steps.max() < 3 * steepest  # thin parts have a steeper edge
    # The first pixels inside the edge hardly change.
    edge = (mask[1:, 1:] > 0) & ((mask[:-1, 1:] == 0) | (mask[1:, :-1] == 0))
    assert mask[1:, 1:][edge].max() < 0.06
    assert 0.9 < mask.max() <= 1


def test_thin_parts_remain_and_nothing_outside_them_is_painted(photograph, stranger):
    parser = drawn_face.DrawnParser()
    for region in ("eyes", "lips", "brows"):
        mask = parser.find_regions(torch.zeros(1, 3, 8, 8), [region])
        soft = feather_drawn(mask, 0.075)
        assert (soft[mask == 0] == 0).all()
        assert soft.max() > 0.9
        result = paste(photograph, stranger, mask_kind="parse", parser=parser, regions=[region])
        grown = torch.nn.functional.max_pool2d(mask, 9, 1, 4)
        pasted = in_crop(result.mask, stranger)[:, :1]
        assert pasted[grown == 0].max() < 0.02
        assert pasted.max() > 0.5


def test_a_mask_of_a_crop_limits_that_crop_with_a_soft_edge(photograph):
    crops = align(photograph, drawn_face.find_face(), size=128)
    two = Crops(crops.pixels.repeat(2, 1, 1, 1), crops[[0, 0]].alignment)
    two = Crops(
        two.pixels,
        replace(two.alignment, image_index=torch.tensor([1, 0]), image_size=(2, 512, 512)),
    )
    images = photograph.repeat(2, 1, 1, 1)
    plain = paste(images, two).mask
    masks = torch.ones(2, 1, 300, 300)
    assert torch.allclose(paste(images, two, crop_masks=masks).mask, plain, atol=1e-5)
    assert torch.allclose(paste(images, two, crop_masks=masks * 0.4).mask, plain * 0.4, atol=1e-5)
    masks[0, :, :, 150:] = 0  # the right half of the crop in image 1
    halved = paste(images, two, crop_masks=masks).mask
    assert torch.allclose(halved[0], plain[0], atol=1e-5)
    seen = in_crop(halved[1:], crops)[0, 0]
    assert seen[:, 252:].max() < 0.01
    assert seen[250, 100] == pytest.approx(1, abs=1e-4)
    assert seen[250].diff().abs().max() < 0.08


def test_a_parser_and_masks_of_crops_together_paste_what_both_allow(photograph, stranger):
    parser = drawn_face.DrawnParser()
    half = torch.zeros(1, 1, 64, 64)
    half[..., :32] = 1
    options = {"mask_kind": "parse", "parser": parser}
    alone = paste(photograph, stranger, **options).mask
    both = paste(photograph, stranger, crop_masks=half, **options).mask
    assert both[alone == 0].max() < 1e-3
    assert in_crop(both, stranger)[..., 252:].max() < 0.01
    assert 0.2 < both.sum() / alone.sum() < 0.5


def test_a_parser_sees_the_face_as_it_is_in_the_photograph(photograph, stranger):
    class Recorder:
        size = 96

        def find_regions(self, faces, regions):
            self.seen = faces, tuple(regions)
            return torch.ones(1, 1, 96, 96)

    parser = Recorder()
    paste(photograph, stranger, mask_kind="parse", parser=parser, regions=["skin"])
    assert parser.seen[1] == ("skin",)
    assert torch.allclose(parser.seen[0], in_crop(photograph, stranger, 96), atol=1e-5)
    background = torch.nn.functional.interpolate(photograph, scale_factor=2, mode="bilinear")
    paste(photograph, stranger, mask_kind="parse", parser=parser, background=background)
    assert (parser.seen[0] - in_crop(photograph, stranger, 96)).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_kind": "round"}, r"mask_kind must be box, oval, parse, found 'round'"),
        ({"mask_kind": "parse"}, r"needs a face parser.*load_parser"),
        ({"regions": ["beard"]}, r"regions must be some of skin.*found 'beard'"),
        ({"crop_masks": torch.ones(2, 1, 8, 8)}, r"2 crop masks do not fit 1 crops"),
        ({"crop_masks": torch.ones(1, 1, 8, 9)}, r"crop_masks must be square.*9×8"),
        ({"crop_masks": torch.ones(8, 8)}, r"crop_masks"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(photograph, stranger, options, words):
    with pytest.raises(MismatchError, match=words):
        paste(photograph, stranger, **options)


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_a_wider_crop_is_masked_in_the_same_places(photograph, kind):
    parser = drawn_face.DrawnParser()
    masks = []
    for factor in (1.0, 1.7):
        crops = align(photograph, drawn_face.find_face(), size=256, crop_factor=factor)
        result = paste(photograph, crops, detail=0.0, mask_kind=kind, parser=parser)
        masks.append(result.mask)
    # The parser's map is drawn once more into the frame of the wider crop.
    assert (masks[0] - masks[1]).abs().mean() < (2e-3 if kind == "parse" else 1e-6)
    assert (masks[0] - masks[1]).abs().max() < (0.1 if kind == "parse" else 1e-4)


def test_a_parser_sees_the_same_face_in_a_wider_crop(photograph):
    seen = []

    class Recorder(drawn_face.DrawnParser):
        def find_regions(self, faces, regions):
            seen.append(faces)
            return super().find_regions(faces, regions)

    for factor in (1.0, 2.0):
        crops = align(photograph, drawn_face.find_face(), size=256, crop_factor=factor)
        paste(photograph, crops, mask_kind="parse", parser=Recorder())
    assert (seen[0] - seen[1]).abs().max() < 1e-4


def test_without_faces_no_parser_is_asked(photograph, stranger):
    result = paste(photograph, stranger[[]], mask_kind="parse", parser=object())
    assert result.image is photograph
