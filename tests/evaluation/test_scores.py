"""Scores of a model: what each figure measures, in groups, in a table, on a contact sheet."""

from __future__ import annotations

import csv
import math

import pytest
import torch
from safetensors.torch import save_file

from gpen_core import GPEN, GPENConfig, ImageError, read_image, write_image
from gpen_core.cli import main
from gpen_core.evaluation import measures
from gpen_core.evaluation.measures import psnr
from gpen_core.evaluation.report import contact_sheet, write_table
from gpen_core.evaluation.scores import (
    EVALUATION_SEED,
    FIGURES,
    ROUNDS,
    USUAL_DAMAGE,
    Damage,
    Scores,
    evaluate,
    group_scores,
    lightness_group,
    score_pairs,
)

skimage_data = pytest.importorskip("skimage.data", reason="install the extra `demo`")
rgb2lab = pytest.importorskip("skimage.color").rgb2lab


def faces(size: int = 64) -> torch.Tensor:
    """[2, 3, size, size] uint8: the face of scikit-image's astronaut, and mirrored."""
    pixels = torch.from_numpy(skimage_data.astronaut()[0:224, 110:334].copy()).permute(2, 0, 1)
    small = torch.nn.functional.interpolate(
        pixels[None] / 255, (size, size), mode="bicubic", antialias=True
    )
    face = (small.clamp(0, 1) * 255).round().byte()
    return torch.cat([face, face.flip(3)])


def test_scoring_the_identity_gains_nothing_and_the_truth_everything():
    clean = faces()
    scores = evaluate(lambda x: x, clean)
    assert scores.pairs == 2 * ROUNDS
    assert scores.output_psnr == scores.input_psnr
    assert scores.output_ssim == scores.input_ssim
    assert scores.output_sharpness == scores.input_sharpness
    assert scores.output_noise == scores.input_noise

    truth = clean[:1].expand(ROUNDS, -1, -1, -1) / 255
    perfect = evaluate(lambda _: truth, clean[:1])
    assert perfect.output_psnr > 100
    assert perfect.output_ssim > 0.999
    assert perfect.output_sharpness == pytest.approx(1)
    assert perfect.output_noise == perfect.clean_noise
    assert perfect.worst_drift == 0


def test_pairs_are_the_same_as_ever():
    # Figures are compared over months: a changed seed or draw must be noticed.
    assert EVALUATION_SEED == 20261124
    target, degraded = USUAL_DAMAGE.pair(faces(), 1, 2)
    assert torch.equal(target[0], faces()[1] / 255)
    assert (degraded - target).abs().mean().item() == pytest.approx(0.05253, abs=0.0005)


def test_the_same_damage_is_the_first_face_s_and_rounds_are_counted():
    clean = torch.cat([faces()[:1]] * 2)
    same = Damage(rounds=6, same=True)
    first, second = (torch.cat([same.pair(clean, i, r)[1] for r in range(6)]) for i in range(2))
    assert torch.equal(first, second)
    usual = torch.cat([USUAL_DAMAGE.pair(clean, 0, r)[1] for r in range(ROUNDS)])
    assert torch.equal(first[:ROUNDS], usual)
    assert not torch.equal(usual, USUAL_DAMAGE.pair(clean, 1, 0)[1].expand_as(usual))
    # Without, no face is damaged as another in any round.
    seen = [Damage(rounds=6).pair(clean, i, r)[1] for i in range(2) for r in range(6)]
    assert len({tuple(pair.flatten()[::97].tolist()) for pair in seen}) == 12


