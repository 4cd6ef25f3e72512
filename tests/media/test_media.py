"""Image files are read and written without losing metadata, or refused with a reason."""

from __future__ import annotations

import io
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from gpen_core.errors import ImageError, MismatchError
from gpen_core.media import Metadata, Picture, read_image, read_picture, write_image, write_picture

EXIF_IFD, MAKE, ORIENTATION, ARTIST, EXIF_WIDTH, LENS = 34665, 271, 274, 315, 40962, 42036
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def levels(*shape: int, bits: int = 8) -> np.ndarray:
    return np.random.default_rng(7).integers(
        0, 2**bits, shape, dtype=np.uint8 if bits == 8 else np.uint16
    )


def exif(orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[MAKE], tags[ARTIST], tags[ORIENTATION] = "Kodak", "Zoë".encode(), orientation
    tags.get_ifd(EXIF_IFD).update({EXIF_WIDTH: 9999, LENS: "35 mm"})
    return tags


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_formats_return_the_same_levels(tmp_path, suffix):
    path = tmp_path / f"Zoë 顔{suffix}"
    samples = levels(5, 7, 3)
    write_image(path, torch.from_numpy(samples).permute(2, 0, 1)[None] / 255)
    image = read_image(path)
    assert image.shape == (1, 3, 5, 7)
    assert image.dtype == torch.float32
    assert np.array_equal(np.asarray(Image.open(path)), samples)
    assert np.array_equal((image[0] * 255).round().byte().permute(1, 2, 0).numpy(), samples)


@pytest.mark.parametrize(("suffix", "largest"), [(".jpg", 3), (".webp", 8), (".avif", 8)])
def test_lossy_formats_stay_close(tmp_path, suffix, largest):
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    write_image(tmp_path / f"a{suffix}", ramp)
    assert (read_image(tmp_path / f"a{suffix}") - ramp).abs().max() * 255 < largest


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    write_image(tmp_path / "a.jpg", torch.rand(1, 3, 16, 16))
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_levels_are_rounded_and_clamped(tmp_path):
    values = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 253.6 / 255, 1.7])
    write_image(tmp_path / "a.png", values.expand(1, 3, 1, 5))
    assert np.asarray(Image.open(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 0, 1, 254, 255]


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_survive(tmp_path, suffix, count):
    """OpenCV writes a file, we read and write it, OpenCV reads it: every sample is the same."""
    samples = levels(6, 5, count, bits=16)
    source = tmp_path / f"in{suffix}"
    source.write_bytes(cv2.imencode(suffix, samples)[1].tobytes())
    picture = read_picture(source)
    assert (picture.bits, picture.channels) == (16, 1 if count == 1 else 3)
    assert (picture.alpha is None) == (count < 4)
    first = samples[..., 2 if count > 1 else 0] / 65535
    assert np.allclose(picture.pixels[0, 0].numpy(), first, atol=1e-6)
    write_picture(tmp_path / f"out{suffix}", picture)
    back = np.frombuffer((tmp_path / f"out{suffix}").read_bytes(), np.uint8)
    found = cv2.imdecode(back, cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    assert np.array_equal(found.reshape(samples.shape), samples)


@pytest.mark.parametrize(("name", "channels"), [("a.png", 1), ("a.tif", 3)])
def test_sixteen_bit_grey_with_alpha_survives(tmp_path, name, channels):
    picture = Picture(
        torch.rand(1, 1, 4, 6).expand(1, 3, -1, -1), torch.rand(1, 1, 4, 6), bits=16, channels=1
    )
    write_picture(tmp_path / name, picture)
    back = read_picture(tmp_path / name)
    assert (back.bits, back.channels, back.grey) == (16, channels, True)
    assert (back.pixels - picture.pixels).abs().max() < 1e-5
    assert (back.alpha - picture.alpha).abs().max() < 1e-5


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_formats_without_sixteen_bits_get_eight(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", Picture(torch.rand(1, 3, 8, 8), bits=16))
    assert read_picture(tmp_path / f"a{suffix}").bits == 8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_profile_and_resolution_are_written_to_the_output(tmp_path, suffix, bits):
    Image.fromarray(levels(12, 20, 3)).save(
        tmp_path / "in.jpg", exif=exif(6), icc_profile=SRGB, dpi=(300, 300)
    )
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.size == (12, 20)  # turned by 90°
    picture = Picture(picture.pixels, bits=bits, metadata=picture.metadata)
    write_picture(tmp_path / f"out{suffix}", picture)
    with Image.open(tmp_path / f"out{suffix}") as written:
        tags = written.getexif()
        assert tags[MAKE] == "Kodak"
        if suffix != ".avif":  # Pillow rewrites the EXIF of an AVIF in ASCII
            assert tags[ARTIST].encode("latin-1").decode() == "Zoë"
        assert tags.get(ORIENTATION, 1) == 1
        details = tags.get_ifd(EXIF_IFD)
        assert details[LENS] == "35 mm"
        assert details[EXIF_WIDTH] == 12
        assert written.info["icc_profile"] == SRGB
        if suffix in (".jpg", ".png", ".tif"):
            assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert read_picture(tmp_path / f"out{suffix}").size == (12, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "16 bits.png", "16 bits.tif"])
def test_every_orientation_is_read_upright(tmp_path, orientation, name):
    upright = np.zeros((24, 16), np.uint16)
    upright[:8, :8] = 65535  # top left
    upright[16:, :8] = 30000  # bottom left
    stored = {  # how a camera in that orientation stores the picture; a viewer does the inverse
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(),
        8: np.rot90(upright, -1),
    }[orientation]
    if "16" not in name:
        stored = (stored // 257).astype(np.uint8)
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=tags)
    picture = read_picture(tmp_path / name)
    assert picture.bits == (16 if "16" in name else 8)
    assert picture.size == (16, 24)
    seen = picture.pixels[0, 0]
    assert [seen[4, 4], seen[20, 4], seen[4, 12]] == pytest.approx([1, 30000 / 65535, 0], abs=0.02)


def test_a_makers_note_survives_and_damaged_exif_does_no_harm(tmp_path):
    """Only the bytes of orientation and sides change, so offsets inside the note stay valid."""
    tags = exif(3)
    tags.get_ifd(EXIF_IFD)[37500] = bytes(range(200))
    Image.fromarray(levels(8, 8, 3)).save(tmp_path / "in.jpg", exif=tags)
    picture = read_picture(tmp_path / "in.jpg")
    write_picture(tmp_path / "out.jpg", picture)
    with Image.open(tmp_path / "in.jpg") as before, Image.open(tmp_path / "out.jpg") as after:
        changed = [
            i
            for i, (a, b) in enumerate(zip(before.info["exif"], after.info["exif"], strict=True))
            if a != b
        ]
    assert 1 < len(changed) < 10
    for bad in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", tags.tobytes()[:50]):
        Image.fromarray(levels(8, 8, 3)).save(tmp_path / "bad.jpg", exif=bad)
        for suffix in (".jpg", ".tif"):
            write_picture(tmp_path / f"bad out{suffix}", read_picture(tmp_path / "bad.jpg"))
            assert read_image(tmp_path / f"bad out{suffix}").shape == (1, 3, 8, 8)


def test_a_transparent_colour_becomes_alpha(tmp_path):
    samples = levels(4, 4, 3)
    Image.fromarray(samples).save(tmp_path / "a.png", transparency=tuple(samples[1, 2].tolist()))
    assert read_picture(tmp_path / "a.png").alpha[0, 0, 1, 2] == 0


def test_alpha_is_read_and_kept(tmp_path):
    samples = levels(6, 6, 4)
    Image.fromarray(samples).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    for suffix in (".png", ".tif"):
        write_picture(tmp_path / f"out{suffix}", picture)
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"out{suffix}")), samples)
    write_picture(tmp_path / "out.webp", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.webp"))[..., 3], samples[..., 3])


def test_alpha_is_refused_where_it_would_be_lost_unless_opaque(tmp_path):
    pixels, alpha = torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    write_picture(tmp_path / "opaque.jpg", Picture(pixels, alpha))
    alpha[0, 0, 2, 2] = 0.5
    with pytest.raises(ImageError, match=r"no transparency.*\.png"):
        write_picture(tmp_path / "a.jpg", Picture(pixels, alpha))
    assert [path.name for path in tmp_path.iterdir()] == ["opaque.jpg"]


def test_profile_is_refused_where_it_would_be_lost(tmp_path):
    metadata = Metadata(icc=SRGB)
    with pytest.raises(ImageError, match="BMP holds no colour profile"):
        write_picture(tmp_path / "a.bmp", Picture(torch.rand(1, 3, 4, 4), metadata=metadata))


def test_grey_files_give_three_equal_channels_and_stay_grey(tmp_path):
    Image.fromarray(levels(5, 6)).save(tmp_path / "l.png")
    picture = read_picture(tmp_path / "l.png")
    assert (picture.channels, picture.grey) == (1, True)
    assert torch.equal(picture.pixels[:, 0], picture.pixels[:, 2])
    tinted = picture.pixels * torch.tensor([1.0, 0.9, 0.8]).view(1, 3, 1, 1)
    write_picture(tmp_path / "out.jpg", picture.with_pixels(tinted))
    with Image.open(tmp_path / "out.jpg") as written:
        assert written.mode == "L"


def test_grey_stored_in_colour_stays_grey_and_in_colour(tmp_path):
    grey = np.repeat(levels(5, 6, 1), 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "rgb.png")
    picture = read_picture(tmp_path / "rgb.png")
    assert (picture.channels, picture.grey) == (3, True)
    write_picture(tmp_path / "same.png", picture.with_pixels(picture.pixels))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "same.png")), grey)
    write_picture(tmp_path / "out.png", picture.with_pixels(torch.rand(1, 3, 5, 6)))
    found = np.asarray(Image.open(tmp_path / "out.png"))
    assert found.shape == (5, 6, 3)
    assert (found == found[..., :1]).all()


