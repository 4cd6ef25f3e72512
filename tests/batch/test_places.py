"""Which drives are network drives."""

from __future__ import annotations

import pytest

from gpen_core.batch.places import (
    NETWORK_KINDS,
    find_kind,
    is_on_network,
    parse_linux_mounts,
    parse_macos_mounts,
)

LINUX = r"""
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/local tmpfs rw 0 0
//nas/p /mnt/old\040photos cifs rw 0 0
overlay / overlay rw 0 0
"""
MACOS = """
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@nas/old photos on /Volumes/old photos (smbfs, nodev, nosuid, mounted by me)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/run.sqlite", "overlay"),
        ("/home/me/run.sqlite", "nfs4"),
        ("/homes/run.sqlite", "overlay"),
        ("/home/local/run.sqlite", "tmpfs"),
        ("/mnt/old photos/run.sqlite", "cifs"),
    ],
)
def test_the_innermost_mount_decides(place, kind):
    assert find_kind(place, parse_linux_mounts(LINUX)) == kind
    assert (kind in NETWORK_KINDS) == (kind in ("nfs4", "cifs"))


def test_mounts_of_macos_are_read():
    mounts = parse_macos_mounts(MACOS)
    assert find_kind("/Volumes/old photos/run.sqlite", mounts) == "smbfs"
    assert find_kind("/Users/me/run.sqlite", mounts) == "apfs"


def test_a_folder_of_this_machine_is_local(tmp_path):
    assert not is_on_network(tmp_path)
    assert find_kind("/anywhere", []) == ""
