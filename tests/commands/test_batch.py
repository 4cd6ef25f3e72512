"""`gpen restore --journal`: what is done, left alone, done again and refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from inline_pool import InlinePool
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.batch.work import DONE, Result
from gpen_core.commands import batch
from gpen_core.commands.batch_work import unpack_job
from gpen_core.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
OPENED: list[str] | None = None
"""Files that are opened, while a test listens."""


def listen(event: str, arguments: tuple) -> None:
    if event == "open" and OPENED is not None and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


sys.addaudithook(listen)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(GPEN(config).state_dict(), path)
    return str(path)


def load_copying(options):
    """Return what copies each file and appends the strength, in place of a network."""

    def work(task):
        job = unpack_job(task.payload)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(job.target, overwrite=task.again) as scratch:
            scratch.write_bytes(job.source.read_bytes() + str(options["strength"]).encode())
        length = job.target.stat().st_size
        return Result(task.name, task.source, DONE, "copied", bytes=length)

    return work


@pytest.fixture
def copying(gpen, monkeypatch):
    """The same, but each file is copied."""
    monkeypatch.setattr(batch, "load_work", load_copying)
    return gpen


@pytest.fixture
def gpen(checkpoint, tmp_path, monkeypatch, capsys):
    """Run `gpen restore --aligned` with a journal in tmp_path, by a worker in this process."""
    monkeypatch.setattr(
        batch,
        "make_pool",
        lambda args: InlinePool(partial(batch.load_work, batch.pack_options(args))),
    )
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(2)
    Path("in/sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/c.png"):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(f"in/{name}")

    def run(*words: str, plain: bool = False) -> tuple[int, str, str]:
        journal = [] if plain else ["--journal", "run.sqlite"]
        code = cli.main(["restore", "--model", checkpoint, "--aligned", "in", *journal, *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def contents(folder: str) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def done(out: str) -> list[str]:
    return [Path(line.split(" → ")[0]).name for line in out.splitlines() if " → " in line]


def test_results_are_those_of_a_plain_run_byte_for_byte(gpen):
    assert gpen("-o", "out", "--jobs", "2")[0] == 0
    assert gpen("-o", "plain", plain=True)[0] == 0
    assert gpen("-o", "workers", "--jobs", "1", plain=True)[0] == 0
    assert contents("out") == contents("plain") == contents("workers")
    assert len(contents("out")) == 3


def stamps(folder: str) -> dict[Path, tuple[int, int, int]]:
    """What changes when something is written; times of access are left out."""
    every = {path: path.stat() for path in Path(folder).rglob("*")}
    return {path: (s.st_ino, s.st_size, s.st_mtime_ns) for path, s in every.items()}


def test_a_second_run_opens_no_finished_file_and_loads_no_network(copying, monkeypatch):
    global OPENED
    assert copying("-o", "out")[0] == 0
    before = stamps("out")
    monkeypatch.setattr(InlinePool, "wait", None)
    OPENED = []
    code, out, err = copying("-o", "out")
    opened, OPENED = OPENED, None
    assert (code, out) == (0, "")
    assert "3 done already, 0 left" in err
    assert stamps("out") == before
    assert not [name for name in opened if name.endswith(".png")]


def test_only_what_changed_is_made_again(copying):
    assert copying("-o", "out")[0] == 0
    shutil.copyfile("in/a.png", "in/new.png")
    shutil.copyfile("in/a.png", "in/b.png")
    Path("out/sub/c.png").unlink()
    code, out, _ = copying("-o", "out")
    assert code == 0
    assert sorted(done(out)) == ["b.png", "c.png", "new.png"]
    files = contents("out")
    assert files["a.png"] == files["b.png"] == files["new.png"] != files["sub/c.png"]


def test_another_option_or_model_makes_all_again(copying, checkpoint, tmp_path):
    assert copying("-o", "out")[0] == 0
    first = contents("out")
    code, out, _ = copying("-o", "out", "--strength", "0.5")
    assert code == 0
    assert len(done(out)) == 3
    assert not set(contents("out").values()) & set(first.values())
    shutil.copyfile(checkpoint, tmp_path / "same.safetensors")
    assert done(copying("-o", "out", "--strength", "0.5", "--model", "same.safetensors")[1]) == []


def test_a_touched_input_is_made_again_unless_its_contents_are_looked_at(copying):
    assert copying("-o", "out", "--hash-inputs")[0] == 0
    os.utime("in/a.png", ns=(1, 1))
    assert done(copying("-o", "out", "--hash-inputs")[1]) == []
    assert copying("-o", "out")[0] == 0
    os.utime("in/a.png", ns=(2, 2))
    assert done(copying("-o", "out")[1]) == ["a.png"]


def test_files_that_the_journal_did_not_make_are_not_replaced(copying):
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"mine")
    code, out, err = copying("-o", "out")
    assert code == 1
    assert sorted(done(out)) == ["b.png", "c.png"]
    assert "a.png exists, and no earlier run made it" in err
    Path("out/b.png").write_bytes(b"edited")
    code, _, err = copying("-o", "out")
    assert code == 1
    assert "b.png has 6 bytes, and this journal made it with" in err
    assert Path("out/a.png").read_bytes() == b"mine"
    assert Path("out/b.png").read_bytes() == b"edited"
    assert sorted(done(copying("-o", "out", "--overwrite")[1])) == ["a.png", "b.png"]


def test_failures_are_kept_named_and_tried_again_when_asked(gpen):
    Path("in/bad.png").write_bytes(b"no picture")
    Path("in/gone.png").symlink_to("nowhere.png")
    for words, tried in (((), 3), ((), 0), (("--retry-failed",), 0)):
        code, out, err = gpen("-o", "out", *words)
        assert code == 1
        assert len(done(out)) == tried
        assert "gpen: in/bad.png is not an image" in err.replace("\\", "/")
    Image.new("RGB", (32, 32)).save("in/bad.png")
    code, out, err = gpen("-o", "out")
    assert done(out) == ["bad.png"]
    assert "gone.png" in err
    assert code == 1


def test_an_interrupted_run_goes_on_with_what_is_left(copying, monkeypatch):
    real = InlinePool.wait

    def interrupt(pool, timeout):
        if len(contents("out")) == 2:
            raise KeyboardInterrupt
        return real(pool, timeout)

    Path("out").mkdir()
    monkeypatch.setattr(InlinePool, "wait", interrupt)
    code, out, _ = copying("-o", "out")
    assert code == 130
    assert len(done(out)) == 2
    monkeypatch.setattr(InlinePool, "wait", real)
    code, again, _ = copying("-o", "out")
    assert code == 0
    assert sorted(done(out) + done(again)) == ["a.png", "b.png", "c.png"]


def test_two_inputs_of_one_result_are_both_named_before_the_work(copying):
    Image.new("RGB", (32, 32)).save("in/a.jpg")
    code, out, err = copying("-o", "out", "--ext", "png")
    assert code == 1
    assert sorted(done(out)) == ["b.png", "c.png"]
    assert err.count("Neither is done") == 2
    assert sorted(contents("out")) == ["b.png", "sub/c.png"]


def test_losses_are_told_once_in_a_run(gpen):
    for name in ("a", "b"):
        Image.new("RGBA", (32, 32), (9, 9, 9, 255)).save(f"in/{name}.png", dpi=(72, 72))
        with Image.open(f"in/{name}.png") as image:
            image.convert("RGB").save(f"in/{name}.jpg", comment=b"hello")
        Path(f"in/{name}.png").unlink()
    code, _, err = gpen("-o", "out", "--ext", "png")
    assert code == 0
    assert err.count("(said once)") == 1


def test_scripts_get_lines_of_json(gpen):
    code, out, _ = gpen("-o", "out", "--json")
    assert code == 0
    *lines, counts = [json.loads(line) for line in out.splitlines()]
    assert counts == {"done": 3, "failed": 0, "skipped": 0}
    assert {(line["state"], line["faces"]) for line in lines} == {("done", 1)}
    assert json.loads(gpen("-o", "out", "--json")[1]) == {"done": 0, "failed": 0, "skipped": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--skip-existing",), "--skip-existing and --journal contradict"),
        (("--model", "none.pth"), "none.pth"),
        (("--upscaler", "none.pth"), "--upscaler"),
    ],
)
def test_what_contradicts_or_is_missing_is_refused_before_the_work(gpen, words, message):
    code, out, err = gpen("-o", "out", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("out").exists()


def test_options_of_the_journal_need_one(gpen):
    for word in ("--retry-failed", "--hash-inputs"):
        code, _, err = gpen("-o", "out", word, plain=True)
        assert code == 2
        assert f"{word} has no effect without --journal" in err


def test_status_tells_how_far_it_is_and_writes_reports(gpen, capsys):
    Path("in/bad <1>.png").write_bytes(b"no picture")
    assert gpen("-o", "out")[0] == 1
    assert cli.main(["status", "run.sqlite", "--report", "r/report.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 done, 1 failed, 0 left of 4; 3 faces restored.")
    assert "failed: in/bad <1>.png: " in out.replace("\\", "/")
    report = json.loads(Path("r/report.json").read_text("utf-8"))
    assert report["status"]["done"] == 3
    assert [row["state"] for row in report["results"]].count("done") == 3
    assert {row["target"] for row in report["results"]} >= {str(Path("out/a.png").resolve())}
    Path("in/a.png").unlink()  # its picture is missing then
    assert cli.main(["status", "run.sqlite", "--report", "report.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 1
    page = Path("report.html").read_text("utf-8")
    assert page.count("<img src") == 5
    assert "bad &lt;1&gt;.png" in page
    assert "<1>" not in page
    assert cli.main(["status", "run.sqlite", "--report", "report.pdf"]) == 2
    assert "expected a name that ends with .json or .html" in capsys.readouterr().err
    assert cli.main(["status", "nothing.sqlite"]) == 2


def test_neither_the_driver_nor_a_worker_imports_pytorch_before_its_threads_are_limited():
    code = (
        "import sys\n"
        "import gpen_core.commands.batch, gpen_core.commands.batch_work, gpen_core.batch.actors\n"
        "assert not {'torch', 'numpy', 'cv2', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow  # processes that import PyTorch
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_a_killed_run_is_completed_by_the_same_command(gpen, checkpoint, tmp_path):
    for number in range(40):
        shutil.copyfile("in/a.png", f"in/{number}.png")
    words = ["restore", "--model", checkpoint, "--aligned", "in", "-o", "out", "--jobs", "2"]
    command = [sys.executable, "-m", "gpen_core", *words, "--journal", "run.sqlite"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
    time.sleep(2)  # the workers notice
    assert 0 < len(contents("out")) < 43
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert cli.main([*words[:5], "-o", "plain"]) == 0
    assert contents("out") == contents("plain")
