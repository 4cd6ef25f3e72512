"""Runs the Triton kernels on the CPU, by Triton's interpreter, and prints how far off they are.

A program of its own: Triton reads the variable when it is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

os.environ["TRITON_INTERPRET"] = "1"

import torch
import torch.nn.functional as F

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.arch.cuda import fused, launch
from gpen_core.arch.weight_cache import EngineMemory

WIDTHS = (12, 8, 5)  # at 4, 8 and 16 px; not only powers of two


def network(out_size: int) -> GPEN:
    """8 px to `out_size`, with random weights, biases and noise gains."""
    torch.manual_seed(0)
    widths = WIDTHS[: out_size.bit_length() - 2]
    model = GPEN(GPENConfig(8, out_size, widths, style_dim=16, mapping_layers=2))
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def main() -> None:
    assert launch.is_available(torch.device("cpu"))
    errors = {}
    for dtype, out_size, count in (("float32", 8, 2), ("float16", 8, 2), ("float32", 16, 1)):
        model, x = network(out_size), torch.rand(count, 3, 8, 8) * 2 - 1
        wanted = model.generator(*model.encode(x), model.fresh_noise(3))
        model.set_dtype(getattr(torch, dtype))
        found = fused.restore_faces(model, x, model.fresh_noise(3), EngineMemory())
        error = (found - wanted).norm() / wanted.norm()
        errors[f"{count} to {out_size} px in {dtype}"] = float(error)
    errors["FIR"] = fir_error()
    print(json.dumps(errors))


@torch.enable_grad()
def fir_error() -> float:
    """The largest error of a FIR, its gradient and that one's gradient."""
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    taps = torch.rand(4, 4, dtype=torch.float64)

    def plain(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (2, 1, 2, 1)), taps.expand(3, 1, 4, 4), groups=3)

    def results(fir: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        y = fir(x)
        (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), x)
        return [y, first, second]

    found = results(lambda x: launch.FIR.apply(x.float(), taps.float(), 2, 1))
    pairs = zip(found, results(plain), strict=True)
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)


if __name__ == "__main__":
    main()
