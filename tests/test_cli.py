"""The command `gpen`: help, errors and exit codes, and the commands about weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.errors import GPENError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    model = GPEN(GPENConfig(16, 32, (8, 8, 8, 4), style_dim=16, mapping_layers=2))
    path = tmp_path_factory.mktemp("weights") / "顔 model.pth"
    torch.save({"g_ema": model.state_dict()}, path)
    return path


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize("words", [["--help"], ["restore", "--help"], ["models", "--help"]])
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys\n"
        "from gpen_core.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'cv2', 'tqdm', 'kornia'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = python("-c", code, *words)
    assert result.returncode == 0, result.stderr
    assert "usage: gpen" in result.stdout


@pytest.mark.parametrize(
    ("given", "first", "expected"),
    [
        ({}, "", str(cli.SPINS)),
        ({"GOMP_SPINCOUNT": "7"}, "", "7"),
        ({"OMP_WAIT_POLICY": "active"}, "", "None"),  # the user chose
        ({}, "import torch", "None"),  # too late: OpenMP has started
    ],
)
def test_threads_spin_for_a_bounded_time_unless_the_user_chose(given, first, expected):
    code = (
        f"import os, sys\n{first}\nfrom gpen_core.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(os.environ.get('GOMP_SPINCOUNT'))\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment | given, capture_output=True,
        text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split()[-1] == expected


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(f"    {name} " in text or f"    {name}\n" in text for name in cli.COMMANDS)
    assert {"restore", "inspect", "convert", "models", "download"} < set(cli.COMMANDS)
    assert {"train", "evaluate", "bench"} < set(cli.COMMANDS)


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([name, "--help"])
    assert f"usage: gpen {name}" in capsys.readouterr().out


def test_the_module_is_the_command():
    result = python("-m", "gpen_core", "--version")
    assert result.stdout.startswith("gpen 0.")


@pytest.mark.parametrize("words", [[], ["no-such-command"], ["restore"], ["--no-such-option"]])
def test_wrong_usage_exits_with_2(words):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)


def test_an_error_is_one_line_without_traceback(tmp_path, capsys):
    assert cli.main(["inspect", str(tmp_path / "no.pth")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gpen: ")
    assert captured.err.count("\n") == 1
    assert "no.pth" in captured.err


def test_an_interruption_exits_with_130(monkeypatch, capsys):
    from gpen_core.checkpoints import catalog

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "entries", interrupt)
    assert cli.main(["models"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_ends_a_command_as_an_interruption_does(monkeypatch, capsys):
    from gpen_core.checkpoints import catalog

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(catalog, "entries", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert cli.main(["models"]) == 143
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_letters_that_a_console_lacks_are_escaped(checkpoint):
    result = python(
        "-m", "gpen_core", "inspect", str(checkpoint), PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert result.returncode == 0, result.stderr
    assert "\\u9854 model.pth" in result.stdout


def test_inspect_describes_a_checkpoint(checkpoint, capsys):
    assert cli.main(["inspect", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    for fact in ("g_ema", "16 × 16", "32 × 32", "8 8 8 4", "concat", "fp32", "sha256"):
        assert fact in text


def test_inspect_reads_what_convert_writes(checkpoint, tmp_path, capsys):
    target = tmp_path / "half.safetensors"
    assert cli.main(["convert", str(checkpoint), str(target), "--dtype", "fp16"]) == 0
    assert {tensor.dtype for tensor in load_file(target).values()} <= {torch.float16, torch.float32}
    assert cli.main(["inspect", str(target)]) == 0
    assert "fp16" in capsys.readouterr().out
    assert cli.main(["convert", str(checkpoint), str(target)]) == 2
    assert "exists" in capsys.readouterr().err
    assert cli.main(["convert", str(checkpoint), str(target), "--overwrite"]) == 0


def test_models_lists_the_catalogue(capsys):
    from gpen_core.checkpoints import catalog

    assert cli.main(["models"]) == 0
    text = capsys.readouterr().out
    for entry in catalog.entries():
        assert entry.name in text
        assert entry.url in text
    assert "gpen download NAME" in text


def test_download_refuses_unknown_names(capsys):
    assert cli.main(["download", "GPEN-BFR-333"]) == 2
    assert "GPEN-BFR-333" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--strength", "1.5"], "must lie in 0 … 1, found 1.5"),
        (["--detail", "much"], "must lie in 0 … 1, found much"),
        (["--max-faces", "0"], "must be at least 1"),
        (["--scale", "3"], "invalid choice"),
    ],
)
def test_options_are_checked_before_any_work(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["restore", "a.jpg", "-o", "b.jpg", *words])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--aligned", "--scale", "2"],
        ["--aligned", "--save-faces"],
        ["b.jpg"],
    ],
)
def test_options_that_contradict_each_other_are_refused(words, capsys):
    assert cli.main(["restore", "a.jpg", *words, "-o", "out.png"]) == 2
    assert capsys.readouterr().err.startswith("gpen: -")


def test_every_error_of_the_library_is_a_gpen_error():
    from gpen_core import errors

    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(kind, GPENError) for kind in kinds)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
def test_a_closed_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "gpen_core", "models"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == cli.UNREAD
