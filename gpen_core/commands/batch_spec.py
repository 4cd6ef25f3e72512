"""The part of a spec that all results of a run share: options, models, device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..batch.spec import hash_spec
from ..checkpoints import catalog
from ..detectors.registry import find_detector
from ..devices import resolve_device, resolve_dtype
from ..errors import GPENError
from ..files import is_file, sha256
from ..names import AUTO, PARSERS
from .batch_options import WITHOUT_EFFECT

if TYPE_CHECKING:
    from .restore_options import RestoreOptions

NOTED_OTHERWISE = frozenset({
    "model", "detector", "detector_weights", "upscaler", "parser", "device", "dtype",
})  # fmt: skip
"""Options of which `describe_run` notes the meaning: the hashes of files, the kind of device."""


def describe_run(args: RestoreOptions, threads: int, device: str | None = None) -> tuple[str, str]:
    """Return the hash of all that results of a run depend on besides their inputs, and its text.

    Args:
        args: the options.
        threads: the threads of a worker.
        device: the kind of device of the workers, if they are on other machines.

    Raises:
        GPENError: a model is missing, or this machine lacks the device.
    """
    kind = resolve_device(args.device) if device is None else torch.device(device)
    parts: dict[str, object] = {
        name: value
        for name, value in vars(args).items()
        if name not in WITHOUT_EFFECT | NOTED_OTHERWISE
    }
    parts["device"] = kind.type
    parts["dtype"] = str(resolve_dtype(args.dtype, kind))
    parts["threads"] = threads
    parts["model"] = _hash_file(catalog.resolve(args.model))
    parts.update(_describe_others(args))
    return hash_spec(parts), json.dumps(parts, sort_keys=True, default=str)


def _describe_others(args: RestoreOptions) -> dict[str, object]:
    """Return the hashes of the files of all networks but the model."""
    found: dict[str, object] = {}
    if not args.aligned:
        name, file = args.detector, args.detector_weights
        if file is None:
            name, file = find_detector(name)
        found["detector"] = [name, file and _hash_file(Path(file))]
    if args.upscaler:
        found["upscaler"] = _hash_file(Path(args.upscaler))
    if args.mask_kind == "parse":
        from ..pasting.parsing import find_parser

        name = args.parser or AUTO
        path = find_parser(name) if name in (AUTO, *PARSERS) else Path(name)
        found["parser"] = path and _hash_file(path)
    return found


def _hash_file(path: Path) -> str:
    if not is_file(path):
        raise GPENError(f"{path} does not exist, or is no file.")
    return sha256(path)
