from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gpen_core.checkpoints import download
from gpen_core.errors import CheckpointError, DownloadError

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: several blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """The one file of a local web server, and how the server behaves."""

    url: str = ""
    content: bytes = CONTENT
    etag: str | None = '"one"'
    kind: str = "application/octet-stream"
    cut_after: int | None = None
    tells_length: bool = True
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    range_start: int | None = None
    requests: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            served.requests.append(dict(self.headers))
            start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            resumes = start is not None and self.headers.get("If-Range") == served.etag
            first = int(start[1]) if start and resumes else 0
            if first >= len(served.content):
                self.send_error(416)
                return
            self.send_response(206 if resumes else served.status)
            self.send_header("Content-Type", served.kind)
            if served.etag:
                self.send_header("ETag", served.etag)
            if resumes:
                end = len(served.content)
                shown = served.range_start if served.range_start is not None else first
                self.send_header("Content-Range", f"bytes {shown}-{end - 1}/{end}")
            for name, value in served.headers.items():
                self.send_header(name, value)
            if served.tells_length:
                self.send_header("Content-Length", str(len(served.content) - first))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client may stop reading
                self.wfile.write(served.content[first : served.cut_after])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/file.pth"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(site: Site, target: Path, **changes: Any) -> None:
    options: dict[str, Any] = {"size": len(CONTENT), "expected": SHA256} | changes
    download.fetch(site.url, target, **options)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_arrives_whole_and_is_reported(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.pth"
    steps: list[tuple[int, int | None]] = []
    fetch(site, target, on_progress=lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert listing(target.parent) == ["file.pth"]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert len(steps) > 1
    assert steps == sorted(steps)


def test_an_existing_file_is_verified_and_not_downloaded(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    target.write_bytes(CONTENT)
    fetch(site, target)
    assert not site.requests
    target.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"SHA-256 must be .*, found .*Delete"):
        fetch(site, target)
    assert target.exists()


def test_an_interrupted_download_continues_where_it_stopped(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    site.cut_after = 1_500_000
    with pytest.raises(DownloadError, match=r"ended after 1,500,000 of 2,304,000.*Run the same"):
        fetch(site, target)
    assert not target.exists()
    site.cut_after = None
    fetch(site, target)
    assert site.requests[1]["Range"] == "bytes=1500000-"
    assert target.read_bytes() == CONTENT
    assert listing(tmp_path) == ["file.pth"]


def test_a_cancelled_download_continues_where_it_stopped(site: Site, tmp_path: Path) -> None:
    class CancelledError(Exception):
        pass

    def cancel(done: int, total: int | None) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        fetch(site, tmp_path / "file.pth", on_progress=cancel)
    fetch(site, tmp_path / "file.pth")
    assert site.requests[1]["Range"] == f"bytes={download.BLOCK}-"
    assert (tmp_path / "file.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("tag", ['"two"', 'W/"weak"', None])
def test_a_file_that_changed_meanwhile_is_downloaded_from_the_start(
    tag: str | None, site: Site, tmp_path: Path
) -> None:
    target = tmp_path / "file.pth"
    site.content, site.cut_after = b"old" * 100_000, 1_000
    site.etag = '"one"' if tag == '"two"' else tag
    with pytest.raises(DownloadError):
        fetch(site, target)
    site.content, site.cut_after, site.etag = CONTENT, None, tag
    fetch(site, target)
    assert target.read_bytes() == CONTENT


def test_a_complete_part_is_put_in_place_without_a_request(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    fetch(site, tmp_path / "file.pth")
    assert not site.requests
    assert listing(tmp_path) == ["file.pth"]


def test_a_part_as_long_as_a_file_of_unknown_size_starts_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    (tmp_path / "file.pth.part.etag").write_text('"one"')
    fetch(site, tmp_path / "file.pth", size=None, expected=None)
    assert (tmp_path / "file.pth").read_bytes() == CONTENT


def test_a_server_that_does_not_tell_the_length_is_read_to_the_end(
    site: Site, tmp_path: Path
) -> None:
    site.tells_length = False
    steps: list[tuple[int, int | None]] = []
    fetch(site, tmp_path / "f.pth", on_progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (len(CONTENT), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [(CONTENT[:-1], "must have 2,304,000 bytes, found 2,303,999"), (CONTENT[::-1], "SHA-256 must")],
)
def test_a_file_that_differs_from_the_published_one_is_deleted(
    content: bytes, said: str, site: Site, tmp_path: Path
) -> None:
    site.content = content
    with pytest.raises(CheckpointError, match=f"{said}.*deleted"):
        fetch(site, tmp_path / "file.pth")
    assert listing(tmp_path) == []


def test_an_unpublished_hash_is_recorded_first_and_compared_later(
    site: Site, tmp_path: Path
) -> None:
    target, record = tmp_path / "file.pth", tmp_path / "file.pth.sha256"
    fetch(site, target, size=None, expected=None)
    assert record.read_text() == f"{SHA256}  file.pth\n"
    fetch(site, target, size=None, expected=None)
    target.unlink()
    site.content = CONTENT[::-1]
    with pytest.raises(
        CheckpointError, match=r"not the file that was recorded in `file\.pth\.sha256`"
    ):
        fetch(site, target, size=None, expected=None)
    assert listing(tmp_path) == ["file.pth.sha256"]
    record.write_text("nonsense")
    with pytest.raises(CheckpointError, match="holds no SHA-256"):
        fetch(site, target, size=None, expected=None)


def test_a_web_page_instead_of_a_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.kind = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="answered with a web page"):
        fetch(site, tmp_path / "file.pth", size=None, expected=None)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("url", ["http://example.invalid/f.pth", "ftp://example.invalid/f.pth"])
def test_only_https_is_downloaded(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not https"):
        download.fetch(url, tmp_path / "f.pth", size=None, expected=None)


def test_an_unreachable_server_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"could not be downloaded.*with a browser"):
        download.fetch("http://127.0.0.1:9/f.pth", tmp_path / "f.pth", size=None, expected=None)


def test_a_folder_that_cannot_be_made_is_reported(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(site, tmp_path / "file" / "below" / "f.pth")


def test_an_answer_that_is_no_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.status = 204
    with pytest.raises(DownloadError, match="status 204"):
        fetch(site, tmp_path / "file.pth", size=None, expected=None)
    assert listing(tmp_path) == []


def refuse(path: Path) -> None:
    raise CheckpointError(f"no network: {path.stat().st_size} bytes.")


@pytest.mark.parametrize("content", [b"", b'{"error": "not found"}', CONTENT])
def test_a_file_that_fails_its_check_is_deleted_and_not_recorded(
    content: bytes, site: Site, tmp_path: Path
) -> None:
    site.content, site.etag = content or b" ", None
    with pytest.raises(CheckpointError, match=r"no network: \d+ bytes\. It was deleted"):
        fetch(site, tmp_path / "file.pth", size=None, expected=None, check=refuse)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("length", ["abc", "-5", "1_000", "9" * 400])
def test_a_content_length_that_is_no_number_is_refused(
    length: str, site: Site, tmp_path: Path
) -> None:
    site.tells_length, site.headers = False, {"Content-Length": length}
    with pytest.raises(DownloadError, match="Content-Length of"):
        fetch(site, tmp_path / "file.pth", size=None, expected=None)


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_body_without_end_is_stopped(
    tells_length: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.tells_length = tells_length
    with pytest.raises(DownloadError, match="at most 1,000"):
        fetch(site, tmp_path / "file.pth", size=1_000)
    monkeypatch.setattr(download, "MAX_BYTES", 2_000)
    with pytest.raises(DownloadError, match="at most 2,000"):
        fetch(site, tmp_path / "file.pth", size=None, expected=None)
    assert not {"file.pth", "file.pth.part"} & set(listing(tmp_path))


def test_another_range_than_the_one_asked_for_is_not_used(site: Site, tmp_path: Path) -> None:
    site.cut_after = 1_500_000
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "file.pth")
    site.cut_after, site.range_start = None, 7
    fetch(site, tmp_path / "file.pth")
    assert (tmp_path / "file.pth").read_bytes() == CONTENT
    assert "Range" not in site.requests[-1]


def test_an_unasked_range_is_refused(site: Site, tmp_path: Path) -> None:
    site.status = 206
    with pytest.raises(DownloadError, match="status 206"):
        fetch(site, tmp_path / "file.pth")


@pytest.mark.parametrize(
    "location",
    ["http://example.invalid/f", "ftp://127.0.0.1/f", "http://[::1", "file:///etc/hosts"],
)
def test_a_bad_redirection_is_not_followed(location: str, site: Site, tmp_path: Path) -> None:
    site.status, site.headers = 302, {"Location": location}
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "file.pth")
    assert listing(tmp_path) == []


@pytest.mark.parametrize("tag", [b"", b'"a\r\nX-Evil: 1"', b"\xff\xfe", b'"' * 5_000])
def test_an_odd_etag_beside_a_part_is_ignored(tag: bytes, site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT[:100])
    (tmp_path / "file.pth.part.etag").write_bytes(tag)
    fetch(site, tmp_path / "file.pth")
    assert (tmp_path / "file.pth").read_bytes() == CONTENT
    assert "Range" not in site.requests[0]


@pytest.mark.parametrize("record", [b"", b"\xff\xfe\x00", b"0" * 63, None])
def test_an_odd_record_of_a_hash_is_our_error(
    record: bytes | None, site: Site, tmp_path: Path
) -> None:
    place = tmp_path / "file.pth.sha256"
    place.mkdir() if record is None else place.write_bytes(record)
    (tmp_path / "file.pth").write_bytes(CONTENT)
    with pytest.raises(CheckpointError, match="holds no SHA-256"):
        fetch(site, tmp_path / "file.pth", size=None, expected=None)


def test_a_folder_in_place_of_the_file_is_our_error(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.pth").mkdir()
    with pytest.raises(CheckpointError, match="is a folder"):
        fetch(site, tmp_path / "file.pth")


def test_two_downloads_at_once_both_end_well(site: Site, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(fetch, site, tmp_path / "file.pth") for _ in range(4)]
    for run in runs:
        run.result()
    assert len(site.requests) == 1
    assert listing(tmp_path) == ["file.pth"]