def test_a_face_is_scored_in_parts_of_a_few_rounds():
    counts = []

    def restore(images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return images

    assert score_pairs(restore, faces()[:1], damage=Damage(rounds=6)).shape[:2] == (1, 6)
    assert counts == [4, 2]


def test_the_oval_leaves_hair_and_background_out():
    clean = faces(256)
    target, degraded = USUAL_DAMAGE.pair(clean, 0, 0)
    oval = measures.face_oval(256)
    assert 0.2 < oval.double().mean() < 0.3
    assert torch.equal(oval, oval.flip(1))
    assert oval[120, 96]  # an eye of the template
    assert oval[186, 128]  # the mouth
    assert not oval[40, 128]
    assert not oval[150, 40]
    mended = torch.where(oval, target, degraded)
    assert psnr(mended, target, oval).item() > 100
    assert torch.equal(psnr(mended, target, ~oval), psnr(degraded, target, ~oval))
    scores = evaluate(lambda x: torch.where(oval, 0.5, x), clean[:1])
    assert scores.output_face_psnr < scores.output_psnr
    assert scores.input_face_psnr != scores.input_psnr


def test_the_error_of_a_mean_gain_is_the_spread_between_faces():
    pairs = torch.zeros(4, 3, len(FIGURES) - 2)
    gains = torch.tensor([1.0, 2.0, 3.0, 6.0])
    pairs[..., FIGURES.index("output_psnr")] = gains[:, None] + torch.tensor([-1.0, 0.0, 1.0])
    pairs[..., FIGURES.index("output_face_psnr")] = 2 * gains[:, None]
    scores = Scores.mean(pairs)
    assert scores.pairs == 12
    assert scores.output_psnr == pytest.approx(3)
    assert scores.gain_error == pytest.approx(gains.std().item() / 2)
    assert scores.face_gain_error == pytest.approx(gains.std().item())
    assert math.isnan(Scores.mean(pairs[:1]).gain_error)


def test_a_tint_is_measured_as_drift_with_its_sign():
    tint = torch.tensor([0.01, -0.02, 0.0]).view(1, 3, 1, 1)
    clean = (faces() * 0.8 + 20).byte()
    target = clean[:1].expand(ROUNDS, -1, -1, -1) / 255
    scores = evaluate(lambda _: target + tint, clean[:1])
    found = [scores.red_drift, scores.green_drift, scores.blue_drift]
    assert found == pytest.approx([2.55, -5.1, 0], abs=1e-3)
    assert scores.worst_drift == scores.green_drift


def test_sharpness_falls_with_blur_and_does_not_depend_on_brightness():
    sharp = faces() / 255
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2)
    assert (measures.sharpness(blurred) < 0.8 * measures.sharpness(sharp)).all()
    assert torch.allclose(measures.sharpness(sharp * 0.5 + 0.3), measures.sharpness(sharp) / 2)
    ramp = torch.linspace(0, 1, 65).expand(1, 3, 65, 65)
    assert measures.sharpness(ramp).item() == pytest.approx(1 / 64)


def test_noise_in_flat_skin_is_the_sigma_that_was_added():
    ramp = torch.linspace(0.3, 0.6, 128).expand(1, 3, 128, 128)
    flat = measures.flat_skin(ramp)
    assert measures.noise(ramp, flat).item() == pytest.approx(0, abs=1e-3)
    grain = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    assert measures.noise(ramp + 4 / 255 * grain, flat).item() == pytest.approx(4, rel=0.1)


def test_flat_skin_is_chosen_inside_the_face_where_it_is_smooth():
    clean = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    clean[:, :, 48:80, 48:80] = 0.5
    clean[:, :, :16] = 0.5  # a smooth background counts for nothing
    flat = measures.flat_skin(clean)[0].nonzero()
    assert len(flat) >= 20
    assert flat.min() >= 11
    assert flat.max() <= 20


@pytest.mark.parametrize(
    ("colour", "group"),
    [
        ((236, 200, 180), "ITA > 55°"),
        ((198, 150, 120), "ITA 28° to 55°"),
        ((110, 70, 45), "ITA ≤ 28°"),
    ],
)
def test_skin_lightness_is_the_typology_angle_of_the_cheeks(colour, group):
    face = torch.zeros(1, 3, 100, 100)
    face[:, :, 50:70, 30:70] = torch.tensor(colour).view(1, 3, 1, 1) / 255
    lightness, _, b = rgb2lab(torch.tensor(colour).view(1, 1, 3).numpy() / 255)[0, 0]
    found = measures.skin_lightness(face).item()
    assert found == pytest.approx(math.degrees(math.atan2(lightness - 50, b)), abs=0.5)
    assert lightness_group(found) == group


def test_a_grey_photograph_has_no_skin_lightness():
    found = measures.skin_lightness(torch.full((1, 3, 100, 100), 0.6)).item()
    assert math.isnan(found)
    assert lightness_group(found) == "no colour"


def test_groups_are_means_over_their_faces():
    clean = torch.cat([faces(), faces()[:1]])
    pairs = score_pairs(lambda x: x, clean)
    assert pairs.shape == (3, ROUNDS, len(FIGURES) - 2)
    groups = group_scores(pairs, ["b", "a", "b"])
    assert list(groups) == ["a", "b"]
    assert groups["a"].output_psnr == Scores.mean(pairs[1:2]).output_psnr
    assert list(group_scores(pairs, ["", "a", ""])) == ["a"]
    assert groups["b"].pairs == 2 * ROUNDS
    together = (groups["a"].input_psnr + 2 * groups["b"].input_psnr) / 3
    assert together == pytest.approx(Scores.mean(pairs).input_psnr)


