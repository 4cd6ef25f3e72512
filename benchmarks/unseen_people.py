"""Cuts faces of people whom training has not seen, with their age and ancestry.

    git clone https://github.com/CivilServiceUSA/us-house     # and us-senate, us-governors
    python benchmarks/unseen_people.py us-house us-senate us-governors --out people
    gpen evaluate --data people --groups people/groups.tsv --same-damage

The results are in weights/README.md, section "How good it is".

The repositories (MIT) hold portraits of the US Congress and of the governors in March 2021, with
dates of birth and the ancestry as the project describes it. We leave out:

- members whose portrait is in `../shared/faces`, recognised by their Bioguide number;
- the people of `training_people.tsv`;
- the people of `people_in_wikimedia.txt`, who are among the `wikimedia` faces of `../shared/faces`:
  dlib's descriptors of the two faces are nearer than 0.5, which means one person;
- faces that we would have to enlarge to 256 px.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from gpen_core import Crops, GPENError, align, detect, load_detector, read_image, write_image
from gpen_core.detectors import Detector
from gpen_core.evaluation.face_folder import INDEX_NAME, read_table
from gpen_core.warp import shrink_factor

SIZE = 256
IN_WIKIMEDIA = Path(__file__).with_name("people_in_wikimedia.txt")
FACES = Path(__file__).parents[2] / "shared" / "faces"
TRAINING_PEOPLE = Path(__file__).with_name("training_people.tsv")


def group_by_birth(birthday: str) -> str:
    """Return the age group of a date of birth YYYY-MM-DD."""
    year = int(birthday[:4])
    return "to 1949" if year < 1950 else "1950 to 1964" if year < 1965 else "1965 and later"


def list_people(repository: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Yield each person's portrait, Bioguide number, date of birth and ancestry; "" if unknown."""
    name = repository.resolve().name
    for person in json.loads((repository / name / "data" / f"{name}.json").read_text()):
        portrait = repository / "source" / "headshots" / f"{person['name_slug']}.jpg"
        number = person.get("bioguide") or ""
        yield portrait, number, person["date_of_birth"] or "", person["ethnicity"] or ""


def cut_largest_face(detector: Detector, portrait: Path, template: str = "gpen") -> Crops | None:
    """Return the aligned largest face of a portrait; None if there is none or it is too small."""
    image = read_image(portrait)
    crops = align(image, detect(detector, image, max_faces=1), size=SIZE, template=template)
    large = [shrink_factor(to_image) >= 1 for to_image in crops.alignment.inverse_affine]
    return crops if any(large) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repositories", type=Path, nargs="+", metavar="REPOSITORY")
    parser.add_argument("--out", type=Path, required=True, help="folder for faces and groups.tsv")
    options = parser.parse_args()
    seen = set(IN_WIKIMEDIA.read_text(encoding="utf-8").split())
    for table in (FACES / INDEX_NAME, TRAINING_PEOPLE):
        names = (file.name.split("__")[-1] for file in read_table(table, FACES))
        seen |= {name.split(".")[0] for name in names}  # Bioguide numbers among them

    detector = load_detector("auto")
    options.out.mkdir(parents=True, exist_ok=True)
    rows, left_out = [], []
    for portrait, number, birthday, ancestry in tqdm(
        [person for repository in options.repositories for person in list_people(repository)]
    ):
        if number in seen or portrait.stem in seen:
            continue
        try:
            crops = cut_largest_face(detector, portrait)
        except GPENError as error:
            left_out.append(str(error))
            continue
        if crops is None:
            left_out.append(f"{portrait}: no face of {SIZE} px")
            continue
        file = options.out / f"{portrait.stem}.png"
        write_image(file, crops.pixels)
        rows.append((file.name, group_by_birth(birthday) if birthday else "", ancestry))
    with (options.out / "groups.tsv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, delimiter="\t", lineterminator="\n")
        writer.writerow(("file", "born", "ancestry"))
        writer.writerows(rows)
    print(*left_out, f"{len(rows)} faces in {options.out}", sep="\n")


if __name__ == "__main__":
    main()
