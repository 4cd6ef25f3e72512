"""Find the tensors of a GPEN in the contents of a file, and check every one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..arch import GPEN, GPENConfig, read_config
from ..arch.config import SIGNATURE
from ..arch.layers import FIR_TAPS
from ..devices import DTYPES
from ..errors import CheckpointError
from ..printable import printable

WRAPPERS = ("g_ema", "generator_ema", "params_ema", "params", "state_dict")
"""Entries under which training scripts store a network; averaged weights come first."""

MAX_WRAPPERS = 3
"""How deep wrappers may nest. No known file nests deeper; a pickle could nest without end."""

SECTIONS = ("encoder", "mapper", "generator")
"""Entries among which some self-trained files divide the network."""

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()} | {torch.float64: "fp64"}
"""The names of the dtypes that a checkpoint may hold."""

RESTORERS = ("a GFPGAN", "a CodeFormer", "a RestoreFormer, or a quantising autoencoder")
"""Networks that `runners.spandrel` loads, if they are sound."""

FOREIGN = (
    (
        (r"final_conv\.0\.", r"final_linear\.1\."),
        "the discriminator that a GPEN was trained against (published as `…-D.pth`): it judges "
        "faces and restores none. Use the file of the same name without `-D`",
    ),
    ((r"stylegan_decoder\w*\.",), RESTORERS[0]),
    ((r"(.*\.)?quantize\.embedding\.", r"position_emb$"), RESTORERS[1]),
    ((r"(.*\.)?quantize\.embedding\.",), RESTORERS[2]),
    ((r".*\.(rdb|RDB)1\.",), "an ESRGAN upscaler, which enlarges whole images"),
    ((r"ClassHead\.", r"LandmarkHead\."), "a RetinaFace face detector; load it as a detector"),
    ((r"out_mask_conv\.",), "a ParseNet face parser"),
    ((r"input\.input$", r"to_rgb1\."), "a StyleGAN2 generator without GPEN's encoder"),
    (
        (r"(.*\.)?layer4\.2\.conv3\.",),
        "a ResNet-50; GPEN's encoder is another network, whose tensors are called "
        "`ecd0.0.0.weight` …",
    ),
)
"""Networks that users load by mistake: patterns, each of which must match some tensor's name, and
the network in words."""


def read_state_dict(contents: Any) -> tuple[dict[str, torch.Tensor], GPENConfig, str]:
    """Find and check the tensors of one GPEN.

    Args:
        contents: the contents of a file: tensors by name, bare or in a container.

    Returns:
        The tensors by their published names, with blur kernels filled in if the file has none;
        the configuration; and the container in words.

    Raises:
        CheckpointError: these are not the tensors of a GPEN that can be used.
    """
    tensors, config, container = find_network(contents)
    _check_values(tensors)
    return tensors, config, container


def find_network(contents: Any) -> tuple[dict[str, torch.Tensor], GPENConfig, str]:
    """Find the tensors of one GPEN as `read_state_dict` does, but do not look at their numbers.

    The tensors may be on the device "meta".

    Raises:
        CheckpointError: these are not the names and shapes of a GPEN.
    """
    tensors, container = _unwrap(contents)
    if not all(name in tensors for name in SIGNATURE):
        _refuse_foreign(tensors)
    config = read_config({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    try:
        with torch.device("meta"):
            expected = {name: tuple(t.shape) for name, t in GPEN(config).state_dict().items()}
    except (ArithmeticError, RuntimeError) as error:
        raise CheckpointError(
            f"Damaged GPEN checkpoint: no network has the sizes that its tensors show, {config}."
        ) from error
    device = tensors[SIGNATURE[0]].device
    kernels = {name: _make_kernel(name).to(device) for name in expected if is_kernel(name)}
    tensors = kernels | tensors
    _check_names_and_shapes(tensors, expected, config)
    return {name: tensors[name] for name in expected}, config, container


def holds_gpen(contents: Any) -> bool:
    """Tell whether a file holds tensors of a GPEN, even if some are missing or damaged.

    Args:
        contents: the contents of a file, whose tensors may be on the device "meta".
    """
    try:
        tensors, _ = _unwrap(contents)
    except CheckpointError:
        return False
    return any(name in tensors for name in SIGNATURE)


def is_kernel(name: str) -> bool:
    """Whether this name is that of a fixed blur kernel, which training never changes."""
    return name.endswith(".kernel")


def _unwrap(contents: Any) -> tuple[dict[str, torch.Tensor], str]:
    path: list[str] = []
    while isinstance(contents, Mapping) and len(path) <= MAX_WRAPPERS:
        wrapper = next((key for key in WRAPPERS if isinstance(contents.get(key), Mapping)), None)
        if wrapper is not None:
            contents = contents[wrapper]
            path.append(wrapper)
            continue
        sections = [key for key in SECTIONS if isinstance(contents.get(key), Mapping)]
        if len(sections) > 1:
            contents = _join(contents, sections)
            path.append(f"sections {', '.join(sections)}")
        return _take_tensors(contents, path)
    found = f"a {type(contents).__name__}"
    if path:
        found = f"one container in another without end (`{' › '.join(path)}`)"
    raise CheckpointError(f"Not a GPEN checkpoint: expected tensors by name, found {found}.")


def _take_tensors(
    contents: Mapping[Any, Any], path: list[str]
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a mapping, and in words the `path` that leads to it in the file."""
    if not any(isinstance(value, torch.Tensor) for value in contents.values()):
        entries = ", ".join(f"`{_show(key)}`" for key in list(contents)[:5]) or "none"
        raise CheckpointError(
            f"Not a GPEN checkpoint: no tensors in it. Its entries: {entries}; expected tensors by "
            f"name, bare or under {', '.join(f'`{key}`' for key in WRAPPERS)}."
        )
    for name, value in contents.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"Not a GPEN checkpoint: `{_show(name)}` is of type {type(value).__name__}; "
                "expected only tensors by name."
            )
    tensors, prefix = _strip_module(contents)
    return tensors, " › ".join(path or ["flat"]) + (f", prefixed `{prefix}`" if prefix else "")


