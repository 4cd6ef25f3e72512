"""Face parsers: ParseNet and BiSeNet, as facexlib publishes them, label the parts of a face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from ..checkpoints import catalog
from ..checkpoints.tensor_files import read_tensor_file
from ..devices import is_out_of_memory, resolve_device
from ..errors import CheckpointError, DeviceError, GPENError, MismatchError
from ..names import AUTO, PARSERS, REGIONS
from ..warp import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


class FaceParser(Protocol):
    """Anything that finds parts of aligned faces: a `LabelParser`, or a user's own network.

    Attributes:
        size: the side in pixels of the faces that it sees best.
    """

    @property
    def size(self) -> int: ...

    def find_regions(self, faces: torch.Tensor, regions: Sequence[str]) -> torch.Tensor:
        """Return masks [N, 1, s, s] in [0, 1] of the named regions of RGB faces [N, 3, S, S]."""
        ...


@dataclass(frozen=True)
class Convention:
    """How one published parser reads a face and numbers its parts.

    Attributes:
        labels: the region of each label, in the order of the network's outputs.
        mean, deviation: of RGB in [0, 1]; the network gets (face - mean) / deviation.
        signature: a tensor that only this network has.
    """

    labels: tuple[str, ...]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    signature: str


CONVENTIONS = {
    # The order of CelebAMask-HQ, which is that of the colours of GPEN-Seg2face.
    "parsenet": Convention(
        (
            "background", "skin", "nose", "glasses", "eyes", "eyes", "brows", "brows", "ears",
            "ears", "mouth", "lips", "lips", "hair", "hat", "earrings", "necklace", "neck",
            "cloth",
        ),
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        "out_mask_conv.conv2d.weight",
    ),
    # The order of face-parsing.PyTorch, with ImageNet's mean and deviation.
    "bisenet": Convention(
        (
            "background", "skin", "brows", "brows", "eyes", "eyes", "glasses", "ears", "ears",
            "earrings", "nose", "mouth", "lips", "lips", "neck", "necklace", "cloth", "hair",
            "hat",
        ),
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "ffm.convblk.conv.weight",
    ),
}  # fmt: skip
"""Both label 19 parts, in different orders. Code asks for parts by their names only."""

SIZE = 512
"""Side in pixels of the faces that both networks were trained on."""


class LabelParser:
    """A `FaceParser` with one of the published networks.

    Args:
        name: "parsenet" or "bisenet".
        network: gives scores [N, 19, s, s] as the first of its outputs.
        device: where the network is.
        size: side in pixels at which it sees faces.
    """

    def __init__(
        self, name: str, network: nn.Module, device: torch.device, size: int = SIZE
    ) -> None:
        self.name = name
        self.device = device
        self.size = size
        self.convention = CONVENTIONS[name]
        self.network = network

    @torch.inference_mode()
    def label(self, faces: torch.Tensor) -> torch.Tensor:
        """Return the label [N, s, s] int64 of each pixel of RGB faces [N, 3, S, S] in [0, 1].

        Raises:
            DeviceError: the device's memory does not suffice.
        """
        pixels = resize(faces.to(self.device, torch.float32), self.size, self.size)
        mean, deviation = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.convention.mean, self.convention.deviation)
        )
        try:
            scores = self.network((pixels - mean) / deviation)[0]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceError(
                f"The memory of {self.device} does not suffice for the face parser {self.name}. "
                "Free some, or choose another kind of mask."
            ) from error
        return scores.argmax(dim=1)

    def find_regions(self, faces: torch.Tensor, regions: Sequence[str]) -> torch.Tensor:
        """Return masks [N, 1, s, s] of the named regions; see `FaceParser`."""
        chosen = select_labels(self.convention.labels, regions).to(self.device)
        return chosen[self.label(faces)][:, None]


def select_labels(labels: Sequence[str], regions: Sequence[str]) -> torch.Tensor:
    """Return 1 for each label whose name is among the regions, else 0; float32."""
    return torch.tensor([float(name in regions) for name in labels], device="cpu")


def load_parser(
    name: str = AUTO,
    *,
    device: str | torch.device = "auto",
    weights: str | Path | None = None,
    folders: Sequence[Path] = (),
) -> LabelParser:
    """Load a face parser for `mask_kind="parse"` of `paste` and `restore_image`.

    Args:
        name: "parsenet", "bisenet" or "auto". With `weights`, "auto" means the parser that this
            file is for; without, the first of these names whose file is found.
        device: the device of the network: "auto", "cpu", "cuda", "cuda:1", "mps" or a
            `torch.device`.
        weights: the parser's file. If None, parsing_parsenet.pth or parsing_bisenet.pth is
            searched for in `folders`, this package, `$GPEN_WEIGHTS` and the user's cache.
        folders: folders to search first.

    Raises:
        MismatchError: the name is unknown.
        CheckpointError: the file is missing, cannot be read, or is no such parser.
        GPENError: facexlib, which holds the networks, is not installed.
        DeviceError: the device is unknown or not available.

    Example:
        >>> import gpen_core as gpen
        >>> try:
        ...     parser = gpen.load_parser(weights="parsing_of_mine.pth", device="cpu")
        ... except gpen.CheckpointError as error:
        ...     print(error)
        There is no file `parsing_of_mine.pth`.
    """
    if name not in (AUTO, *PARSERS):
        raise MismatchError(f"Unknown face parser {name!r}; use {AUTO}, {', '.join(PARSERS)}.")
    place = resolve_device(device)
    file = find_parser(name, folders) if weights is None else Path(weights)
    if file is None:
        raise CheckpointError(catalog.explain_missing(catalog.find(_candidates(name)[0])))
    kind, tensors = _read_weights(file)
    if name not in (AUTO, kind):
        raise CheckpointError(
            f'`{file}` holds the weights of {kind}, not of {name}. Use name="{kind}" or "auto".'
        )
    network = make_network(kind)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"`{file}` is not a complete {kind}. {error}") from error
    network = network.float().train(mode=False).requires_grad_(False).to(place)
    return LabelParser(kind, network, place)


def find_parser(name: str = AUTO, folders: Sequence[Path] = ()) -> Path | None:
    """Find the file of a parser in `folders` or those of the catalogue, or return None."""
    located = (catalog.locate(entry, folders) for entry in _candidates(name))
    return next((file for file in located if file is not None), None)


def make_network(kind: str) -> nn.Module:
    """Build the network of "parsenet" or "bisenet", whose tensors have the published names.

    Raises:
        GPENError: facexlib is not installed.
    """
    try:
        from facexlib.parsing.bisenet import BiSeNet
        from facexlib.parsing.parsenet import ParseNet
    except ImportError as error:
        raise GPENError(
            f"A face parser needs facexlib, which cannot be imported ({error}). Install it with: "
            "pip install facexlib"
        ) from error
    classes = len(CONVENTIONS[kind].labels)
    with torch.device("cpu"):
        if kind == "bisenet":
            return BiSeNet(num_class=classes)
        return ParseNet(in_size=SIZE, out_size=SIZE, parsing_ch=classes)


def parse_regions(text: str) -> tuple[str, ...]:
    """Parse names of regions such as "skin, eyes, lips".

    Raises:
        MismatchError: a name is unknown, or there is none.
    """
    return check_regions([part.lower() for part in text.replace(",", " ").split()])


def check_regions(regions: Sequence[str]) -> tuple[str, ...]:
    """Return the regions; raise MismatchError if there is none or one is unknown."""
    unknown = [name for name in regions if name not in REGIONS]
    if unknown or not regions or isinstance(regions, str):
        found = f"found {str(unknown[0])[:40]!r}" if unknown else f"found {regions!r:.40}"
        raise MismatchError(f"regions must be some of {', '.join(REGIONS)}; {found}.")
    return tuple(regions)


def _candidates(name: str) -> tuple[str, ...]:
    return PARSERS if name == AUTO else (name,)


def _read_weights(file: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Read a parser's file; return its kind and its tensors by name, without "module."."""
    contents = read_tensor_file(file).contents
    named = contents if isinstance(contents, dict) else {}
    tensors = {
        name.removeprefix("module."): tensor
        for name, tensor in named.items()
        if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }
    for kind, convention in CONVENTIONS.items():
        if convention.signature in tensors:
            return kind, tensors
    signatures = " or ".join(f"`{c.signature}`" for c in CONVENTIONS.values())
    raise CheckpointError(
        f"`{file}` is not a face parser: expected the tensors of ParseNet or BiSeNet with "
        f"facexlib's names, such as {signatures}; found {len(tensors)} tensors, the first "
        f"{next(iter(tensors), None)!r}."
    )
