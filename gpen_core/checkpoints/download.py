"""Download a file over https: resume, verify, and put it in place only when it is complete."""

from __future__ import annotations

import http
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, DownloadError
from ..files import hold_lock, is_file
from ..printable import printable
from .verifying import verify, verify_existing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..progress import OnBytes

BLOCK = 1 << 20
"""Bytes read at a time."""
TIMEOUT = 30
"""Seconds without a byte after which a download fails."""
MAX_BYTES = 4 << 30
"""The greatest size of a file whose size is not published; the largest known one has 0.6 GB."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that may be read without https."""


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None,
    expected: str | None,
    check: Callable[[Path], None] | None = None,
    on_progress: OnBytes | None = None,
) -> None:
    """Download `url` to `target` unless that file exists already; verify it in both cases.

    An incomplete file is called `target` + ".part". The next call continues from there if the
    server still has the same file (the same ETag). While one process downloads, others wait.

    Args:
        url: an https address.
        target: the file to write.
        size: the size in bytes that the file must have; None if no size is published.
        expected: the SHA-256 that the file must have; None compares the file with the hash that
            the first download stored in `target` + ".sha256".
        check: called with the path of the complete file before it is accepted; it raises
            CheckpointError for a file of another kind.
        on_progress: called with the bytes received and the total (None if the server does not
            tell it).

    Raises:
        CheckpointError: the file differs from the published one.
        DownloadError: the server cannot be reached or sends something else, or the file cannot be
            written.
    """
    if target.exists():
        verify_existing(target, size, expected, check)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(target.with_name(target.name + ".lock")):
            if target.exists():  # another process was faster
                verify_existing(target, size, expected, check)
                return
            _fetch_new(url, target, size, expected, check, on_progress)
    # urllib's errors are OSErrors; it raises ValueError for addresses that no server has.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(
            f"`{target.name}` could not be downloaded from {url}: {printable(str(error), 300)}. "
            "Run the same command again to continue where it stopped, or download the file with a "
            f"browser and put it into `{target.parent}`."
        ) from error


def _fetch_new(
    url: str,
    target: Path,
    size: int | None,
    expected: str | None,
    check: Callable[[Path], None] | None,
    on_progress: OnBytes | None,
) -> None:
    part = target.with_name(target.name + ".part")
    tag = target.with_name(target.name + ".part.etag")
    if part.exists() and not is_file(part):
        raise DownloadError(f"`{part}` is not a regular file. Delete it and try again.")
    if not part.exists() or size is None or part.stat().st_size != size:
        _transfer(url, part, tag, size, on_progress)
    try:
        remedy = f"It was deleted. It came from {url}."
        verify(part, target, size, expected, check, remedy)
    except CheckpointError:
        part.unlink()
        raise
    finally:
        tag.unlink(missing_ok=True)
    part.replace(target)


def _transfer(
    url: str, part: Path, tag: Path, size: int | None, on_progress: OnBytes | None
) -> None:
    """Read `url` into `part`, from the end of `part` on if the server allows it."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "gpen", "Accept-Encoding": "identity"}
    stored = _read_tag(tag)
    if done and stored:
        # With If-Range, the server sends the whole file if it is no longer the same one.
        headers |= {"Range": f"bytes={done}-", "If-Range": stored}
    _refuse_insecure(url)
    try:
        request = urllib.request.Request(url, headers=headers)
        response = _OPENER.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or "Range" not in headers:
            raise
        part.unlink()  # `part` is complete or too long, and we cannot tell which: start over
        _transfer(url, part, tag, size, on_progress)
        return
    with response:
        resumed = _check_answer(response, url, done if "Range" in headers else 0)
        if resumed is None:  # another range than the one asked for: start over
            part.unlink()
        else:
            _receive(response, part, tag, done if resumed else 0, size, on_progress)
    if resumed is None:
        _transfer(url, part, tag, size, on_progress)


def _receive(
    response: Any, part: Path, tag: Path, done: int, size: int | None, on_progress: OnBytes | None
) -> None:
    """Write the body of an answer to `part` behind the first `done` bytes."""
    length = response.headers["Content-Length"]
    total = None if length is None else done + _parse_length(length)
    limit = MAX_BYTES if size is None else size
    if total is not None:
        _refuse_longer(total, limit)
    with part.open("ab" if done else "wb") as file:
        if not done:
            _store_tag(tag, response.headers["ETag"])
        try:
            while block := response.read(BLOCK):
                done += len(block)
                _refuse_longer(done, limit)
                file.write(block)
                if on_progress:
                    on_progress(done, total)
        except DownloadError:
            part.unlink()  # the rest would be as wrong
            raise
    if total is not None and done != total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _check_answer(response: Any, url: str, done: int) -> bool | None:
    """Tell whether an answer continues after `done` bytes; None if it holds another range.

    Raises:
        DownloadError: it holds no file.
    """
    _refuse_insecure(response.url)
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(f"{url} answered with a web page instead of a file.")
    if response.status == http.HTTPStatus.OK:
        return False
    if response.status != http.HTTPStatus.PARTIAL_CONTENT or not done:
        raise DownloadError(
            f"{url} answered with status {response.status} instead of a file. Try again later."
        )
    given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
    return True if given and int(given[1]) == done else None


def _parse_length(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise DownloadError(f"The server sent a Content-Length of `{printable(text)}`, no number.")
    return int(text)


def _refuse_longer(length: int, limit: int) -> None:
    if length > limit:
        raise DownloadError(
            f"The server sends {length:,} bytes or more, but the file has at most {limit:,}."
        )


def _read_tag(tag: Path) -> str | None:
    """Return the ETag that was stored beside an incomplete file, or None if there is none."""
    if not is_file(tag):
        return None
    with tag.open("rb") as file:
        stored = file.read(1_000).decode("latin-1")
    return stored if _is_strong(stored) else None


def _store_tag(tag: Path, value: str | None) -> None:
    """Store a strong ETag. A weak one does not promise identical bytes, so it is not stored."""
    if value and _is_strong(value):
        tag.write_text(value, "ascii")
    else:
        tag.unlink(missing_ok=True)


def _is_strong(tag: str) -> bool:
    return re.fullmatch(r'"[\x21\x23-\x7e]{0,200}"', tag) is not None


def _refuse_insecure(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise DownloadError(
            f"{printable(url, 200)} is not https: others on the network could alter the file."
        )


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirection to an address that is not https."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        _refuse_insecure(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SecureRedirects)
