"""Alignment: the fit, the templates, the crops."""

import importlib

import pytest
import torch

import gpen_core as gpen
from gpen_core.align import TEMPLATES, alignable, cut, find_alignment, fit_similarity
from gpen_core.errors import MismatchError
from gpen_core.faces import Alignment, Faces

# Landmarks of scikit-image's astronaut (Eileen Collins, NASA), found with MTCNN.
ASTRONAUT = torch.tensor(
    [[[204.5, 101.2], [246.3, 103.2], [224.2, 128.5], [201.2, 138.7], [244.8, 141.4]]]
)


def faces_from(landmarks, image_size, image_index=None):
    landmarks = torch.as_tensor(landmarks, dtype=torch.float32)
    count = len(landmarks)
    low, high = landmarks.amin(dim=1), landmarks.amax(dim=1)
    index = torch.zeros(count, dtype=torch.int64) if image_index is None else image_index
    return Faces(torch.cat([low, high], 1), landmarks, torch.ones(count), index, image_size)


def scattered_faces(count, image_size, seed=0):
    """`count` faces of varied size and angle, with landmarks off the template by some pixels."""
    draw = torch.Generator().manual_seed(seed)
    sides = 40 + 160 * torch.rand(count, 1, 1, generator=draw)
    angles = 6.28 * torch.rand(count, generator=draw)
    turn = torch.stack(
        [
            torch.stack([angles.cos(), -angles.sin()], 1),
            torch.stack([angles.sin(), angles.cos()], 1),
        ],
        1,
    )
    template = torch.tensor(TEMPLATES["gpen"]) - 0.5
    span = torch.tensor([image_size[2], image_size[1]])
    centres = torch.rand(count, 1, 2, generator=draw) * span
    noise = 0.02 * torch.randn(count, 5, 2, generator=draw)
    landmarks = centres + sides * ((template + noise) @ turn.transpose(1, 2))
    index = torch.randint(0, image_size[0], (count,), generator=draw)
    return faces_from(landmarks, image_size, index)


@pytest.fixture(scope="module")
def astronaut():
    data = pytest.importorskip("skimage.data", reason="pip install -e '.[demo]' runs this")
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255


def test_the_fit_is_umeyamas_by_singular_values():
    """Compare with eqs. 40 to 42 of the paper as printed, computed by SVD."""
    faces = scattered_faces(20, (1, 500, 500))
    target = torch.tensor(TEMPLATES["gpen"], dtype=torch.float64) * 512
    affine, _ = fit_similarity(faces.landmarks.double(), target)
    for found, points in zip(affine, faces.landmarks.double(), strict=True):
        source, goal = points - points.mean(0), target - target.mean(0)
        u, singular, vt = torch.linalg.svd(goal.T @ source / len(points))
        sign = torch.tensor([1.0, 1.0], dtype=torch.float64)
        if torch.linalg.det(u) * torch.linalg.det(vt) < 0:
            sign[1] = -1.0
        rotation = u @ torch.diag(sign) @ vt
        linear = (singular * sign).sum() / source.square().sum(1).mean() * rotation
        assert torch.allclose(found[:, :2], linear, atol=1e-9)
        assert torch.allclose(found[:, 2], target.mean(0) - linear @ points.mean(0), atol=1e-7)


@pytest.mark.parametrize("template", ["gpen", "ffhq"])
@pytest.mark.parametrize("size", [256, 2048])
def test_landmarks_on_the_template_give_a_pure_scaling(template, size):
    faces = faces_from(torch.tensor([TEMPLATES[template]]) * 100, (1, 100, 100))
    affine = find_alignment(faces, size=size, template=template).affine[0]
    scale = size / 100
    expected = torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]], dtype=torch.float64)
    assert torch.allclose(affine, expected, atol=1e-4 * scale)


def test_the_ffhq_template_shows_the_face_larger():
    faces = faces_from(ASTRONAUT, (1, 512, 512))
    areas = [
        torch.linalg.det(find_alignment(faces, size=512, template=name).affine[0, :, :2])
        for name in ("gpen", "ffhq")
    ]
    assert (areas[1] / areas[0]).sqrt() == pytest.approx(1.1157, abs=0.03)