def test_one_coloured_pixel_makes_a_picture_not_grey(tmp_path):
    samples = np.full((4, 4, 3), 90, np.uint8)
    samples[3, 3] = (90, 91, 90)
    Image.fromarray(samples).save(tmp_path / "a.png")
    assert not read_picture(tmp_path / "a.png").grey


def test_pixels_of_another_size_resize_the_alpha():
    picture = Picture(torch.rand(1, 3, 4, 6), torch.rand(1, 1, 4, 6))
    assert picture.with_pixels(torch.rand(1, 3, 8, 12)).alpha.shape == (1, 1, 8, 12)
    assert picture.with_pixels(torch.rand(1, 3, 4, 6)).alpha is picture.alpha


def test_palette_bilevel_and_cmyk_files_are_read(tmp_path):
    rgb = Image.fromarray(levels(8, 8, 3))
    palette = rgb.quantize(16)
    palette.save(tmp_path / "p.png")
    expected = np.asarray(palette.convert("RGB"), np.float32) / 255
    assert np.allclose(read_image(tmp_path / "p.png")[0].permute(1, 2, 0), expected)
    palette.save(tmp_path / "p.gif", transparency=3)
    assert read_picture(tmp_path / "p.gif").alpha is not None
    rgb.convert("1").save(tmp_path / "b.tif")
    assert set(read_image(tmp_path / "b.tif").unique().tolist()) <= {0.0, 1.0}
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=100)
    assert read_image(tmp_path / "c.jpg")[0, :, 0, 0] == pytest.approx([1, 0, 0], abs=0.03)


