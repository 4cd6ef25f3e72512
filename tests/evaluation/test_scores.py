"""Scores of a model: fixed pairs, their means over faces and groups, and standard errors."""

from __future__ import annotations

import math

import pytest
import torch
from training_faces import crop_astronaut

from gpen_core.evaluation.scores import (
    DEFAULT_ROUNDS,
    EVALUATION_SEED,
    ROUNDS_PER_FACE,
    SCORE_NAMES,
    DegradationRounds,
    Scores,
    evaluate,
    score_groups,
    score_pairs,
)


def test_scoring_the_identity_gains_nothing_and_the_truth_everything():
    clean = crop_astronaut()
    scores = evaluate(lambda x: x, clean)
    assert scores.pairs == 2 * ROUNDS_PER_FACE
    assert scores.output_psnr == scores.input_psnr
    assert scores.output_ssim == scores.input_ssim
    assert scores.output_sharpness == scores.input_sharpness
    assert scores.output_noise == scores.input_noise

    truth = clean[:1].expand(ROUNDS_PER_FACE, -1, -1, -1) / 255
    perfect = evaluate(lambda _: truth, clean[:1])
    assert perfect.output_psnr > 100
    assert perfect.output_ssim > 0.999
    assert perfect.output_sharpness == pytest.approx(1)
    assert perfect.output_noise == perfect.clean_noise
    assert perfect.worst_drift == 0


def test_the_pairs_never_change():
    # Scores are compared over months: this test notices a changed seed or draw.
    assert EVALUATION_SEED == 20261124
    target, degraded = DEFAULT_ROUNDS.make_pair(crop_astronaut(), 1, 2)
    assert torch.equal(target[0], crop_astronaut()[1] / 255)
    assert (degraded - target).abs().mean().item() == pytest.approx(0.05253, abs=0.0005)


def test_same_degrades_every_face_as_it_does_the_first():
    clean = torch.cat([crop_astronaut()[:1]] * 2)
    same = DegradationRounds(count=6, same=True)
    first, second = (
        torch.cat([same.make_pair(clean, i, r)[1] for r in range(6)]) for i in range(2)
    )
    assert torch.equal(first, second)
    usual = torch.cat([DEFAULT_ROUNDS.make_pair(clean, 0, r)[1] for r in range(ROUNDS_PER_FACE)])
    assert torch.equal(first[:ROUNDS_PER_FACE], usual)
    assert not torch.equal(usual, DEFAULT_ROUNDS.make_pair(clean, 1, 0)[1].expand_as(usual))
    # Without it, no two pairs are degraded alike.
    usual = DegradationRounds(count=6)
    degraded = [usual.make_pair(clean, i, r)[1] for i in range(2) for r in range(6)]
    assert len({tuple(image.flatten()[::97].tolist()) for image in degraded}) == 12


def test_a_model_gets_a_few_rounds_of_a_face_at_a_time():
    counts = []

    def restore(images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return images

    pairs = score_pairs(restore, crop_astronaut()[:1], rounds=DegradationRounds(count=6))
    assert pairs.shape[:2] == (1, 6)
    assert counts == [4, 2]


def test_the_error_of_the_mean_gain_comes_from_the_spread_between_faces():
    pairs = torch.zeros(4, 3, len(SCORE_NAMES) - 2)
    gains = torch.tensor([1.0, 2.0, 3.0, 6.0])
    pairs[..., SCORE_NAMES.index("output_psnr")] = gains[:, None] + torch.tensor([-1.0, 0.0, 1.0])
    pairs[..., SCORE_NAMES.index("output_face_psnr")] = 2 * gains[:, None]
    scores = Scores.mean(pairs)
    assert scores.pairs == 12
    assert scores.output_psnr == pytest.approx(3)
    assert scores.gain_error == pytest.approx(gains.std().item() / 2)
    assert scores.face_gain_error == pytest.approx(gains.std().item())
    assert math.isnan(Scores.mean(pairs[:1]).gain_error)


def test_a_tint_is_measured_as_drift_with_its_sign():
    tint = torch.tensor([0.01, -0.02, 0.0]).view(1, 3, 1, 1)
    clean = (crop_astronaut() * 0.8 + 20).byte()
    target = clean[:1].expand(ROUNDS_PER_FACE, -1, -1, -1) / 255
    scores = evaluate(lambda _: target + tint, clean[:1])
    found = [scores.red_drift, scores.green_drift, scores.blue_drift]
    assert found == pytest.approx([2.55, -5.1, 0], abs=1e-3)
    assert scores.worst_drift == scores.green_drift


def test_groups_are_means_over_their_faces():
    clean = torch.cat([crop_astronaut(), crop_astronaut()[:1]])
    pairs = score_pairs(lambda x: x, clean)
    assert pairs.shape == (3, ROUNDS_PER_FACE, len(SCORE_NAMES) - 2)
    groups = score_groups(pairs, ["b", "a", "b"])
    assert list(groups) == ["a", "b"]
    assert groups["a"].output_psnr == Scores.mean(pairs[1:2]).output_psnr
    assert list(score_groups(pairs, ["", "a", ""])) == ["a"]
    assert groups["b"].pairs == 2 * ROUNDS_PER_FACE
    together = (groups["a"].input_psnr + 2 * groups["b"].input_psnr) / 3
    assert together == pytest.approx(Scores.mean(pairs).input_psnr)
