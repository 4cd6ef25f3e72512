"""Adds to a copy of `../shared/faces` the other faces that the built-in model was trained on.

    git clone https://github.com/CivilServiceUSA/us-house                  # and us-senate, with
    git clone https://github.com/presidential-innovation-fellows/pif-website      # their history
    cp -r ../shared/faces faces
    python benchmarks/training_people.py us-house us-senate pif-website --faces faces
    gpen train --data faces --split train …

weights/README.md, section "Training", says how these faces were used.

`training_people.tsv` names each portrait by the git hash of its file. A third of the files are only
in the history of their repository. Its column `twice` marks people born before 1950. Their faces
are copied, so that training draws them twice as often. The largest face of each portrait is cut
with the template `ffhq`, like the other faces.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import tempfile
from pathlib import Path

from tqdm import tqdm
from unseen_people import cut_largest_face

from gpen_core import load_detector, write_image
from gpen_core.evaluation.face_folder import INDEX_NAME, read_table

TABLE = Path(__file__).with_suffix(".tsv")


def read_portrait(repository: Path, file_hash: str) -> bytes:
    """Return the bytes of a file from the history of a git repository."""
    command = ("git", "-C", repository, "cat-file", "blob", file_hash)
    found = subprocess.run(command, capture_output=True)
    if found.returncode:
        raise SystemExit(
            f"{repository} has no file {file_hash}: {found.stderr.decode().strip()}. Clone it with "
            "its whole history."
        )
    return found.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repositories", type=Path, nargs="+", metavar="REPOSITORY")
    parser.add_argument("--faces", type=Path, required=True, help="a copy of ../shared/faces")
    options = parser.parse_args()
    repositories = {path.resolve().name: path for path in options.repositories}
    index = options.faces / INDEX_NAME
    known = read_table(index, options.faces)
    rows = read_table(TABLE, options.faces)
    missing = {row["repository"] for row in rows.values()} - {"", *repositories}
    if missing:
        parser.error(f"name the folders {', '.join(sorted(missing))} too")

    detector = load_detector("auto")
    added = []
    for file, row in tqdm(rows.items()):
        if row["hash"]:
            with tempfile.NamedTemporaryFile() as opened:
                opened.write(read_portrait(repositories[row["repository"]], row["hash"]))
                opened.flush()
                crops = cut_largest_face(detector, Path(opened.name), template="ffhq")
            if crops is None:
                raise SystemExit(
                    f"{row['file']}: no face found in {row['hash']}; try another detector."
                )
            file.parent.mkdir(exist_ok=True)
            write_image(file, crops.pixels)
            added.append(file)
        if row["twice"]:
            again = file.parents[1] / "again" / file.name
            again.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, again)
            added.append(again)
    folder = options.faces.absolute()
    _append(index, [file.relative_to(folder) for file in added if file not in known])
    print(f"{len(added)} faces in {folder}")


def _append(index: Path, files: list[Path]) -> None:
    """Append faces of split `train` to a table with at least the columns `file` and `split`."""
    with index.open(encoding="utf-8", newline="") as table:
        columns = next(csv.reader(table, delimiter="\t"))
    with index.open("a", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, columns, delimiter="\t", lineterminator="\n", restval="")
        writer.writerows({"file": file.as_posix(), "split": "train"} for file in files)


if __name__ == "__main__":
    main()
