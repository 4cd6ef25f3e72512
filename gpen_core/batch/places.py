"""Where a journal may lie: which folders are on network drives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NETWORK_KINDS = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.sshfs", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs", "virtiofs", "webdav",
})  # fmt: skip
"""Kinds of file systems that several machines share, as Linux and macOS name them."""
_DRIVE_REMOTE = 4  # GetDriveTypeW


def is_on_network(path: Path) -> bool:
    """Tell whether a path lies on a network drive, as far as the system says."""
    place = os.path.realpath(path)
    if sys.platform == "win32":
        import ctypes

        root = os.path.splitdrive(place)[0] + "\\"
        kernel = getattr(ctypes, "windll").kernel32  # noqa: B009, absent on other systems
        return place.startswith("\\\\") or kernel.GetDriveTypeW(root) == _DRIVE_REMOTE
    return find_kind(place, _read_mounts()) in NETWORK_KINDS


def find_kind(place: str, mounts: list[tuple[str, str]]) -> str:
    """Return the kind of the file system that holds an absolute path; "" if it is unknown.

    Args:
        place: an absolute path.
        mounts: the folders where file systems are mounted, and their kinds, in order.
    """
    best, found = -1, ""
    for folder, kind in mounts:
        inside = place == folder or place.startswith(folder.rstrip("/") + "/")
        if inside and len(folder) >= best:  # of two at one place, the later hides the earlier
            best, found = len(folder), kind
    return found


def _read_mounts() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        run = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False)
        return parse_macos_mounts(run.stdout)
    try:
        return parse_linux_mounts(Path("/proc/self/mounts").read_text("utf-8", "surrogateescape"))
    except OSError:
        return []


def parse_linux_mounts(text: str) -> list[tuple[str, str]]:
    """Parse lines such as "server:/home /home nfs4 rw 0 0"; a space in a name is "\\040"."""
    words = [line.split() for line in text.splitlines()]
    return [(_unescape(line[1]), line[2]) for line in words if len(line) > 2]


def _unescape(name: str) -> str:
    for code in ("040", "011", "012", "134"):
        name = name.replace(f"\\{code}", chr(int(code, 8)))
    return name


def parse_macos_mounts(text: str) -> list[tuple[str, str]]:
    """Parse lines such as "//me@server/photos on /Volumes/photos (smbfs, nodev)"."""
    mounts = []
    for line in text.splitlines():
        head, _, options = line.rpartition(" (")
        _, on, folder = head.partition(" on ")
        if on:
            mounts.append((folder, options.rstrip(")").split(",")[0]))
    return mounts