def test_affine_and_inverse_affine_cancel():
    alignment = find_alignment(scattered_faces(30, (2, 400, 600)), size=512)
    draw = torch.Generator().manual_seed(1)
    points = torch.rand(30, 7, 2, generator=draw, dtype=torch.float64) * 512
    there = points @ alignment.inverse_affine[:, :, :2].mT + alignment.inverse_affine[:, None, :, 2]
    back = there @ alignment.affine[:, :, :2].mT + alignment.affine[:, None, :, 2]
    assert torch.allclose(back, points, atol=1e-8)


def test_permuting_faces_permutes_crops():
    image = torch.rand(2, 3, 300, 400, generator=torch.Generator().manual_seed(0))
    faces = scattered_faces(6, (2, 300, 400))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    straight, permuted = (gpen.align(image, f, size=32) for f in (faces, faces[order]))
    assert torch.allclose(straight.pixels[order], permuted.pixels, atol=1e-5)
    affine = straight.alignment.affine[order]
    assert torch.allclose(affine, permuted.alignment.affine, rtol=1e-12, atol=1e-9)


def test_importing_the_module_align_does_not_hide_the_verb_align():
    assert importlib.import_module("gpen_core.align").align is gpen.align


def test_no_face_gives_no_crop():
    crops = gpen.align(torch.rand(2, 3, 40, 50), Faces.empty((2, 40, 50)), size=64)
    assert crops.pixels.shape == (0, 3, 64, 64)
    assert crops.alignment.image_size == (2, 40, 50)


def test_flipping_the_image_flips_the_crop():
    """Holds only where crop and landmarks share one convention: pixel centres at integer + ½."""
    image = torch.rand(1, 3, 200, 231, generator=torch.Generator().manual_seed(4))
    faces = scattered_faces(3, (1, 200, 231), seed=5)
    flipped_landmarks = faces.landmarks[:, [1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0])
    flipped = faces_from(flipped_landmarks + torch.tensor([231.0, 0.0]), (1, 200, 231))
    # A template that is its own mirror image: the real ones are not, by about a pixel in 512.
    symmetric = torch.tensor(TEMPLATES["gpen"], dtype=torch.float64)
    symmetric = (symmetric + symmetric[[1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0])) / 2
    target = (symmetric + torch.tensor([0.5, 0.0])) * 64
    crops = []
    for pixels, some in ((image, faces), (image.flip(3), flipped)):
        affine, _ = fit_similarity(some.landmarks.double(), target)
        crops.append(cut(pixels, Alignment(affine, 64, some.image_index, some.image_size)).pixels)
    assert torch.allclose(crops[0], crops[1].flip(3), atol=2e-4)


@pytest.mark.parametrize("size", [64, 256, 512])
def test_a_dot_at_a_landmark_lands_on_the_template(size):
    image = torch.zeros(1, 3, 300, 300)
    ys, xs = torch.meshgrid(torch.arange(300) + 0.5, torch.arange(300) + 0.5, indexing="ij")
    faces = faces_from((torch.tensor([TEMPLATES["gpen"]]) - 0.5) * 200 + 150.3, (1, 300, 300))
    x, y = faces.landmarks[0, 0]
    image[:] = torch.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 3.0**2))
    crop = gpen.align(image, faces, size=size).pixels[0, 0].double()
    centres = torch.arange(size) + 0.5
    found = torch.stack([(crop.sum(0) * centres).sum(), (crop.sum(1) * centres).sum()])
    expected = torch.tensor(TEMPLATES["gpen"][0]) * size
    assert (found / crop.sum() - expected).abs().max() < 0.02 * size / 200


def test_eyes_and_mouth_of_a_photograph_land_on_the_template(astronaut):
    """The darkest spots of the eye region are the pupils: they must lie near the template's."""
    crop = gpen.align(astronaut, faces_from(ASTRONAUT, (1, 512, 512)), size=256).pixels[0]
    grey = torch.nn.functional.avg_pool2d(crop.mean(0, keepdim=True)[None], 5, 1, 2)[0, 0]
    for x, y in TEMPLATES["gpen"][:2]:
        left, top = int(x * 256) - 18, int(y * 256) - 14
        window = grey[top : top + 28, left : left + 36]
        row, column = divmod(int(window.argmin()), 36)
        assert abs(row - 14) <= 6
        assert abs(column - 18) <= 8


