"""The files that users reported have the results that their list names."""

from __future__ import annotations

import numpy as np
import pytest

from gpen_core.errors import ImageError
from gpen_core.media import find_losses, read_picture, write_picture

pytestmark = pytest.mark.weights

REFUSED = {
    "camera.dng": "is a camera raw file",
    "cicp_pq2020.png": "is an HDR picture",
}
SUFFIXES = {"PXL_motion.MP.jpg": ".jpg", "rgba_as.jpg": ".png"}
LOST = {
    "PXL_motion.MP.jpg": ["the film of a motion photo"],
    "PXL_ultrahdr.jpg": ["an HDR gain map"],
    "cmyk_wrongicc.jpg": ["a colour profile that does not fit CMYK"],
    "pyramid.tif": ["the thumbnails or reduced copies of a TIFF"],
    "scan_with_thumb.tif": ["the thumbnails or reduced copies of a TIFF"],
}
KEPT = {
    "big_exif.tif": b"Jane",
    "iptc.jpg": b"wedding",
    "sd_params.png": b"parameters\0a photo of an astronaut",
    "sd_big_ztxt.png": b"zTXtparameters",
    "cicp_p3.png": b"cICP\x0c\x0d\0\1",
    "chrm_adobergb.png": b"cHRM",
}
NAMES = [
    "PXL_motion.MP.jpg", "PXL_ultrahdr.jpg", "arith.jpg", "big_exif.tif", "camera.dng",
    "chrm_adobergb.png", "cicp_p3.png", "cicp_pq2020.png", "cmyk_wrongicc.jpg",
    "gray16alpha_icc.tif", "iptc.jpg", "lossless_rgb.webp", "o6_slong.jpg", "o6_sshort.jpg",
    "pyramid.tif", "region_o6.jpg", "rgba_as.jpg", "scan_with_thumb.tif", "sd_big_ztxt.png",
    "sd_params.png", "trunc_eoi.jpg",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_reported_file_is_read_and_written_or_refused(shared, tmp_path, name):
    source, messages = shared / "cases" / name, []
    if name in REFUSED:
        with pytest.raises(ImageError, match=REFUSED[name]):
            read_picture(source)
        return
    picture = read_picture(source, on_damage=messages.append)
    assert [m.partition(" lacks ")[2] for m in messages] == (
        ["its end marker, but no row is missing."] if name == "trunc_eoi.jpg" else []
    )
    target = tmp_path / f"a{SUFFIXES.get(name) or source.suffix}"
    assert find_losses(target, picture) == LOST.get(name, [])
    write_picture(target, picture)
    assert KEPT.get(name, b"") in target.read_bytes()
    again = read_picture(target)
    assert again.size == picture.size == ((450, 600) if name.startswith("o6") else (512, 512))
    if source.suffix != ".jpg" or name == "rgba_as.jpg":
        assert np.array_equal(again.pixels.numpy(), picture.pixels.numpy())


def test_reported_metadata_speak_of_the_new_picture(shared, tmp_path):
    for name, gone in (("PXL_motion.MP.jpg", b"MotionPhoto"), ("PXL_ultrahdr.jpg", b"GainMap")):
        write_picture(tmp_path / "a.jpg", read_picture(shared / "cases" / name))
        assert gone not in (tmp_path / "a.jpg").read_bytes()
    write_picture(tmp_path / "a.jpg", read_picture(shared / "cases" / "region_o6.jpg"))
    xmp = read_picture(tmp_path / "a.jpg").metadata.xmp
    assert b"<stArea:x>0.44</stArea:x>" in xmp
    assert b"<stArea:y>0.24</stArea:y>" in xmp