def _strip_module(contents: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Remove the prefix that data-parallel training puts before every name; return it too."""
    prefix = "module."
    if not all(isinstance(name, str) and name.startswith(prefix) for name in contents):
        return dict(contents), ""
    return {name.removeprefix(prefix): value for name, value in contents.items()}, prefix


def _join(contents: Mapping[str, Any], sections: list[str]) -> dict[str, Any]:
    """Join the sections of the network under the published names."""
    joined: dict[str, Any] = {}
    for section in sections:
        tensors, _ = _strip_module(contents[section])
        if section == "encoder":
            _refuse_foreign(tensors, what="The section `encoder`")
        for name, tensor in tensors.items():
            joined[_publish_name(section, str(name))] = tensor
    return joined


def _publish_name(section: str, name: str) -> str:
    """Return the published name of a section's tensor."""
    if section == "encoder" or name.startswith("generator."):
        return name
    if section == "mapper" and name[:1].isdigit():
        return f"generator.style.{name}"
    return f"generator.{name}"


def _refuse_foreign(names: Iterable[str], *, what: str = "This") -> None:
    kind = name_foreign(names)
    if kind is not None:
        hint = " `gpen restore --model` runs it." if kind in RESTORERS else ""
        raise CheckpointError(
            f"{what} is {kind}. A GPEN restorer is needed: `gpen models` lists files that work."
            f"{hint}"
        )


def name_foreign(names: Iterable[str]) -> str | None:
    """Return in words which known network other than GPEN has tensors of these names, or None."""
    names = [str(name) for name in names]
    for patterns, kind in FOREIGN:
        if all(any(re.match(pattern, name) for name in names) for pattern in patterns):
            return kind
    return None


def _check_names_and_shapes(
    tensors: Mapping[str, torch.Tensor],
    expected: Mapping[str, tuple[int, ...]],
    config: GPENConfig,
) -> None:
    missing = [f"`{name}` is missing" for name in expected if name not in tensors]
    extra = [f"`{_show(name)}` is not part of it" for name in tensors if name not in expected]
    misshapen = [
        f"`{name}` must be {list(shape)}, found {list(tensors[name].shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    faults = missing + extra + misshapen
    if faults:
        shown = "; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if faults[6:] else "")
        raise CheckpointError(
            f"Damaged GPEN checkpoint of {config.in_size} → {config.out_size} px: {shown}. Its "
            f"widths {config.widths} were read from `generator.conv1` and `generator.convs.1, 3, "
            "5 …`."
        )


def _check_values(tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPE_NAMES or tensor.layout != torch.strided or tensor.is_meta:
            raise CheckpointError(
                f"Damaged GPEN checkpoint: `{name}` is stored as {tensor.dtype} ({tensor.layout}, "
                f"{tensor.device.type}); expected plain {', '.join(DTYPE_NAMES.values())}."
            )
        # One NaN or Inf makes the sum NaN or Inf. That takes a quarter of the time of isfinite.
        if not tensor.sum(dtype=torch.float32).isfinite() and not tensor.float().isfinite().all():
            bad = int((~torch.isfinite(tensor.float())).sum())
            raise CheckpointError(
                f"Damaged GPEN checkpoint: `{name}` holds {bad} NaN or infinite values of "
                f"{tensor.numel()}. Download the file again, or use an earlier file of the "
                "training."
            )
        if is_kernel(name) and not torch.allclose(tensor.cpu().float(), _make_kernel(name)):
            raise CheckpointError(
                f"Not a usable GPEN checkpoint: `{name}` is not the blur that GPEN is built on, "
                f"the outer product of {FIR_TAPS} with a sum of {_make_kernel(name).sum():.0f} "
                f"(found a sum of {tensor.float().sum():.4g})."
            )


def _show(key: Any) -> str:
    return printable(str(key))


def _make_kernel(name: str) -> torch.Tensor:
    """Return the blur [4, 4] of this name. Its sum is 4 where it upsamples, 1 in the encoder."""
    taps = torch.tensor(FIR_TAPS, dtype=torch.float32, device="cpu")
    gain = 4 if name.startswith("generator.") else 1
    return torch.outer(taps, taps) / taps.sum() ** 2 * gain
