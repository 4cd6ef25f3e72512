"""The public names as their users meet them: in examples, and in a type checker."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gpen_core as gpen

ROOT = Path(__file__).resolve().parents[1]
ERRORS = {name for name in gpen.__all__ if name.endswith("Error")}
NEEDS_MTCNN = {"load_detector", "detect", "restore_image", "restore_video", "colorize", "inpaint"}


@pytest.mark.parametrize("name", sorted(set(gpen.__all__) - ERRORS))
def test_every_public_name_has_an_example_that_runs(name, capsys):
    if name in NEEDS_MTCNN:
        pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    value = getattr(gpen, name)
    text = inspect.getdoc(value) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert example.examples, f"gpen_core.{name} has no example"
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0, capsys.readouterr().out


def check_types(code: str, folder: Path) -> list[str]:
    """The errors that pyright finds in a program which uses the library."""
    program = folder / "program.py"
    program.write_text(code, encoding="utf-8")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p",
         str(folder)],
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= 1, done.stderr
    return [d["message"] for d in report["generalDiagnostics"] if d["severity"] == "error"]


def test_a_type_checker_passes_the_examples_of_readme(tmp_path):
    pytest.importorskip("pyright", reason="pip install 'pyright[nodejs]'")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert examples
    assert check_types("\n".join(examples), tmp_path) == []


def test_a_type_checker_finds_wrong_arguments_and_unknown_names(tmp_path):
    pytest.importorskip("pyright", reason="pip install 'pyright[nodejs]'")
    code = "import gpen_core as gpen\n\ngpen.align(1, 2, size=3)\ngpen.restore_film\n"
    errors = check_types(code, tmp_path)
    assert any('parameter "image" of type "Tensor"' in error for error in errors), errors
    assert any("restore_film" in error for error in errors), errors