def test_cmyk_with_a_profile_for_rgb_is_converted_as_without_one(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "c.jpg", icc_profile=SRGB)
    picture = read_picture(tmp_path / "c.jpg")
    assert picture.pixels[0, :, 0, 0] == pytest.approx([1, 0, 0], abs=0.03)
    assert picture.metadata.icc == b""
    assert picture.lost == ("a colour profile that does not fit CMYK",)


def test_an_unreadable_file_is_refused_with_the_reason(tmp_path):
    Image.fromarray(levels(8, 8).astype(np.float32)).save(tmp_path / "float.tif")
    frames = [Image.fromarray(levels(8, 8)), Image.new("L", (8, 8))]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"this is no image at all")
    frames[0].save(tmp_path / "two.png", save_all=True, append_images=frames[1:])
    expected = {
        "two.png": "2 frames",
        "absent.jpg": "does not exist",
        "empty.jpg": "is empty",
        "text.jpg": "not an image that can be read",
        "float.tif": "mode 'F'",
        "two.gif": "several frames",
        "two.tif": "2 frames",
        ".": "it is a folder",
    }
    for name, message in expected.items():
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="too large"):
        read_image(tmp_path / "bomb.png")


def test_one_pixel_is_an_image(tmp_path):
    write_image(tmp_path / "a.png", torch.full((1, 3, 1, 1), 0.2))
    assert read_image(tmp_path / "a.png").shape == (1, 3, 1, 1)


