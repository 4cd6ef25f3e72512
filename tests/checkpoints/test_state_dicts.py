from __future__ import annotations

import argparse
from typing import Any

import pytest
import torch
from networks import build_gpen

from gpen_core.arch import GPEN
from gpen_core.checkpoints.state_dicts import read_state_dict
from gpen_core.errors import CheckpointError

Tensors = dict[str, torch.Tensor]


def sections(tensors: Tensors, *, bare: bool) -> dict[str, Any]:
    """Divide the tensors among encoder, mapper and generator; bare names omit the section."""
    found: dict[str, Any] = {"encoder": {}, "mapper": {}, "generator": {}}
    for name, tensor in tensors.items():
        if name.startswith("generator.style."):
            found["mapper"][name.removeprefix("generator.style.") if bare else name] = tensor
        elif name.startswith("generator."):
            found["generator"][name.removeprefix("generator.") if bare else name] = tensor
        else:
            found["encoder"][name] = tensor
    return found | {"args": argparse.Namespace(size=32, tags=["face"], note=None)}


CONTAINERS = {
    "flat": lambda t: t,
    "g_ema": lambda t: {"g_ema": t, "d": {"final_conv.0.weight": torch.ones(3)}, "iter": 7},
    "generator_ema": lambda t: {"generator_ema": t},
    "params_ema": lambda t: {"params_ema": t, "params": {"stale": torch.zeros(1)}},
    "params": lambda t: {"params": t},
    "state_dict": lambda t: {"state_dict": t, "epoch": 3, "lr": 0.1},
    "state_dict › g_ema": lambda t: {"state_dict": {"g_ema": t}},
    "flat, prefixed `module.`": lambda t: {f"module.{name}": v for name, v in t.items()},
    "g_ema, prefixed `module.`": lambda t: {"g_ema": {f"module.{n}": v for n, v in t.items()}},
    "sections encoder, mapper, generator": lambda t: sections(t, bare=True),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_holds_the_same_network(
    container: str, tensors: Tensors, tiny_gpen: GPEN
) -> None:
    found, config, described = read_state_dict(CONTAINERS[container](tensors))
    assert described == container
    assert config == tiny_gpen.config
    assert list(found) == list(tensors)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_sections_may_keep_the_published_names(prefix: str, tensors: Tensors) -> None:
    spread = sections(tensors, bare=False)
    for section in ("encoder", "mapper", "generator"):
        spread[section] = {prefix + name: tensor for name, tensor in spread[section].items()}
    found, _, _ = read_state_dict(spread)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_blur_kernels_may_be_left_out(tensors: Tensors) -> None:
    learned = {name: t for name, t in tensors.items() if not name.endswith(".kernel")}
    assert len(learned) < len(tensors)
    found, _, _ = read_state_dict(learned)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def zeros(*names: str) -> Tensors:
    return {name: torch.zeros(1) for name in names}


FOREIGN = {
    "discriminator": (
        zeros("convs.0.0.weight", "convs.1.conv1.0.weight", "final_conv.0.weight")
        | zeros("final_linear.0.weight", "final_linear.1.weight"),
        "without `-D`",
    ),
    "GFPGAN": (
        {"params_ema": zeros("conv_body_first.weight", "stylegan_decoder.style_mlp.1.weight")},
        "a GFPGAN. A GPEN restorer is needed: `gpen models` lists files that work. `gpen restore "
        "--model` runs it.",
    ),
    "CodeFormer": (
        {"params_ema": zeros("position_emb", "quantize.embedding.weight", "ft_layers.0.linear1")},
        "a CodeFormer",
    ),
    "RestoreFormer": (
        zeros("quantize.embedding.weight", "encoder.conv_in.weight"),
        "RestoreFormer",
    ),
    "Real-ESRGAN": (
        {"params_ema": zeros("conv_first.weight", "body.0.rdb1.conv1.weight")},
        "an ESRGAN upscaler",
    ),
    "ESRGAN": (zeros("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"), "an ESRGAN upscaler"),
    "ResNet-50": (zeros("conv1.weight", "layer4.2.conv3.weight", "fc.weight"), "a ResNet-50"),
    "StyleGAN2": (zeros("input.input", "style.1.weight", "to_rgb1.bias"), "without GPEN's encoder"),
    "RetinaFace": (
        zeros("module.ClassHead.0.conv1x1.weight", "module.LandmarkHead.0.conv1x1.weight"),
        "a RetinaFace face detector",
    ),
    "ParseNet": (zeros("encoder.0.conv2d.weight", "out_mask_conv.conv2d.weight"), "a ParseNet"),
    "unknown": (
        zeros("features.0.weight", "features.1.weight"),
        "`generator.input.input` is missing (6 of 6 signature tensors absent). Found 2 tensors, "
        "the first `features.0.weight`",
    ),
    "nothing": ({}, "no tensors in it"),
    "optimiser": ({"optimizer": {"lr": 0.1}, "epoch": 3}, "`optimizer`, `epoch`"),
    "list": ([torch.ones(2)], "found a list"),
    "tensor": (torch.ones(2), "found a Tensor"),
}


def complaint(contents: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        build_gpen(contents)
    return str(caught.value)


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_network_is_named(kind: str) -> None:
    contents, said = FOREIGN[kind]
    assert said in complaint(contents)


def test_a_resnet_50_in_the_encoder_section_is_named(tensors: Tensors) -> None:
    spread = sections(tensors, bare=True)
    spread["encoder"] = zeros("conv1.weight", "layer1.0.conv1.weight", "layer4.2.conv3.weight")
    message = complaint(spread)
    assert "The section `encoder` is a ResNet-50" in message
    assert "ecd0.0.0.weight" in message


def test_any_missing_tensor_is_named(tensors: Tensors) -> None:
    learned = [name for name in tensors if not name.endswith(".kernel")]
    for name in learned:
        assert f"`{name}`" in complaint({n: t for n, t in tensors.items() if n != name}), name


@pytest.mark.parametrize("extra", ["generator.extra", "ecd0.0.0.bias", "optimizer.step"])
def test_an_extra_tensor_is_named(extra: str, tensors: Tensors) -> None:
    assert f"`{extra}` is not part of it" in complaint(tensors | {extra: torch.zeros(2)})


@pytest.mark.parametrize(
    "name",
    [
        "generator.convs.1.conv.weight",
        "generator.convs.4.activate.bias",
        "generator.to_rgb1.bias",
        "generator.to_rgbs.2.conv.modulation.weight",
        "generator.input.input",
        "ecd2.0.1.weight",
        "ecd2.0.0.kernel",
        "final_linear.0.weight",
    ],
)
def test_a_misshapen_tensor_is_named_with_both_shapes(name: str, tensors: Tensors) -> None:
    wanted = list(tensors[name].shape)
    found = [wanted[0] + 1, *wanted[1:]]
    message = complaint(tensors | {name: torch.zeros(found)})
    assert f"`{name}` must be {wanted}, found {found}" in message


def test_any_tensor_that_is_longer_on_any_side_is_named(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        for axis in range(tensor.ndim):
            shape = [side + (i == axis) for i, side in enumerate(tensor.shape)]
            assert f"`{name}`" in complaint(tensors | {name: torch.zeros(shape)}), (name, axis)


def test_a_tensor_with_too_few_dimensions_is_named(tensors: Tensors) -> None:
    name = "generator.convs.1.conv.weight"
    message = complaint(tensors | {name: tensors[name].flatten()})
    assert f"`{name}` must have 5 dimensions" in message


def test_a_missing_level_of_the_generator_is_reported(tensors: Tensors) -> None:
    without_level = {n: t for n, t in tensors.items() if not n.startswith("generator.to_rgbs.2.")}
    assert "in_size 32 exceeds out_size 16" in complaint(without_level)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nan_or_infinity_in_weights_is_named(
    bad: float, dtype: torch.dtype, tensors: Tensors
) -> None:
    name = "generator.convs.3.conv.weight"
    damaged = {n: t.to(dtype) for n, t in tensors.items()}
    damaged[name].view(-1)[5] = bad
    assert f"`{name}` holds 1 NaN or infinite" in complaint(damaged)


def test_sizes_that_no_network_has_are_reported(tensors: Tensors) -> None:
    for name, shape in (
        ("generator.style.1.weight", (0, 0)),
        ("generator.conv1.conv.weight", (1, 2**40, 0, 3, 3)),
    ):
        with pytest.raises(CheckpointError, match=r"Damaged|Not a usable"):
            read_state_dict(tensors | {name: torch.zeros(shape)})


def test_float64_weights_that_overflow_float32_are_named(tensors: Tensors) -> None:
    name = "generator.style.1.weight"
    wide = tensors[name].double()
    wide[0, 0] = 1e39
    with pytest.raises(CheckpointError, match="1 NaN or infinite"):
        read_state_dict(tensors | {name: wide})


def test_large_weights_whose_sum_overflows_are_accepted(tensors: Tensors) -> None:
    name = "generator.convs.3.conv.weight"
    build_gpen(tensors | {name: torch.full_like(tensors[name], 3e38)})


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.complex64, torch.bool])
def test_weights_that_are_not_floats_are_named(dtype: torch.dtype, tensors: Tensors) -> None:
    name = "ecd1.0.1.weight"
    message = complaint(tensors | {name: tensors[name].to(dtype)})
    assert f"`{name}` is stored as {dtype}" in message


def test_an_entry_that_is_no_tensor_is_named(tensors: Tensors) -> None:
    assert "`epoch` is of type int" in complaint({**tensors, "epoch": 3})


@pytest.mark.parametrize("name", ["ecd1.0.0.kernel", "generator.convs.2.conv.blur.kernel"])
def test_a_wrong_blur_kernel_is_named(name: str, tensors: Tensors) -> None:
    message = complaint(tensors | {name: tensors[name] * 2})
    assert f"`{name}` is not the blur that GPEN is built on" in message


def test_a_container_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["params"] = endless
    assert "params › params" in complaint(endless)
