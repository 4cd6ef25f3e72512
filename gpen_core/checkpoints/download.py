"""Download a file over https: resume, verify, and put it in place only when it is complete."""

from __future__ import annotations

import http
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from ..errors import CheckpointError, DownloadError
from ..files import sha256, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from ..progress import OnBytes

BLOCK = 1 << 20
"""Bytes read at a time."""
TIMEOUT = 30
"""Seconds without a byte after which a download fails."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that may be read without https."""


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None,
    expected: str | None,
    on_progress: OnBytes | None = None,
) -> None:
    """Download `url` to `target` unless that file exists already; verify it in both cases.

    An incomplete file is called `target` + ".part". The next call continues from there if the
    server still has the same file (the same ETag).

    Args:
        url: an https address.
        target: the file to write.
        size: the size in bytes that the file must have; None if no size is published.
        expected: the SHA-256 that the file must have; None compares the file with the hash that
            the first download stored in `target` + ".sha256".
        on_progress: called with the bytes received and the total (None if the server does not
            tell it).

    Raises:
        CheckpointError: the file differs from the published one.
        DownloadError: the server cannot be reached, or the file cannot be written.
    """
    if target.exists():
        _verify(target, target, size, expected, f"Delete `{target}` and download it again.")
        return
    part = target.with_name(target.name + ".part")
    tag = target.with_name(target.name + ".part.etag")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not part.exists() or size is None or part.stat().st_size != size:
            _transfer(url, part, tag, on_progress)
    except (OSError, http.client.HTTPException) as error:  # urllib's errors are OSErrors
        raise DownloadError(
            f"`{target.name}` could not be downloaded from {url}: {error}. Run the same command "
            "again to continue where it stopped, or download the file with a browser and put it "
            f"into `{target.parent}`."
        ) from error
    try:
        _verify(part, target, size, expected, f"It was deleted. It came from {url}.")
    except CheckpointError:
        part.unlink()
        raise
    finally:
        tag.unlink(missing_ok=True)
    part.replace(target)


def _transfer(url: str, part: Path, tag: Path, on_progress: OnBytes | None) -> None:
    """Read `url` into `part`, from the end of `part` on if the server allows it."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "gpen"}
    if done and tag.exists():
        # With If-Range, the server sends the whole file if it is no longer the same one.
        headers |= {"Range": f"bytes={done}-", "If-Range": tag.read_text("ascii")}
    _refuse_insecure(url)
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # `part` is complete or too long, and we cannot tell which: start over
        _transfer(url, part, tag, on_progress)
        return
    with response:
        _refuse_insecure(response.url)
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(f"{url} answered with a web page instead of a file.")
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        done = done if resumed else 0
        length = response.headers["Content-Length"]
        total = done + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            if not resumed:
                _store_tag(tag, response.headers["ETag"])
            while block := response.read(BLOCK):
                file.write(block)
                done += len(block)
                if on_progress:
                    on_progress(done, total)
    if total is not None and done != total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _store_tag(tag: Path, value: str | None) -> None:
    """Store a strong ETag. A weak one does not promise identical bytes, so it is not stored."""
    if value and value.startswith('"') and value.isascii():
        tag.write_text(value, "ascii")
    else:
        tag.unlink(missing_ok=True)


def _refuse_insecure(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise DownloadError(f"{url} is not https: others on the network could alter the file.")


def _verify(path: Path, target: Path, size: int | None, expected: str | None, remedy: str) -> None:
    """Compare `path`, which is `target` or becomes it, with the published or stored hash."""
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        raise CheckpointError(
            f"`{target.name}` is not the published file: it must have {size:,} bytes, found "
            f"{found_size:,}. {remedy}"
        )
    found = sha256(path)
    record = target.with_name(target.name + ".sha256")
    origin = "published"
    if expected is None and record.exists():
        words = record.read_text("utf-8").split()
        expected, origin = (words or [""])[0], f"recorded in `{record.name}` at the first download"
        if not re.fullmatch(r"[0-9a-f]{64}", expected):
            raise CheckpointError(
                f"`{record}` holds no SHA-256. Delete it, and the hash of `{path.name}` is "
                "recorded again."
            )
    if expected is None:
        with write_atomically(record, overwrite=False) as scratch:
            scratch.write_text(f"{found}  {target.name}\n", "utf-8")
    elif found != expected:
        raise CheckpointError(
            f"`{target.name}` is not the file that was {origin}: its SHA-256 must be {expected}, "
            f"found {found}. {remedy}"
        )
