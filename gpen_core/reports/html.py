"""Make HTML pages that stand alone: one file, no scripts, nothing loaded from elsewhere.

Each function returns `Html`. Any other text that is put into a page is escaped, so that names from
files can do no harm. The page's policy forbids scripts and every address, should one slip through.
"""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from PIL import Image

from ..files import write_atomically
from ..printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

LONGEST = 2_000
"""Characters of one text that are shown."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'"

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --quiet: #8888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
td.figure { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; display: block; }
figcaption, .quiet { font-size: .9rem; opacity: .75; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem;
  background: var(--soft); overflow-wrap: anywhere; }
.card figure { margin: 0 0 .5rem; }
summary { cursor: pointer; }
@media print { body { margin: 0; max-width: none; } .card, figure, tr { break-inside: avoid; } }
"""


class Html(str):
    """A text that is HTML already. Every other text is escaped when it is put into a page."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Escape a text, unless it is `Html`. Control characters become visible."""
    if isinstance(text, Html):
        return text
    lines = (html.escape(printable(line, LONGEST)) for line in text.split("\n"))
    return Html("<br>".join(lines))


def make_page(title: str, *parts: str, language: str = "en") -> Html:
    """Make a whole page.

    Args:
        title: the page's title and first heading.
        parts: what follows, in this order.
        language: the language of the texts, such as "en".

    Example:
        >>> from gpen_core.reports.html import make_page, make_paragraph
        >>> page = make_page("a<b.jpg", make_paragraph("1 face restored"))
        >>> "<h1>a&lt;b.jpg</h1>" in page and "<script" not in page
        True
    """
    head = (
        f'<meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style>"
    )
    body = "\n".join([f"<h1>{escape(title)}</h1>", *map(escape, parts)])
    return Html(
        f'<!doctype html>\n<html lang="{escape(language)}"><head>{head}</head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def make_heading(text: str, level: int = 2) -> Html:
    """Make a heading; the page's title has level 1."""
    return Html(f"<h{level}>{escape(text)}</h{level}>")


def make_paragraph(*parts: str, quiet: bool = False) -> Html:
    """Join texts and links into a paragraph; a quiet one is small and pale."""
    kind = ' class="quiet"' if quiet else ""
    return Html(f"<p{kind}>{''.join(map(escape, parts))}</p>")


def make_list(items: Sequence[str]) -> Html:
    """Make a list of points."""
    return Html(f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>")


def make_table(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> Html:
    """Make a table. Numbers stand to the right; texts are figures, too, if you give them as such.

    Args:
        head: the columns' names; empty for a table without a head.
        rows: cells, as many in each row as there are columns.
    """
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [f"<thead><tr>{names}</tr></thead>"] if head else []
    lines += [f"<tr>{''.join(map(_make_cell, row))}</tr>" for row in rows]
    return Html(f"<table>{''.join(lines)}</table>")


def _make_cell(cell: str | float) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f'<td class="figure">{cell:,g}</td>'


def make_picture(data: bytes, description: str, caption: str = "") -> Html:
    """Put a picture into the page itself.

    Args:
        data: a JPEG, see `encode_picture`.
        description: what it shows, for readers who cannot see it.
        caption: a line below it.
    """
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    alt = escape(description).replace("<br>", " ")
    return Html(f'<figure><img src="{source}" alt="{alt}">{below}</figure>')


def make_card(*parts: str) -> Html:
    """Frame parts that belong together, such as a picture and its name."""
    return Html(f'<div class="card">{"".join(map(escape, parts))}</div>')


def make_grid(cards: Sequence[str]) -> Html:
    """Place cards side by side, as many as the window has room for."""
    return Html(f'<div class="grid">{"".join(map(escape, cards))}</div>')


def make_details(summary: str, *parts: str) -> Html:
    """Hide parts behind a line that the reader can open."""
    inside = "".join(map(escape, parts))
    return Html(f"<details><summary>{escape(summary)}</summary>{inside}</details>")


def make_link(text: str, path: str | PurePath) -> Html:
    """Link to a file by its path, best one that is relative to the page."""
    address = quote(os.fsencode(PurePath(path).as_posix()))
    if not address.startswith("/"):
        address = f"./{address}"  # else a name such as "javascript:x" would be no path
    return Html(f'<a href="{html.escape(address)}">{escape(text)}</a>')


def encode_picture(
    pixels: torch.Tensor, *, quality: int = 90, profile: bytes | None = None
) -> bytes:
    """Encode RGB as a JPEG.

    Args:
        pixels: [3, H, W] or [1, 3, H, W] RGB in [0, 1]; values beyond are clamped.
        quality: of the JPEG, 1 … 95.
        profile: the ICC profile of the colours.
    """
    image = pixels.detach().reshape(3, *pixels.shape[-2:]).float().nan_to_num(0, 1, 0).clamp(0, 1)
    levels = (image * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    file = io.BytesIO()
    options = {"icc_profile": profile} if profile else {}
    Image.fromarray(np.asarray(levels)).save(
        file, "JPEG", quality=quality, subsampling=0, **options
    )
    return file.getvalue()


def write_page(path: Path, page: str, *, overwrite: bool) -> None:
    """Write a page or another text as a file, whole or not at all.

    Raises:
        FileExistsError: it exists and `overwrite` is false.
        OSError: it cannot be written.
    """
    # Names of files may hold bytes that are no text; these become question marks.
    data = page.encode("utf-8", errors="replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path, overwrite=overwrite) as scratch:
        scratch.write_bytes(data)
