"""`gpen restore`, `chunk` and `--journal` with inputs and results behind URLs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from disk_store import DiskStore
from inline_pool import InlinePool
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli, urls
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import batch

MODEL = ("--model", "small.safetensors", "--aligned")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, and in `store/b/in` three faces; `plain` holds them restored."""
    folder = tmp_path_factory.mktemp("urls")
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), folder / "small.safetensors")
    random = np.random.default_rng(2)
    inputs = folder / "store" / "b" / "in"
    (inputs / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/c.png"):
        pixels = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(inputs / name)
    (inputs / "notes.txt").write_text("no image")
    (inputs / ".marker").touch()
    model = ("--model", str(folder / "small.safetensors"), "--aligned")
    assert cli.main(["restore", str(inputs), "-o", str(folder / "plain"), *model]) == 0
    return folder


@pytest.fixture
def gpen(folder, monkeypatch, capsys, tmp_path):
    """Run `gpen` where the model is; disk://b/in holds the inputs, disk://OUT is tmp_path."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(urls, "DELAY", 0)
    monkeypatch.setattr(
        batch, "make_pool", lambda args: InlinePool(partial(batch.load_work, pack(args)))
    )
    pack = batch.pack_options
    store = tmp_path / "store"
    store.mkdir()
    (store / "b").symlink_to(folder / "store" / "b")
    DiskStore.start(store)
    capsys.readouterr()

    def run(*words: object) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_behind_a_url_gives_the_results_of_a_local_one(gpen, folder, tmp_path):
    DiskStore.failing = 0.2
    code, said, err = gpen("restore", "disk://b/in", "-o", "disk://out", *MODEL)
    assert (code, err) == (0, "")
    out = tmp_path / "store" / "out"
    assert contents(out) == contents(folder / "plain")
    assert "disk://b/in/sub/c.png → disk://out/sub/c.png: restored" in said
    code, _, err = gpen("restore", "disk://b/in/*.png", "-o", "disk://out", *MODEL)
    assert code == 1
    assert "disk://out/a.png exists; pass --overwrite" in err
    code, said, _ = gpen("restore", "disk://b/in", "-o", "disk://out", *MODEL, "--skip-existing")
    assert (code, said) == (0, "3 skipped: their results exist.\n")
    assert gpen("restore", "disk://b/in", "-o", "disk://out", *MODEL, "--overwrite")[0] == 0


def test_one_side_may_be_local(gpen, folder, tmp_path):
    plain = contents(folder / "plain")
    out = tmp_path / "out"
    assert gpen("restore", "disk://b/in", "-o", out, *MODEL)[0] == 0
    assert contents(out) == plain
    inputs = folder / "store" / "b" / "in"
    assert gpen("restore", inputs / "a.png", "-o", "disk://one/x.png", *MODEL)[0] == 0
    assert (tmp_path / "store/one/x.png").read_bytes() == plain["a.png"]
    uri = (inputs / "a.png").as_uri()
    assert gpen("restore", uri, "-o", (tmp_path / "y.png").as_uri(), *MODEL)[0] == 0
    assert (tmp_path / "y.png").read_bytes() == plain["a.png"]


def test_a_store_that_fails_for_good_fails_its_files_by_name(gpen, tmp_path, monkeypatch):
    put = DiskStore.pipe_file

    def refuse(self, path, value, **options):
        if path.endswith("b.png"):
            raise OSError("503 slow down")
        put(self, path, value, **options)

    monkeypatch.setattr(DiskStore, "pipe_file", refuse)
    (tmp_path / "store/b/in/bad.png").write_bytes(b"no image")
    try:
        code, said, err = gpen("restore", "disk://b/in", "-o", "disk://out", *MODEL)
    finally:
        (tmp_path / "store/b/in/bad.png").unlink()
    assert code == 1
    assert "disk://b/in/bad.png" in err
    assert "disk://out/b.png cannot be written after 4 tries: 503 slow down" in err
    assert "gpen-" not in said + err  # no name of a scratch folder
    assert set(contents(tmp_path / "store/out")) == {"a.png", "sub/c.png"}


def test_a_journal_leaves_finished_urls_alone(gpen, folder, tmp_path):
    words = ("restore", "disk://b/in", "-o", "disk://out", *MODEL)
    words = (*words, "--journal", tmp_path / "run.sqlite")
    assert gpen(*words)[0] == 0
    assert contents(tmp_path / "store/out") == contents(folder / "plain")
    report = tmp_path / "report.html"
    assert gpen("status", tmp_path / "run.sqlite", "--report", report)[0] == 0
    assert report.read_text("utf-8").count("data:image") == 6
    DiskStore.asked.clear()
    code, _, err = gpen(*words)
    assert code == 0
    assert "3 done already, 0 left" in err
    assert not [one for one in DiskStore.asked if one[0] in ("get", "put")]
    (tmp_path / "store/out/a.png").unlink()
    assert gpen(*words)[1].count(" → ") == 1
    assert gpen(*words, "--hash-inputs")[1].count(" → ") == 3


def test_a_plan_may_hold_urls(gpen, folder, tmp_path):
    plan = tmp_path / "plan"
    words = ("disk://b/in", "-o", "disk://out", *MODEL, "--plan", plan, "--files", 2, "--json")
    code, said, _ = gpen("chunk", *words)
    assert code == 0
    assert json.loads(said.splitlines()[0]) == {"chunks": 2, "files": 3}
    assert [gpen("run-chunk", plan, "--index", n)[0] for n in (1, 0)] == [0, 0]
    assert gpen("join", plan)[0] == 0
    assert contents(tmp_path / "store/out") == contents(folder / "plain")
    assert gpen("run-chunk", plan, "--index", 0)[1] == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "disk://out", "--journal", "s3://b/j"), "must be a local path, found s3://b/j"),
        (("-o", "disk://out", "--compare"), "--compare writes files beside the result"),
        (("-o", "out", "--sidecar"), "--sidecar has no effect on files behind URLs"),
        (("-o", "disk://out/a.png"), "the input is not a single file"),
        (("-o", "nowhere://out"), "no store is known for nowhere://"),
    ],
)
def test_what_a_store_cannot_hold_is_refused(gpen, tmp_path, words, message, capsys):
    try:
        code, _, err = gpen("restore", "disk://b/in", *words, "--model", "small.safetensors")
    except SystemExit as stopped:
        code, err = stopped.code, capsys.readouterr().err
    assert code == 2
    assert message in err
    assert not (tmp_path / "store/out").exists()


def test_results_that_would_be_one_and_films_are_refused(gpen, tmp_path):
    inputs = tmp_path / "store/x"
    inputs.mkdir()
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (32, 32)).save(inputs / name)
    code, _, err = gpen("restore", "disk://x", "-o", "disk://out", *MODEL, "--ext", "png")
    assert code == 1
    assert err.count("disk://out/a.png would be the result of each of disk://x/a.jpg") == 2
    assert not (tmp_path / "store/out").exists()
    (inputs / "film.mp4").write_bytes(b"film")
    code, _, err = gpen("restore", "disk://x/film.mp4", "-o", "disk://out", *MODEL)
    assert code == 1
    assert "Films are restored from and to local files only" in err
