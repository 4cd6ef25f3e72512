"""Loads GFPGAN, CodeFormer and RestoreFormer, whose networks the package spandrel builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints import catalog
from ..checkpoints.loading import load_gpen
from ..checkpoints.onnx import is_onnx_file
from ..checkpoints.state_dicts import holds_gpen, name_foreign
from ..checkpoints.tensor_files import read_outline, read_tensor_file
from ..devices import resolve_device, resolve_dtype
from ..errors import CheckpointError, GPENError, MismatchError
from ..names import AUTO, ENGINES
from ..printable import printable
from .face_restorer import FaceRestorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..arch import GPEN
    from .onnxruntime import OnnxRunner

CONVENTIONAL = ("GFPGAN", "RestoreFormer", "CodeFormer")
"""Architectures that can be built without memory, to check a file before its numbers are read."""

WITH_FIDELITY = "CodeFormer"
FIDELITY = 0.5
"""CodeFormer's `weight` unless the user chooses one, as in its own code."""


@torch.inference_mode(mode=False)  # weights made in that mode could not be used outside of it
def load_face_restorer(
    source: str | Path = "builtin",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    fidelity: float | None = None,
    engine: str = AUTO,
    verify: bool = True,
    on_notice: Callable[[str], None] | None = None,
) -> GPEN | FaceRestorer | OnnxRunner:
    """Load any face restorer: a GPEN by `load_gpen`, a GFPGAN, CodeFormer or RestoreFormer else.

    The others need the package spandrel, CodeFormer also spandrel_extra_arches. Their `config` has
    the template "ffhq", which `restore_image` then takes by itself.

    Args:
        source: a file, or a name that `gpen models` lists.
        device: as for `load_gpen`.
        dtype: as for `load_gpen`; "auto" is fp32 for networks other than GPEN, and none of them
            works in fp16.
        fidelity: 0 … 1, for CodeFormer only: 0 draws the cleanest face, 1 stays closest to the
            given one. None takes 0.5.
        engine: for ONNX files, as for `load_gpen`.
        verify: for ONNX files, as for `load_gpen`.
        on_notice: for ONNX files, as for `load_gpen`.

    Returns:
        The network on `device`. It can be the model of every verb.

    Raises:
        CheckpointError: there is no such file, or it holds no face restorer.
        DeviceError: the device or dtype is unknown or not available.
        MismatchError: `fidelity` is out of range, or the network has none.
        GPENError: a package is missing.

    Example:
        >>> import gpen_core as gpen
        >>> model = gpen.load_face_restorer("builtin", device="cpu")
        >>> model.config.in_size
        256
    """
    if fidelity is not None and not 0 <= fidelity <= 1:
        raise MismatchError(f"fidelity must lie in 0 … 1, found {fidelity:g}.")
    path = catalog.resolve(source)
    by_load_gpen = is_onnx_file(path) or path.suffix.lower() == ".onnx" or engine == ENGINES[1]
    outline = None if by_load_gpen else read_outline(path)
    if outline is None or holds_gpen(outline):
        if fidelity is not None:
            raise MismatchError(f"`{path}`: GPEN has no fidelity; leave it out. {_LOOK_AT}")
        return load_gpen(
            source, device=device, dtype=dtype, engine=engine, verify=verify, on_notice=on_notice
        )
    target = resolve_device(device)
    chosen = torch.float32 if dtype == "auto" else resolve_dtype(dtype, target)
    restorer = _read_restorer(path, outline)
    if fidelity is not None:
        if restorer.fidelity is None:
            raise MismatchError(f"{restorer.name} has no fidelity; leave it out. {_LOOK_AT}")
        restorer.fidelity = fidelity
    return restorer.set_dtype(chosen).to(target)


_LOOK_AT = "Only CodeFormer has one. To weaken a result, lower `strength`."


