from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gpen_core import names
from gpen_core.align import TEMPLATES
from gpen_core.detectors.registry import load_detector
from gpen_core.errors import DetectorError
from gpen_core.media.formats import FORMATS

ROOT = Path(__file__).resolve().parents[1]


def test_every_template_has_its_points():
    assert tuple(TEMPLATES) == names.TEMPLATES


def test_every_writable_suffix_has_its_format():
    assert tuple(suffix for kind in FORMATS for suffix in kind.suffixes) == names.WRITABLE


def test_every_detector_is_known_to_the_registry(tmp_path):
    for name in names.DETECTORS:
        try:
            load_detector(name, device="cpu", weights=tmp_path / "absent.pth")
        except DetectorError as error:
            assert "Unknown detector" not in str(error)
        except Exception as error:  # noqa: BLE001, the file is not there
            assert "absent.pth" in str(error)


def test_names_import_nothing():
    code = (
        "import sys; before = set(sys.modules); import gpen_core.names as n; "
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('gpen_core')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "torch" not in done.stdout and "numpy" not in done.stdout