def test_a_contact_sheet_shows_degraded_restored_and_clean_faces():
    clean = torch.cat([faces(), faces()])
    sheet = contact_sheet(lambda x: 1 - x, clean)
    assert sheet.shape == (1, 3, 2 * 64 + 8, 3 * (3 * 64) + 2 * 8)
    target, degraded = USUAL_DAMAGE.pair(clean, 3, 3)
    below = slice(72 + 16, 136)  # under the number
    assert torch.equal(sheet[0, :, below, 0:64], degraded[0, :, 16:])
    assert torch.equal(sheet[0, :, below, 64:128], 1 - degraded[0, :, 16:])
    assert torch.equal(sheet[0, :, below, 128:192], target[0, :, 16:])


def test_a_table_that_cannot_be_written_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere.*cannot be written"):
        write_table(tmp_path / "nowhere" / "t.tsv", {})


def test_the_command_prints_groups_and_writes_table_and_sheet(tmp_path, capsys):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, face in enumerate(faces(128)):
        write_image(folder / f"face{i}.png", face[None] / 255)
    (folder / "broken.jpg").write_bytes(b"nothing")
    ages = "file\tborn\tnote\nface0.png\t1950\t\n"
    (tmp_path / "ages.tsv").write_text(ages, encoding="utf-8")
    index = "file\tsource\nface0.png\tone studio\nface1.png\tanother\n"
    (folder / "INDEX.tsv").write_text(index, encoding="utf-8")
    table, sheet = tmp_path / "new" / "t.tsv", tmp_path / "s.png"
    words = ["evaluate", "--data", str(folder), "--device", "cpu", "--degradation", "traces"]
    words += ["--groups", str(tmp_path / "ages.tsv"), "--same-damage", "--rounds", "2"]
    assert main([*words, "--table", str(table), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr()
    assert "4 pairs: PSNR" in printed.out
    assert "one studio" in printed.out
    assert "broken.jpg" in printed.err
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert {(row["by"], row["group"]) for row in rows} >= {
        ("all", "all"),
        ("source", "another"),
        ("face", "0001 face1.png"),
    }
    assert {row["by"] for row in rows} == {"all", "skin lightness", "source", "born", "face"}
    assert [(row["group"], row["pairs"]) for row in rows if row["by"] == "born"] == [("1950", "2")]
    for row in rows:
        assert 10 < float(row["output_psnr"]) < 60
    assert read_image(sheet).shape == (1, 3, 256, 2 * 768 + 8)


@pytest.mark.parametrize("text", ["file\tborn\nother.png\t1950\n", "file\nface0.png\n"])
def test_a_table_of_groups_that_names_no_face_is_refused(tmp_path, capsys, text):
    folder = tmp_path / "faces"
    folder.mkdir()
    write_image(folder / "face0.png", faces(128)[:1] / 255)
    (tmp_path / "ages.tsv").write_text(text, encoding="utf-8")
    words = ["evaluate", "--data", str(folder), "--groups", str(tmp_path / "ages.tsv")]
    assert main([*words, "--device", "cpu"]) == 2
    assert "none of the 1 faces" in capsys.readouterr().err


def test_a_network_that_enlarges_is_refused(tmp_path, capsys):
    write_image(tmp_path / "face0.png", faces(64)[:1] / 255)
    config = GPENConfig(32, 64, (8,) * 5, style_dim=8, mapping_layers=1)
    state = {name: value.contiguous() for name, value in GPEN(config).state_dict().items()}
    save_file(state, tmp_path / "enlarges.safetensors")
    words = ["--model", str(tmp_path / "enlarges.safetensors"), "--device", "cpu"]
    assert main(["evaluate", "--data", str(tmp_path), *words]) == 2
    assert "makes 64 px of 32 px" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    words = ["evaluate", "--data", str(tmp_path / "none"), "--sheet", str(tmp_path / "s.gif")]
    assert main(words) == 2
    assert "its suffix '.gif'" in capsys.readouterr().err


def test_an_unknown_degradation_is_refused_with_the_choices(tmp_path, capsys):
    assert main(["evaluate", "--data", str(tmp_path), "--degradation", "harsh"]) == 2
    assert "must be one of paper, second-order, mixed, traces" in capsys.readouterr().err