def _read_restorer(path: Path, outline: Any) -> FaceRestorer:
    """Read a file that holds no GPEN, and build its network in float32 on the CPU."""
    spandrel = _import_spandrel(path)
    shapes = _unwrap(spandrel, path, outline)
    architecture = _find_architecture(spandrel, path, shapes)
    on_meta = architecture.id in CONVENTIONAL
    tensors = shapes if on_meta else _read_tensors(spandrel, path)
    try:
        with torch.device("meta" if on_meta else "cpu"):  # else a small file could take all memory
            descriptor = architecture.load(tensors)
    except Exception as error:  # an altered file makes the architecture raise nearly anything
        raise CheckpointError(
            f"`{path}` looks like a {architecture.name}, but its tensors do not fit the network "
            f"that spandrel {spandrel.__version__} builds: {printable(str(error), 300)}."
        ) from error
    channels = (descriptor.input_channels, descriptor.output_channels)
    if descriptor.purpose != "FaceSR" or channels != (3, 3):
        raise CheckpointError(
            f"`{path}` is a {architecture.name} for {descriptor.purpose} with {channels[0]} → "
            f"{channels[1]} channels; a face restorer (FaceSR) of RGB images is needed. If it is "
            "an upscaler, `gpen restore --upscaler` takes it for the background."
        )
    network = descriptor.model
    if on_meta:
        numbers = _read_tensors(spandrel, path)
        network.load_state_dict({n: t.float() for n, t in numbers.items()}, assign=True)
    fidelity = FIDELITY if architecture.id == WITH_FIDELITY else None
    restorer = FaceRestorer(
        network, architecture.name, supports_half=descriptor.supports_half, fidelity=fidelity
    )
    return restorer.train(mode=False).requires_grad_(False)


def _import_spandrel(path: Path) -> Any:
    try:
        import spandrel
    except ImportError as error:
        raise GPENError(
            f"`{path}` holds no GPEN. Other face restorers need spandrel: pip install "
            '"gpen-restore[upscale]".'
        ) from error
    return spandrel


def _read_tensors(spandrel: Any, path: Path) -> dict[str, torch.Tensor]:
    return _unwrap(spandrel, path, read_tensor_file(path).contents)


def _unwrap(spandrel: Any, path: Path, contents: Any) -> dict[str, torch.Tensor]:
    """Return the tensors by their names, without what training scripts put around them."""
    if isinstance(contents, dict):
        contents = spandrel.canonicalize_state_dict(contents)
    if not isinstance(contents, dict) or not contents:
        raise CheckpointError(
            f"`{path}` holds no face restorer: expected tensors by name, found "
            f"{'nothing' if contents == {} else f'a {type(contents).__name__}'}."
        )
    for name, value in contents.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"`{path}` holds no face restorer: `{printable(str(name))}` is of type "
                f"{type(value).__name__}; expected only tensors by name."
            )
    return contents


def _find_architecture(spandrel: Any, path: Path, shapes: dict[str, torch.Tensor]) -> Any:
    """Return spandrel's architecture of these tensors."""
    registry = spandrel.MAIN_REGISTRY.copy()
    has_extra = _add_extra_architectures(registry)
    for support in registry.architectures("detection"):
        if support.detect(shapes):
            return support.architecture
    kind = name_foreign(shapes)
    if kind == "a CodeFormer" and not has_extra:
        raise GPENError(
            f"`{path}` is a CodeFormer. Its code is for non-commercial use only (S-Lab License "
            "1.0), so it comes in a package of its own: pip install spandrel_extra_arches."
        )
    raise CheckpointError(
        f"`{path}` holds no face restorer: it is {kind or 'no network that spandrel knows'} "
        f"({len(shapes)} tensors, the first `{printable(next(iter(shapes)))}`). Expected a GPEN, "
        "GFPGAN, CodeFormer or RestoreFormer."
    )


def _add_extra_architectures(registry: Any) -> bool:
    """Add those of spandrel_extra_arches; return whether that package is installed."""
    try:
        import spandrel_extra_arches as extra  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    registry.add(*extra.EXTRA_REGISTRY, ignore_duplicates=True)
    return True
