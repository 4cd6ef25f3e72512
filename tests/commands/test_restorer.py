"""`gpen restore` on files: the results, what they keep, and failures."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli, pipeline
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import image_files, restorer
from gpen_core.faces import Faces
from gpen_core.media import read_image, read_picture

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(GPEN(config).state_dict(), path)
    return str(path)


@pytest.fixture
def gpen(checkpoint, tmp_path, monkeypatch, capsys):
    """Run `gpen restore` in tmp_path; an image that is not black has one face at its top left."""

    def detect(detector, image, **options):
        size = (len(image), image.shape[2], image.shape[3])
        if image.max() < 0.1:
            return Faces.empty(size)
        boxes = torch.tensor([[8.0, 10.0, 26.0, 30.0]])
        return Faces(boxes, FACE[None], torch.ones(1), torch.zeros(1, dtype=torch.int64), size)

    monkeypatch.setattr(pipeline, "detect", detect)
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: object())
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["restore", "--model", checkpoint, *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def draw_samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(30, 220, shape, dtype=np.uint8)


def save(name: str, mode: str = "RGB", **options: object) -> np.ndarray:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = draw_samples(40, 60, *channels)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def open_image(path: str | Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def list_files() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def test_the_face_changes_and_nothing_else(gpen):
    before = save("a.png")
    code, out, err = gpen("a.png", "-o", "r.png")
    assert (code, err) == (0, "")
    assert out == "a.png → r.png: 1 face restored\n"
    after = np.asarray(open_image("r.png"))
    changed = (before != after).any(axis=2)
    assert changed[12:28, 10:24].mean() > 0.8
    assert not changed[:, 45:].any()


def test_a_detection_that_is_no_face_is_left_out_and_reported(gpen, monkeypatch):
    def detect(detector, image, **options):
        landmarks = torch.stack([FACE, FACE[[1, 0, 2, 4, 3]] + torch.tensor([30.0, 0.0])])
        boxes = torch.tensor([[8.0, 10.0, 26.0, 30.0], [38.0, 10.0, 56.0, 30.0]])
        index = torch.zeros(2, dtype=torch.int64)
        return Faces(boxes, landmarks, torch.tensor([1.0, 0.62]), index, (1, *image.shape[2:]))

    monkeypatch.setattr(pipeline, "detect", detect)
    before = save("a.png")
    code, out, err = gpen("a.png", "-o", "r.png")
    assert (code, err) == (0, "")
    assert "1 face restored; 1 left out\n" in out
    assert "38, 10 … 56, 30 (score 0.62)" in out
    after = np.asarray(open_image("r.png"))
    assert np.array_equal(before[:, 45:], after[:, 45:])
    assert not np.array_equal(before, after)


def test_a_folder_is_restored_and_failures_do_not_stop_it(gpen):
    for name in ("in/a.jpg", "in/a.png", "in/sub/a.webp", "in/z.tif"):
        save(name)
    Path("in/broken.jpg").write_bytes(Path("in/a.jpg").read_bytes()[:400])
    Path("in/text.png").write_bytes(b"no image")
    code, out, err = gpen("in", "-o", "out")
    assert code == 1
    assert list_files() - {f for f in list_files() if f.startswith("in/")} == {
        "out/a.jpg", "out/a.png", "out/sub/a.webp", "out/z.tif",
    }  # fmt: skip
    assert len(out.splitlines()) == 4
    lines = err.splitlines()
    assert lines[0].startswith("gpen: in/broken.jpg is damaged")
    assert lines[1].startswith("gpen: in/text.png is not an image")
    assert lines[2:] == ["gpen: 2 of 6 failed, 4 done."]


def test_16_bits_alpha_and_metadata_are_in_the_result(gpen):
    deep = np.random.default_rng(1).integers(3000, 60000, (40, 60, 4), dtype=np.uint16)
    Path("deep.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    exif = Image.Exif()
    exif[271] = "Kodak"
    save("photo.jpg", exif=exif, icc_profile=b"a profile", dpi=(300, 300))
    assert gpen("deep.png", "photo.jpg", "-o", "out")[0] == 0
    after = cv2.imdecode(np.fromfile("out/deep.png", np.uint8), cv2.IMREAD_UNCHANGED)
    assert after.dtype == np.uint16
    assert np.array_equal(after[..., 3], deep[..., 3])
    assert np.array_equal(after[:, 45:], deep[:, 45:])
    assert not np.array_equal(after, deep)
    with Image.open("out/photo.jpg") as written:
        assert written.getexif()[271] == "Kodak"
        assert written.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grey_photograph_stays_grey(gpen, mode):
    grey = draw_samples(40, 60)
    Image.fromarray(grey).convert(mode).save("grey.png")
    assert gpen("grey.png", "-o", "r.png", "--save-faces", "--compare")[0] == 0
    after = open_image("r.png")
    assert after.mode == mode
    assert not np.array_equal(np.asarray(after.convert("L")), grey)
    for name in ("r.png", "faces/r.png-1.png", "compare/r.png.jpg"):
        assert read_picture(name).grey


def test_a_file_without_a_face_is_copied_byte_for_byte(gpen):
    Image.new("RGB", (50, 40)).save("black.jpg", quality=31, comment=b"kept too")
    _, out, _ = gpen("black.jpg", "-o", "out", "--compare", "--save-faces")
    assert out.endswith("no face found; copied unchanged\n")
    assert Path("out/black.jpg").read_bytes() == Path("black.jpg").read_bytes()
    assert list_files() == {"black.jpg", "out/black.jpg"}
    _, out, _ = gpen("black.jpg", "-o", "black.JPEG")
    assert out.endswith("no face found; copied unchanged\n")
    assert Path("black.JPEG").read_bytes() == Path("black.jpg").read_bytes()
    _, out, _ = gpen("black.jpg", "-o", "black.png")
    assert out.endswith("no face found; converted only\n")
    _, out, _ = gpen("black.jpg", "-o", "large.jpg", "--scale", "2")
    assert out.endswith("no face found; enlarged only\n")
    assert read_image("large.jpg").shape == (1, 3, 80, 100)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3)])
def test_tiny_images_are_written(gpen, size):
    Image.new("RGB", size).save("tiny.png")
    assert gpen("tiny.png", "-o", "r.png")[0] == 0
    assert open_image("r.png").size == size


@pytest.mark.parametrize("scale", [2, 4])
def test_scale_enlarges_image_and_alpha(gpen, scale):
    save("a.png", "RGBA")
    assert gpen("a.png", "-o", "r.png", "--scale", str(scale))[0] == 0
    picture = read_picture("r.png")
    assert picture.size == (60 * scale, 40 * scale)
    assert picture.alpha is not None


def test_an_upscaler_file_enlarges_the_background(gpen):
    compact = pytest.importorskip("spandrel.architectures.Compact").Compact
    torch.manual_seed(0)
    torch.save(compact(num_feat=8, num_conv=1, upscale=2).state_dict(), "up.pth")
    save("a.png")
    for name, extra in (("plain.png", []), ("network.png", ["--upscaler", "up.pth"])):
        assert gpen("a.png", "-o", name, "--scale", "2", *extra)[0] == 0
    plain, network = read_image("plain.png"), read_image("network.png")
    assert plain.shape == network.shape == (1, 3, 80, 120)
    assert not torch.equal(plain[..., 100:], network[..., 100:])


def test_an_aligned_face_comes_back_at_the_models_size(gpen):
    Image.fromarray(draw_samples(50, 50, 3)).save("face.png")
    code, out, _ = gpen("face.png", "-o", "r.png", "--aligned")
    assert (code, out) == (0, "face.png → r.png: restored as an aligned face\n")
    assert open_image("r.png").size == (32, 32)
    save("wide.png")
    code, _, err = gpen("wide.png", "-o", "s.png", "--aligned")
    assert code == 1
    assert "60 × 40 px; an aligned face is square" in err


def test_a_comparison_does_not_replace_an_input(gpen):
    save("a.png")
    save("out/compare/a.png.jpg")
    before = Path("out/compare/a.png.jpg").read_bytes()
    code, _, err = gpen("a.png", "out/compare/a.png.jpg", "-o", "out", "--compare", "--overwrite")
    assert code == 2
    assert "Name another output folder" in err
    assert Path("out/compare/a.png.jpg").read_bytes() == before
    assert not Path("out/a.png").exists()


def test_faces_and_the_comparison_are_written_into_their_folders(gpen):
    save("in/sub/a.jpg")
    assert gpen("in", "-o", "out", "--save-faces", "--compare")[0] == 0
    assert list_files() - {"in/sub/a.jpg"} == {
        "out/sub/a.jpg", "out/faces/sub/a.jpg-1.png", "out/compare/sub/a.jpg.jpg",
    }  # fmt: skip
    assert open_image("out/faces/sub/a.jpg-1.png").size == (32, 32)
    both = read_image("out/compare/sub/a.jpg.jpg")
    assert both.shape == (1, 3, 40, 120)
    before, after = read_image("in/sub/a.jpg"), read_image("out/sub/a.jpg")
    assert (both[..., :60] - before).abs().mean() < 0.03
    assert (both[..., 60:] - after).abs().mean() < 0.03


def test_strength_zero_changes_nothing(gpen):
    before = save("a.png")
    gpen("a.png", "-o", "r.png", "--strength", "0")
    after = np.asarray(open_image("r.png")).astype(int)
    assert np.array_equal(after, before)


def test_existing_results_are_kept_without_overwrite(gpen):
    save("a.png")
    Path("out/compare").mkdir(parents=True)
    Path("out/a.png").write_bytes(b"mine")
    code, _, err = gpen("a.png", "-o", "out")
    assert code == 1
    assert "out/a.png exists; pass --overwrite" in err.replace("\\", "/")
    assert Path("out/a.png").read_bytes() == b"mine"
    assert gpen("a.png", "-o", "out", "--overwrite")[0] == 0
    assert read_image("out/a.png").shape == (1, 3, 40, 60)
    Path("out/a.png").unlink()
    Path("out/compare/a.png.jpg").write_bytes(b"mine")
    code, _, err = gpen("a.png", "-o", "out", "--compare")
    assert code == 1
    assert list_files() == {"a.png", "out/compare/a.png.jpg"}


def test_an_interruption_leaves_no_half_file(gpen, monkeypatch):
    for name in ("in/a.png", "in/b.png", "in/c.png"):
        save(name)
    save_image, calls = Image.Image.save, []

    def interrupt(self, file, *words, **options):
        calls.append(file)
        if len(calls) == 2:
            file.write(b"half")
            raise KeyboardInterrupt
        save_image(self, file, *words, **options)

    monkeypatch.setattr(Image.Image, "save", interrupt)
    code, _, err = gpen("in", "-o", "out")
    assert code == 130
    assert "interrupted" in err
    assert {path.name for path in Path("out").iterdir()} == {"a.png"}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_that_was_interrupted_between_its_files_is_completed_by_a_rerun(
    at, gpen, monkeypatch
):
    save("a.png")
    words = ("a.png", "-o", "out", "--compare", "--save-faces")
    write, calls = restorer.write_picture, []

    def interrupt(*arguments, **options):
        calls.append(arguments)
        if len(calls) == at:
            raise KeyboardInterrupt
        write(*arguments, **options)

    with monkeypatch.context() as patch:
        for module in (restorer, image_files):
            patch.setattr(module, "write_picture", interrupt)
        assert gpen(*words)[0] == 130
    assert not Path("out/a.png").exists()
    assert gpen(*words)[0] == 0
    expected = {"a.png", "out/a.png", "out/compare/a.png.jpg", "out/faces/a.png-1.png"}
    assert list_files() == expected
    Path("out/a.png").unlink()  # no remains of an interruption: these are the user's
    assert gpen(*words)[0] == 1


def test_out_of_memory_is_a_failure_of_that_file_only(gpen, monkeypatch):
    save("a.png")
    Image.new("RGB", (50, 40)).save("b.png")
    detect = pipeline.detect

    def full(detector, image, **options):
        if image.max() > 0.1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return detect(detector, image, **options)

    monkeypatch.setattr(pipeline, "detect", full)
    code, out, err = gpen("a.png", "b.png", "-o", "out")
    assert code == 1
    assert "a.png: memory ran out" in err
    assert "b.png" in out


def test_a_defect_is_not_hidden(gpen, monkeypatch):
    save("a.png")

    def broken(*words, **options):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(pipeline, "detect", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        gpen("a.png", "-o", "r.png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "512"], "restores at 32 px, but --size 512 was given"),
        (["--dtype", "fp16", "--device", "cpu"], "fp16 is refused on a CPU"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--aligned", "--max-faces", "2", "--detail", "1"], "Leave out: --max-faces, --detail."),
        (["--aligned", "--scale", "2"], "Leave out: --scale."),
    ],
)
def test_an_option_that_works_for_no_file_is_refused_at_once(gpen, words, message):
    save("a.png")
    code, _, err = gpen("a.png", "-o", "r.png", *words)
    assert code == 2
    assert message in err
    assert list_files() == {"a.png"}


def test_what_cannot_be_written_is_refused_before_the_work(gpen, monkeypatch):
    save("a.png", "RGBA")
    Path("a.png").rename("a.jpg")
    monkeypatch.setattr(pipeline, "detect", lambda *words, **options: pytest.fail("worked"))
    code, _, err = gpen("a.jpg", "-o", "out")
    assert code == 1
    assert "no transparency" in err
    assert list_files() == {"a.jpg"}


def test_a_deleted_result_is_made_again_with_what_lies_beside_it(gpen):
    for name in ("in/a.png", "in/b.png"):
        save(name)
    words = ("in", "-o", "out", "--compare", "--save-faces")
    assert gpen(*words)[0] == 0
    whole = {path: Path(path).read_bytes() for path in list_files()}
    Path("out/b.png").unlink()
    code, out, err = gpen(*words, "--skip-existing")
    assert (code, err) == (0, "")
    assert "1 skipped" in out
    assert {path: Path(path).read_bytes() for path in list_files()} == whole


def test_a_real_face_is_found_restored_and_put_back(checkpoint, tmp_path, capsys):
    pytest.importorskip("facenet_pytorch", reason='pip install "gpen-restore[detect]"')
    data = pytest.importorskip("skimage.data", reason='pip install "gpen-restore[demo]"')
    photograph = data.astronaut()[:300, 80:380]
    file = io.BytesIO()
    Image.fromarray(photograph).save(file, "PNG")
    (tmp_path / "宇航员.png").write_bytes(file.getvalue())
    words = ["--model", checkpoint, "--detector", "mtcnn", "--save-faces"]
    code = cli.main(["restore", str(tmp_path / "宇航员.png"), "-o", str(tmp_path / "out"), *words])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    assert "1 face restored" in captured.out
    after = np.asarray(open_image(tmp_path / "out" / "宇航员.png"))
    changed = (photograph != after).any(axis=2)
    assert changed[90:150, 110:180].mean() > 0.9  # her face
    assert not changed[250:].any()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_file_names_cannot_control_the_terminal(gpen):
    save("\x1b[2Ja.png")
    Path("\x1b[2Jb.png").write_bytes(b"no image")
    code, out, err = gpen(".", "-o", "out")
    assert code == 1
    assert "a.png" in out and "b.png" in err
    assert "\x1b" not in out + err