@pytest.mark.parametrize(
    ("landmarks", "words"),
    [
        ([[[5.0, 5.0]] * 5], r"face 0 are not arranged like a face.*correlation.*0\.00"),
        (ASTRONAUT[:, [1, 0, 2, 4, 3]], "left and right as the viewer sees them"),
    ],
)
def test_landmarks_that_are_no_face_are_refused(landmarks, words):
    with pytest.raises(MismatchError, match=words):
        find_alignment(faces_from(landmarks, (1, 512, 512)), size=256)


def test_alignable_predicts_which_faces_align_refuses():
    landmarks = torch.stack([ASTRONAUT[0], ASTRONAUT[0, [1, 0, 2, 4, 3]], ASTRONAUT[0] / 3])
    faces = faces_from(landmarks, (1, 512, 512))
    assert alignable(faces).tolist() == [True, False, True]
    assert len(find_alignment(faces[alignable(faces)], size=256)) == 2
    assert alignable(faces[[]]).shape == (0,)
    with pytest.raises(MismatchError, match="Unknown template"):
        alignable(faces, template="dlib")


def test_a_full_profile_is_aligned():
    """Seen from the side, both eyes and both mouth corners fall together."""
    profile = [[[100.0, 100.0], [106.0, 101.0], [70.0, 130.0], [92.0, 160.0], [97.0, 161.0]]]
    alignment = find_alignment(faces_from(profile, (1, 300, 300)), size=256)
    assert len(alignment) == 1


def test_unknown_templates_and_sizes_are_refused():
    faces = faces_from(ASTRONAUT, (1, 512, 512))
    with pytest.raises(MismatchError, match="'arcface'; use gpen, ffhq"):
        find_alignment(faces, size=256, template="arcface")
    with pytest.raises(MismatchError, match="at least 1 px, found 0"):
        find_alignment(faces, size=0)


def test_an_image_of_another_size_is_refused_with_both_sizes():
    alignment = find_alignment(faces_from(ASTRONAUT, (1, 512, 512)), size=256)
    with pytest.raises(MismatchError, match=r"1 image of 512×512, found 2 images of 512×256"):
        cut(torch.rand(2, 3, 256, 512), alignment)


def test_a_crop_factor_shows_more_around_the_same_middle():
    faces = scattered_faces(6, (2, 300, 400))
    close = find_alignment(faces, size=100)
    wide = find_alignment(faces, size=100, crop_factor=2.5)
    middle = torch.tensor([50.0, 50, 1], dtype=torch.float64)
    assert torch.allclose(wide.inverse_affine @ middle, close.inverse_affine @ middle)
    assert torch.allclose(wide.affine[:, :, :2] * 2.5, close.affine[:, :, :2])
    assert (wide.crop_factor, wide[2:].crop_factor, wide.at_size(64).crop_factor) == (2.5,) * 3
    again = wide.with_crop_factor(1)
    assert torch.allclose(again.affine, close.affine)
    assert again.crop_factor == 1


@pytest.mark.parametrize("factor", [0.9, 3.5, float("nan")])
def test_a_crop_factor_out_of_range_is_a_mismatch(factor):
    with pytest.raises(MismatchError, match=r"crop_factor must be from 1 to 3, found"):
        find_alignment(scattered_faces(1, (1, 90, 90)), size=64, crop_factor=factor)


def test_an_alignment_for_an_enlarged_image_cuts_the_same_places():
    alignment = find_alignment(scattered_faces(3, (1, 300, 400)), size=100)
    larger = alignment.of_image_size(600, 1200)
    point = torch.tensor([20.0, 70, 1], dtype=torch.float64)
    scaled = (alignment.inverse_affine @ point) * torch.tensor([3, 2], dtype=torch.float64)
    assert torch.allclose(larger.inverse_affine @ point, scaled)
    assert larger.image_size == (1, 600, 1200)
