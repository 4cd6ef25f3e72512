r"""Restore one face or photograph with the options that older guides use.

`gpen restore` has more options. Example:

python run_gpen.py --input my_blurry_face.jpg --output restored_face.png \
    --model_path ./weights/gpen-bfr-2048.pth --size 2048 --face_align
"""

import argparse
import sys
from pathlib import Path

from gpen_core.cli import main


def restore(words: list[str] | None = None) -> int:
    """Run with `words`, or with the command line of this process; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", required=True, help="the image to restore")
    parser.add_argument("--output", required=True, help="the image to write; replaced if it exists")
    parser.add_argument("--model_path", required=True, help="a GPEN checkpoint")
    parser.add_argument("--size", type=int, help="the size of the model; another size is an error")
    parser.add_argument(
        "--face_align",
        action="store_true",
        help="find the faces of a photograph; without it, the input is one aligned face",
    )
    args = parser.parse_args(words)
    command = ["restore", "-o", args.output, "--overwrite", "--model", _find_model(args.model_path)]
    command += ["--size", str(args.size)] if args.size else []
    command += [] if args.face_align else ["--aligned"]
    return main([*command, "--", args.input])


def _find_model(path: str) -> str:
    """Return the path; if there is no such file, the name of the published model it means.

    A name is searched for in every folder of weights, and the error for a missing file says where
    it is published.
    """
    if Path(path).exists():
        return path
    from gpen_core.checkpoints import catalog

    name = Path(path).stem.lower()
    return next((entry.name for entry in catalog.entries() if entry.name.lower() == name), path)


if __name__ == "__main__":
    sys.exit(restore())
