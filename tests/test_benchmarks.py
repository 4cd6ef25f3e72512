"""The scripts in benchmarks/ run on small inputs and print the results that they promise."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from gpen_core import detect, load_detector, read_image
from gpen_core.align import find_alignment
from gpen_core.commands import bench
from gpen_core.commands.bench_timing import Timing

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of benchmarks/ with command-line arguments."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str, *words: str) -> ModuleType:
        monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), *words])
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_network_times_each_size_beside_the_reference(script, monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "run", asked.append)
    script("network", "--size", "256", "1024", "--dtype", "fp32", "--batch", "2").main()
    assert [(a.size, a.dtype, a.batch, a.reference) for a in asked] == [
        (size, ["fp32"], [2], True) for size in (256, 1024)
    ]


def test_paste_prints_the_cost_of_a_larger_frame(script, capsys):
    pytest.importorskip("skimage", reason="pip install scikit-image")
    words = ["--megapixels", "0.5", "1", "--side", "100", "--faces", "2", "--repeats", "1"]
    script("paste", *words).main()
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("| 816 × 612, 0 MP |")
    assert re.search(r"\| \d+\.\d\d \|$", second)


def test_fidelity_compares_the_masks(script, capsys):
    pytest.importorskip("skimage", reason="pip install scikit-image")
    module = script("fidelity", "masks")
    module.DAMAGES = {"noise 12": module.DAMAGES["noise 12"]}
    module.main()
    means, drawn, stranger = capsys.readouterr().out.split("\n\n")
    assert means.splitlines()[-1].startswith("| noise 12 | 27.")
    box, oval, parse, _ = (
        float(cell.split("/")[0]) for cell in drawn.splitlines()[-1].split("|")[3:-1]
    )
    assert box > oval > 27.9
    assert box > parse > 27.9
    kept = [float(cell) for cell in stranger.splitlines()[-1].split("|")[2:-1]]
    assert kept[0] < 20
    assert min(kept[1:]) > 40


@pytest.mark.slow
def test_detail_compares_shares_of_the_detail(script, capsys):
    pytest.importorskip("skimage", reason="pip install scikit-image")
    module = script("detail")
    module.DAMAGES = {"noise 12": module.DAMAGES["noise 12"]}
    module.SHARES, module.FACES, module.CROPS = (0.0, 1.0, "auto"), (30,), (256,)
    module.main()
    damaged, untouched = capsys.readouterr().out.split("\n\n")
    none, full, auto, _ = (float(cell) for cell in damaged.splitlines()[-1].split("|")[2:-1])
    assert auto > none - 0.2  # this portrait was enlarged and has no finer detail
    assert auto > full + 2
    assert float(untouched.splitlines()[-1].split("|")[-2]) > 44


@pytest.mark.slow
def test_pipeline_times_every_step(script, capsys, monkeypatch):
    for package in ("skimage", "facenet_pytorch"):
        pytest.importorskip(package, reason=f"pip install '.[demo,detect]' for {package}")
    plain = Timing("reference, float32", 1, "cpu", seconds=2.0, first=2.0, load=None, peak=None)
    monkeypatch.setattr(bench, "run_in_process", lambda *_: plain)
    words = ["--megapixels", "1", "--faces", "2", "--detector", "mtcnn", "--size", "256"]
    script("pipeline", *words, "--device", "cpu", "--repeats", "1").main()
    out = capsys.readouterr().out
    for step in ("decode", "detect, mtcnn: 2 faces", "align", "restore, GPEN-256, float32",
                 "paste", "encode, .jpg", "everything but the network"):  # fmt: skip
        assert f"\n| {step}" in out
    assert "2 × 2.00 s | 4.00 s | 100.0 % |" in out


@pytest.fixture
def portraits(script, tmp_path, monkeypatch):
    """`training_people.py` with a table of one portrait, a repository, and a folder of faces."""
    skimage_data = pytest.importorskip("skimage.data", reason="pip install scikit-image")
    pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    if not shutil.which("git"):
        pytest.skip("apt-get install git")
    repository, faces = tmp_path / "us-house", tmp_path / "faces"
    faces.mkdir()
    (faces / "INDEX.tsv").write_text("file\tsource\tsplit\nclean/a.png\tours\tval\n")
    subprocess.run(["git", "init", "-q", repository], check=True)
    photograph = Image.fromarray(skimage_data.astronaut())
    photograph.resize((1536, 1536)).save(repository / "portrait.jpg")
    command = ["git", "-C", str(repository), "hash-object", "-w", "portrait.jpg"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    module = script("training_people", str(repository), "--faces", str(faces))
    monkeypatch.setattr(module, "TABLE", tmp_path / "people.tsv")

    def write_table(repository: str = "us-house", file_hash: str = found) -> None:
        row = ("people/eileen.png", repository, file_hash, "twice")
        lines = ("file\trepository\thash\ttwice", "\t".join(row))
        module.TABLE.write_text("\n".join(lines) + "\n")

    return module, faces, write_table


def test_training_people_adds_each_face_once(portraits):
    module, faces, write_table = portraits
    write_table()
    for _ in range(2):  # the second run adds no lines
        module.main()
        assert (faces / "INDEX.tsv").read_text().splitlines() == [
            "file\tsource\tsplit",
            "clean/a.png\tours\tval",
            "people/eileen.png\t\ttrain",
            "again/eileen.png\t\ttrain",
        ]
    once, twice = (read_image(faces / folder / "eileen.png")[0] for folder in ("people", "again"))
    assert once.shape == (3, 256, 256)
    assert torch.equal(once, twice)
    found = detect(load_detector("mtcnn"), once[None], max_faces=1)
    scale = find_alignment(found, size=256, template="ffhq").affine[0, 0, 0].item()
    assert scale == pytest.approx(1, abs=0.05)  # the template "gpen" would give 1.13


def test_training_people_names_a_missing_repository_or_file(portraits, capsys):
    module, faces, write_table = portraits
    before = (faces / "INDEX.tsv").read_text()
    write_table(repository="us-senate")
    with pytest.raises(SystemExit):
        module.main()
    assert "us-senate" in capsys.readouterr().err
    write_table(file_hash="0" * 40)
    with pytest.raises(SystemExit, match=r"has no file 0{40}.*whole history"):
        module.main()
    assert (faces / "INDEX.tsv").read_text() == before


class PixelReader:
    """Stands in for dlib: the points are a row of pixels, the descriptor is the mean colour."""

    def find(self, face):
        return None if face.max() == 0 else "a rectangle"

    def describe(self, face, where):
        assert where == "a rectangle"
        return face[30, :68, :2].astype(float), face.mean(axis=(0, 1))


def test_landmarks_measures_how_much_nearer_a_restored_face_is(script):
    module = script("landmarks")
    crops = (torch.rand(3, 3, 80, 80) * 255).byte()
    crops[1] = 0  # no face is found in it
    clean = iter(crops[[0, 2]])
    perfect = module.measure(PixelReader(), lambda x: next(clean).expand_as(x) / 255, crops, 2)
    assert perfect.shape == (3, 2, 3)
    assert [bool(x) for x in (perfect != perfect).any(axis=(1, 2))] == [False, True, False]
    assert (perfect[[0, 2], 1] == 0).all()
    assert (perfect[[0, 2], 0] > 0).all()
    same = module.measure(PixelReader(), lambda x: x, crops, 2)
    assert (same[0, 0] == same[0, 1]).all()
    assert (same[:, 0] == perfect[:, 0])[[0, 2]].all()
    assert module.describe_gains(perfect).startswith("   2 faces  eyes, px ")
    assert "→ 0.000 (+" in module.describe_gains(perfect)


def test_soak_fails_if_memory_threads_or_files_grow(script, capsys):
    soak = script("soak")
    steady = [soak.Usage(1000, 2, 5)] * 10
    assert soak.report(steady, 100, 9) == 0
    assert "+0.00%" in capsys.readouterr().out
    for worse in (soak.Usage(1010, 2, 5), soak.Usage(1000, 3, 5), soak.Usage(1000, 2, 6)):
        assert soak.report([*steady, worse], 110, 9) == 1


@pytest.mark.slow
def test_soak_restores_and_cancels(script, capsys):
    assert script("soak", "--most", "50").main() in (0, 1)
    assert re.search(r"restorations 50, \d+ of them cancelled", capsys.readouterr().out)
