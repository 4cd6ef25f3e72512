"""Export small networks to ONNX, as people's files were made, each once per session."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from networks import random_network
from older_network import OlderGPEN
from packaging.version import Version
from torch import nn

from gpen_core.arch import GPEN
from gpen_core.arch.reference import ReferenceGPEN


def make_network(size: int = 32, noise: str = "concat") -> GPEN:
    """Return the network of random weights that the exports hold."""
    torch.manual_seed(0)
    return random_network(size, size, noise=noise)


def export_by_torchscript(
    network: nn.Module, path: Path, size: int, opset: int, *, fold: bool
) -> None:
    """Export by the exporter that wrote nearly all published files."""
    if isinstance(network, ReferenceGPEN) and Version(torch.__version__) < Version("2.6"):
        pytest.skip("the exporter of PyTorch 2.5 takes numbers from shapes for tensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter and what it calls are deprecated
        try:
            torch.onnx.export(
                network.eval(),
                (torch.zeros(1, 3, size, size),),
                str(path),
                dynamo=False,
                opset_version=opset,
                do_constant_folding=fold,
                input_names=["input"],
                output_names=["output"],
            )
        except TypeError as error:
            pytest.skip(f"this PyTorch has no TorchScript exporter ({error})")


def export_by_dynamo(network: nn.Module, path: Path, size: int) -> None:
    """Export by PyTorch's newer exporter, which folds constants and renames most weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, size, size),),
            str(path),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["input"],
            output_names=["output"],
        )


class Exports:
    """Exported files, made when they are first asked for.

    A name is "reference" or "older", the operator set or "dynamo", and perhaps "unfolded",
    "added" (noise that is added), "simplified" (by onnxsim) or "64" (pixels), such as
    "reference 17 unfolded".
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the file of this name."""
        path = self.folder / f"{name}.onnx"
        if not path.exists():
            self._make(name, path)
        return path

    def network(self, name: str) -> GPEN:
        """Return the network that the file holds."""
        return make_network(_size(name), "add" if "added" in name else "concat")

    def _make(self, name: str, path: Path) -> None:
        if name.endswith(" simplified"):
            onnxsim = pytest.importorskip("onnxsim")
            onnx = pytest.importorskip("onnx")
            plain = self.path(name.removesuffix(" simplified"))
            simple, _ = onnxsim.simplify(onnx.load(str(plain)))
            onnx.save(simple, str(path))
            return
        kind, opset, *words = name.split()
        model = self.network(name)
        network = OlderGPEN(model) if kind == "older" else ReferenceGPEN(model)
        if opset == "dynamo":
            export_by_dynamo(network, path, _size(name))
        else:
            fold = "unfolded" not in words
            export_by_torchscript(network, path, _size(name), int(opset), fold=fold)


def _size(name: str) -> int:
    return next((int(word) for word in name.split() if word in ("64", "256")), 32)
