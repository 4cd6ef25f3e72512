"""Show texts that come from files: no control character of theirs reaches a terminal."""

from __future__ import annotations

LIMIT = 80
"""Characters of one text that are shown."""


def printable(text: str, limit: int = LIMIT) -> str:
    r"""Return `text` on one line, with control and format characters escaped, cut to `limit`.

    Use it for every name that a file gives itself.

    Args:
        text: any text.
        limit: the number of characters of the text that are shown at most.

    Example:
        >>> from gpen_core.printable import printable
        >>> print(printable("\x1b[2Jall good\n"))
        \x1b[2Jall good\n
        >>> printable("a" * 1_000, limit=5)
        'aaaaa… (1,000 characters)'
    """
    shown = "".join(map(_escape, text[:limit]))
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"


def printable_lines(text: str, limit: int = 10_000) -> str:
    """Return `text` as `printable` does, but keep its line breaks.

    Use it for a whole message on its way to a terminal.
    """
    return "\n".join(printable(line, limit) for line in text[:limit].split("\n"))


def _escape(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]
