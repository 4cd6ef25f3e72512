"""The discriminator: published tensor names, sizes 8 to 2048, minibatch standard deviation."""

from __future__ import annotations

import pytest
import torch

from gpen_core import CheckpointError, GPENConfig
from gpen_core.training.discriminator import Discriminator, append_deviation, load_discriminator

WIDTHS = (12, 8, 8, 6)  # 4, 8, 16, 32 px


def test_every_size_gives_a_logit_per_image_and_features_per_level():
    for levels in range(2, 7):
        discriminator = Discriminator((4,) * levels)
        size = 4 << (levels - 1)
        assert discriminator.size == size
        logits, features = discriminator(torch.rand(2, 3, size, size))
        assert logits.shape == (2,)
        sides = [feature.shape[-1] for feature in features]
        assert sides == [size >> i for i in range(1, levels)]


@pytest.mark.parametrize("size", [256, 512, 1024, 2048])
def test_published_sizes_have_the_published_tensors(size):
    config = GPENConfig.published(size)
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in Discriminator(config.widths).state_dict().items()}
    levels = len(config.widths)
    assert shapes["convs.0.0.weight"] == (config.widths[-1], 3, 1, 1)
    assert shapes[f"convs.{levels - 1}.conv2.1.weight"] == (512, 512, 3, 3)
    assert shapes["convs.1.skip.1.weight"] == (config.widths[-2], config.widths[-1], 1, 1)
    assert shapes["final_conv.0.weight"] == (512, 513, 3, 3)
    assert shapes["final_linear.0.weight"] == (512, 8192)
    assert shapes["final_linear.1.weight"] == (1, 512)
    kinds = ("weight", "bias", "kernel")
    assert {name.rpartition(".")[2] for name in shapes} == set(kinds)


def blur(x: torch.Tensor, padding: int) -> torch.Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 4, 4)
    return torch.nn.functional.conv2d(x, kernel, padding=padding, groups=x.shape[1])


def test_a_block_is_the_sum_of_the_paper_s_two_branches():
    block = Discriminator(WIDTHS).convs[1]
    state = {n: t + 0.1 * torch.randn_like(t) for n, t in block.state_dict().items()}
    state |= {n: t for n, t in block.state_dict().items() if n.endswith("kernel")}
    block.load_state_dict(state)
    x = torch.randn(2, 6, 32, 32)

    def conv(x, name, bias=None, **options):
        weight = state[name] / (state[name][0].numel() ** 0.5)
        y = torch.nn.functional.conv2d(x, weight, **options)
        if bias is None:
            return y
        return torch.nn.functional.leaky_relu(y + state[bias].view(1, -1, 1, 1), 0.2) * 2**0.5

    main = conv(x, "conv1.0.weight", "conv1.1.bias", padding=1)
    main = conv(blur(main, 2), "conv2.1.weight", "conv2.2.bias", stride=2)
    side = conv(blur(x, 1), "skip.1.weight", stride=2)
    assert torch.allclose(block(x), (main + side) / 2**0.5, atol=1e-5)


def test_the_deviation_is_taken_within_groups_of_four():
    x = torch.randn(8, 3, 4, 4)
    x[4:] = x[4]  # four equal images
    appended = append_deviation(x)
    assert torch.equal(appended[:, :3], x)
    expected = x[:4].std(dim=0, unbiased=False).mean().item()
    assert appended[:4, 3].flatten().tolist() == pytest.approx([expected] * 64, rel=1e-5)
    assert appended[4:, 3].max() < 1e-3
    assert append_deviation(x[:3]).shape == (3, 4, 4, 4)
    assert append_deviation(x[:6])[0, 3, 0, 0] != append_deviation(x[:6])[2, 3, 0, 0]


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"d": s, "args": 1}])
def test_a_loaded_discriminator_gives_the_same_logits_as_the_saved_one(tmp_path, wrap):
    discriminator = Discriminator(WIDTHS)
    torch.save(wrap(discriminator.state_dict()), tmp_path / "D.pth")
    loaded = load_discriminator(tmp_path / "D.pth")
    assert loaded.widths == WIDTHS
    x = torch.rand(4, 3, 32, 32)
    assert torch.equal(loaded(x)[0], discriminator(x)[0])


def test_a_file_without_a_discriminator_is_refused_by_name(tmp_path, tiny_gpen):
    torch.save(tiny_gpen.state_dict(), tmp_path / "G.pth")
    with pytest.raises(CheckpointError, match=r"G\.pth` holds no discriminator"):
        load_discriminator(tmp_path / "G.pth")
    state = Discriminator(WIDTHS).state_dict()
    del state["convs.2.skip.1.weight"]
    torch.save(state, tmp_path / "D.pth")
    with pytest.raises(CheckpointError, match=r"(?s)damaged discriminator.*skip"):
        load_discriminator(tmp_path / "D.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"list\.pth` holds no discriminator"):
        load_discriminator(tmp_path / "list.pth")
