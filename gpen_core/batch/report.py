"""A report of a journal: as JSON, or as an HTML page with a contact sheet."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .. import urls
from ..errors import GPENError
from ..files import write_atomically
from ..media import read_picture
from ..reports.html import (
    Html,
    encode_picture,
    make_card,
    make_grid,
    make_heading,
    make_page,
    make_paragraph,
    make_picture,
    make_table,
    write_page,
)
from ..warp import resize
from .work import FAILED

if TYPE_CHECKING:
    from ..media import Picture
    from .journal import Row
    from .status import Reader

PAIRS = 48
"""Results on the contact sheet."""
SIDE = 240
"""Longer side of a picture there, px."""


def write_report(reader: Reader, path: Path, *, overwrite: bool = True) -> None:
    """Write a report; the suffix of the path, .json or .html, chooses its kind.

    Raises:
        GPENError: the suffix is another one, or the journal cannot be read.
    """
    kinds = {".json": _write_json, ".html": _write_html}
    write = kinds.get(path.suffix.lower())
    if write is None:
        raise GPENError(f"--report {path}: expected a name that ends with .json or .html.")
    write(reader, path, overwrite=overwrite)


def _write_json(reader: Reader, path: Path, *, overwrite: bool) -> None:
    """Write the status and all rows, one a line, without holding them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        write_atomically(path, overwrite=overwrite) as scratch,
        scratch.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        status = json.dumps(reader.measure()._asdict())
        journal = json.dumps(str(reader.path))
        file.write(f'{{"journal": {journal},\n"status": {status},\n"results": [')
        for number, row in enumerate(reader.read()):
            values = row._asdict()
            values["target"] = values.pop("id")
            del values["payload"]
            file.write(f"{',' if number else ''}\n{json.dumps(values)}")
        file.write("\n]}\n")


def _write_html(reader: Reader, path: Path, *, overwrite: bool) -> None:
    status, shown = reader.measure(), reader.choose(PAIRS)
    failed = [(row.source, row.error or "") for row in reader.read(FAILED)]
    page = make_page(
        f"Results of {reader.path.name}",
        make_paragraph(f"{status.done} done, {status.failed} failed, {status.left} left."),
        make_heading(f"Failed: {status.failed}"),
        make_table(["file", "why"], failed),
        make_heading(f"Before and after: {len(shown)} of {status.done}"),
        make_grid([_make_pair(row) for row in shown]),
    )
    write_page(path, page, overwrite=overwrite)


def _make_pair(row: Row) -> Html:
    """Frame a file before and after."""
    faces = "?" if row.faces is None else row.faces
    caption = make_paragraph(f"{row.source}: {faces} faces", quiet=True)
    return make_card(_draw_thumbnail(row.source), _draw_thumbnail(row.id), caption)


def _read(name: str) -> Picture:
    """Read a picture by its path or URL."""
    if not urls.is_url(name):
        return read_picture(Path(name), on_damage=lambda message: None)
    with TemporaryDirectory() as folder:
        copy = Path(folder, f"copy{PurePosixPath(name).suffix}")
        copy.write_bytes(urls.read(name))
        return read_picture(copy, on_damage=lambda message: None)


def _draw_thumbnail(name: str) -> Html:
    """Return a small picture of a file, or words if it cannot be read."""
    try:
        pixels = _read(name).pixels
    except (GPENError, OSError) as error:
        return make_paragraph(str(error))
    height, width = pixels.shape[2:]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return make_picture(encode_picture(resize(pixels, *size), quality=85), name)