def test_an_unwritable_image_is_refused_with_the_reason(tmp_path):
    image = torch.rand(1, 3, 4, 4)
    (tmp_path / "here.png").write_bytes(b"keep me")
    with pytest.raises(ImageError, match=r"suffix '\.gif' is none of \.jpg"):
        write_image(tmp_path / "a.gif", image)
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "no such folder" / "a.png", image)
    with pytest.raises(ImageError, match="NaN"):
        write_image(tmp_path / "a.png", torch.full((1, 3, 4, 4), float("nan")))
    with pytest.raises(ImageError, match="at most 16383 px"):
        write_image(tmp_path / "a.webp", torch.zeros(1, 3, 1, 16384))
    with pytest.raises(ImageError, match="overwrite"):
        write_picture(tmp_path / "here.png", Picture(image), overwrite=False)
    with pytest.raises(MismatchError, match=r"\[1, 3, H, W\], found \[2, 3, 4, 4\]"):
        write_image(tmp_path / "a.png", torch.rand(2, 3, 4, 4))
    assert (tmp_path / "here.png").read_bytes() == b"keep me"
    assert [path.name for path in tmp_path.iterdir()] == ["here.png"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, failure):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def save(self: Image.Image, file: io.BufferedWriter, *args: object, **options: object) -> None:
        file.write(b"half")
        raise failure

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises((KeyboardInterrupt, ImageError)):
        write_image(path, torch.rand(1, 3, 4, 4))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no POSIX permissions; Linux and macOS run this"
)
def test_written_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_image(tmp_path / "a.png", torch.rand(1, 3, 4, 4))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_exif_survives_from_tiff_to_jpeg(tmp_path):
    picture = Picture(
        torch.rand(1, 3, 6, 8), metadata=Metadata(exif=exif().tobytes().removeprefix(b"Exif\0\0"))
    )
    write_picture(tmp_path / "a.tif", picture)
    write_picture(tmp_path / "b.tiff", read_picture(tmp_path / "a.tif"))
    write_picture(tmp_path / "c.jpg", read_picture(tmp_path / "b.tiff"))
    with Image.open(tmp_path / "c.jpg") as written:
        tags = written.getexif()
        assert tags[MAKE] == "Kodak"
        assert set(tags) <= {MAKE, ARTIST, ORIENTATION, EXIF_IFD}
        assert tags.get_ifd(EXIF_IFD)[LENS] == "35 mm"
