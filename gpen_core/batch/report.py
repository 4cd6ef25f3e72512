"""A report of a journal: as JSON, or as an HTML page with a contact sheet."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import GPENError
from ..files import write_atomically
from ..media import read_picture
from ..warp import resize
from .work import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from .status import Reader

PAIRS = 48
"""Results on the contact sheet."""
SIDE = 240
"""Longer side of a picture there, px."""

_STYLE = (
    "body{font:15px sans-serif;margin:2em;background:#222;color:#ddd}"
    "table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;text-align:left;vertical-align:top;border-bottom:1px solid #444}"
    "figure{display:inline-block;margin:.4em}figcaption{font-size:12px;max-width:480px;"
    "overflow-wrap:anywhere}img{vertical-align:top}"
)


def write_report(reader: Reader, path: Path, *, overwrite: bool = True) -> None:
    """Write a report; the suffix of the path, .json or .html, chooses its kind.

    Raises:
        GPENError: the suffix is another one, or the journal cannot be read.
    """
    kinds = {".json": _write_json, ".html": _write_html}
    write = kinds.get(path.suffix.lower())
    if write is None:
        raise GPENError(f"--report {path}: expected a name that ends with .json or .html.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        write_atomically(path, overwrite=overwrite) as scratch,
        scratch.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        write(reader, file)


def _write_json(reader: Reader, file: TextIO) -> None:
    """Write the status and all rows, one a line, without holding them."""
    status = json.dumps(reader.measure()._asdict())
    file.write(f'{{"journal": {json.dumps(str(reader.path))},\n"status": {status},\n"results": [')
    for number, row in enumerate(reader.read()):
        values = row._asdict()
        values["target"] = values.pop("id")
        del values["payload"]
        file.write(f"{',' if number else ''}\n{json.dumps(values)}")
    file.write("\n]}\n")


def _write_html(reader: Reader, file: TextIO) -> None:
    for part in draw_page(f"Results of {reader.path.name}", _list_parts(reader)):
        file.write(part)


def draw_page(title: str, parts: Iterator[str]) -> Iterator[str]:
    """Yield the text of an HTML page that needs no other file."""
    title = html.escape(title)
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
    yield from parts
    yield "</body></html>\n"


def _list_parts(reader: Reader) -> Iterator[str]:
    status = reader.measure()
    yield f"<p>{status.done} done, {status.failed} failed, {status.left} left.</p>\n"
    yield f"<h2>Failed: {status.failed}</h2>\n<table><tr><th>file</th><th>why</th></tr>\n"
    for row in reader.read(FAILED):
        cells = (html.escape(text) for text in (row.source, row.error or ""))
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"
    shown = reader.choose(PAIRS)
    yield f"</table>\n<h2>Before and after: {len(shown)} of {status.done}</h2>\n"
    for row in shown:
        caption = html.escape(f"{row.source}: {row.faces if row.faces is not None else '?'} faces")
        pictures = "".join(_draw_thumbnail(Path(name)) for name in (row.source, row.id))
        yield f"<figure>{pictures}<figcaption>{caption}</figcaption></figure>\n"


def _draw_thumbnail(path: Path) -> str:
    """Return a small picture of a file as HTML, or words if it cannot be read."""
    try:
        pixels = read_picture(path, on_damage=lambda message: None).pixels
    except (GPENError, OSError) as error:
        return f"<em>{html.escape(str(error))}</em>"
    height, width = pixels.shape[2:]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = resize(pixels, *size)[0].clamp(0, 1).mul(255).round().byte()
    data = io.BytesIO()
    Image.fromarray(small.permute(1, 2, 0).numpy()).save(data, "JPEG", quality=85)
    code = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{code}" width="{size[1]}" height="{size[0]}" alt="">'
