"""Alter sound files at random, and measure the memory that reading files takes."""

from __future__ import annotations

import importlib.util
import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

COMMON_KINDS = 4
LIMITS = (0, 1, 127, 255, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 31, 1 << 20)

READ_ALL = """
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read(sys.argv[1])
before, found = peak(), {}
for path in sorted(Path(sys.argv[2]).iterdir()):
    try: read(path)
    except Refused: pass
    now = peak()
    found[path.name], before = now - before, now
print(json.dumps(found))
"""


def load_script(name: str) -> ModuleType:
    """Import a script of tests/hostile, which is no package."""
    path = ROOT / "tests" / "hostile" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw_place(altered: bytearray, dice: random.Random) -> int:
    """Draw where to alter a file: headers are hit more often than the rest."""
    return dice.randrange(min(len(altered), dice.choice([64, 600, len(altered)])) or 1)


def alter_bytes(altered: bytearray, place: int, kind: int, dice: random.Random, order: str) -> None:
    """Alter a file at `place`, by one of `COMMON_KINDS`.

    Args:
        kind: 0 another byte, 1 a copy from elsewhere in the file, 2 a cut, 3 a number at its limit.
        order: byte orders of the number, "<", ">" or both.
    """
    if kind == 0:
        altered[place : place + 1] = bytes([dice.randrange(256)])
    elif kind == 1:
        start = dice.randrange(len(altered))
        altered[place:place] = altered[start : start + dice.randrange(40)]
    elif kind == 2:
        del altered[place : place + dice.randrange(1, 9)]
    else:
        chosen = order if len(order) == 1 else dice.choice(order)
        altered[place : place + 4] = struct.pack(f"{chosen}I", dice.choice(LIMITS))


def measure_growth(imports: str, sound: Path, folder: Path) -> dict[str, float]:
    """Read the files of a folder in one new process; return by how many MB each raises its peak.

    Args:
        imports: code that defines `read(path)` and `Refused`, the error that refuses a file.
        sound: a sound file, read first.
    """
    code = f"import json, resource, sys\nfrom pathlib import Path\n{imports}\n{READ_ALL}"
    words = [sys.executable, "-c", code, str(sound), str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return {name: peak * unit / 1e6 for name, peak in json.loads(done.stdout).items()}
