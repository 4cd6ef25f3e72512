"""Run the Triton kernels on the CPU with Triton's interpreter, and print their errors as JSON.

This is a program because Triton reads TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

os.environ["TRITON_INTERPRET"] = "1"

import torch
import torch.nn.functional as F
from networks import random_network

from gpen_core.arch.cuda import fused, launch
from gpen_core.arch.weight_cache import EngineMemory

WIDTHS = (12, 8, 5)  # at 4, 8 and 16 px; not only powers of two


@torch.no_grad()
def main() -> None:
    assert launch.is_available(torch.device("cpu"))
    errors = {}
    for dtype, out_size, count in (("float32", 8, 2), ("float16", 8, 2), ("float32", 16, 1)):
        torch.manual_seed(0)
        model = random_network(8, out_size, widths=WIDTHS)
        x = torch.rand(count, 3, 8, 8) * 2 - 1
        wanted = model.generator(*model.encode(x), model.fresh_noise(3))
        model.set_dtype(getattr(torch, dtype))
        found = fused.restore_faces(model, x, model.fresh_noise(3), EngineMemory())
        error = (found - wanted).norm() / wanted.norm()
        errors[f"{count} to {out_size} px in {dtype}"] = float(error)
    errors["FIR"] = measure_fir_error()
    print(json.dumps(errors))


@torch.enable_grad()
def measure_fir_error() -> float:
    """Return the largest error of a FIR, its gradient and its second gradient."""
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
