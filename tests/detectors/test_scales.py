"""Scales and tiles of `detect`, and its peak memory."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gpen_core import detect
from gpen_core.detectors import scales

ROOT = Path(__file__).resolve().parents[2]


def test_a_large_min_size_avoids_the_search_at_full_resolution(detectors):
    detector = detectors("mtcnn")
    full = scales.plan_passes(detector, 6000, 8000, min_size=0)
    assert full[0].height == 640
    assert full[-1].height == 6000
    coarse = scales.plan_passes(detector, 6000, 8000, min_size=200)
    assert coarse[-1].height == round(6000 * 2 * detector.smallest / 200)


def test_progress_counts_every_forward_and_may_cancel(detectors, monkeypatch):
    detector, seen = detectors("mtcnn"), []
    monkeypatch.setattr(scales, "TILE_PIXELS", 2**18)
    monkeypatch.setattr(scales, "TILE_SIDE", 2**9)
    image = torch.zeros(3, 3, 600, 900)
    detect(detector, image, on_progress=lambda done, total: seen.append((done, total)))
    total = seen[-1][1]
    assert seen == [(n, total) for n in range(1, total + 1)]
    assert total > 3

    def cancel(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        detect(detector, image, on_progress=cancel)


@pytest.mark.slow
def test_tiles_find_what_the_whole_image_shows(detectors, astronaut, monkeypatch):
    detector = detectors("mtcnn")
    torch.manual_seed(0)
    image = torch.full((1, 3, 1100, 1500), 0.5)
    face = F.interpolate(astronaut[..., :220, 120:340], (110, 110), mode="area")
    corners = [(20, 30), (450, 480), (500, 1000), (960, 700), (980, 1380), (490, 730)]
    for y, x in corners:
        image[:, :, y : y + 110, x : x + 110] = face
    whole = detect(detector, image)
    assert len(whole) == len(corners)
    monkeypatch.setattr(scales, "TILE_PIXELS", 2**18)
    monkeypatch.setattr(scales, "TILE_SIDE", 2**9)
    monkeypatch.setattr(type(detector), "largest", 160)
    tiled = detect(detector, image)
    assert scales.plan_passes(detector, 1100, 1500, 0)[-1].count_forwards(1) > 6
    assert len(tiled) == len(corners)
    for box in whole.boxes:
        assert (tiled.boxes - box).abs().amax(dim=1).min() < 6


@pytest.mark.parametrize("length", [1, 100, 512, 513, 1000, 5000, 12345])
@pytest.mark.parametrize("overlap", [0, 96, 200])
def test_tiles_cover_everything_and_overlap_enough(length, overlap):
    found = scales.split(length, 512, overlap)
    assert found[0][0] == 0
    assert sum(found[-1]) == length
    for (start, size), (following, _) in itertools.pairwise(found):
        assert start % 32 == 0
        assert start + size - following >= overlap
    assert all(size <= 512 for _, size in found)


LARGE_IMAGE = """
import sys
import skimage.data, torch
import torch.nn.functional as F
from gpen_core import detect, load_detector
from gpen_core.commands.bench_timing import peak_of_process
face = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None] / 255
image = torch.full((1, 3, 6000, 8000), 0.3)
image[:, :, :4000, :4000] = F.interpolate(face, (4000, 4000), mode="bilinear")
for y, x in ((5400, 100), (4700, 3900), (30, 7400), (5480, 7480), (2000, 6100)):
    image[:, :, y : y + 512, x : x + 512] = face
for argument in sys.argv[1:]:
    name, _, file = argument.partition("=")
    faces = detect(load_detector(name, device="cpu", weights=file or None), image)
    print(name, len(faces), int(faces.widths[0]), peak_of_process())
"""


def measure(name: str, file: Path | None) -> list[str]:
    """Return the name, the number of faces, the width of the largest, and peak memory in bytes."""
    command = [sys.executable, "-c", LARGE_IMAGE, f"{name}={file or ''}"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return output.split()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no peak_of_process")
@pytest.mark.parametrize(
    "name",
    [
        "mtcnn",
        pytest.param("retinaface_mobile0.25", marks=pytest.mark.weights),
        pytest.param("yunet", marks=pytest.mark.weights),
    ],
)
@pytest.mark.slow
def test_all_faces_of_48_megapixels_are_found_in_less_than_3_gb(name, detector_files):
    pytest.importorskip("skimage.data")
    found, count, width, peak = measure(name, detector_files(name))
    assert (found, int(count)) == (name, 6)
    assert 500 < int(width) < 1100
    assert int(peak) < 3e9
