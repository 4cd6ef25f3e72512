"""Runs the Triton kernels on the CPU, by Triton's interpreter, and prints how far off they are.

A program of its own: Triton reads the variable when it is imported.
"""

from __future__ import annotations

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch

from gpen_core.arch import GPEN, GPENConfig, fused
from gpen_core.arch.kept import Kept

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
    errors = {}
    for dtype, out_size, count in (("float32", 8, 2), ("float16", 8, 2), ("float32", 16, 1)):
        model, x = network(out_size), torch.rand(count, 3, 8, 8) * 2 - 1
        wanted = model.generator(*model.encode(x), model.fresh_noise(3))
        model.set_dtype(getattr(torch, dtype))
        found = fused.restore_faces(model, x, model.fresh_noise(3), Kept())
        error = (found - wanted).norm() / wanted.norm()
        errors[f"{count} to {out_size} px in {dtype}"] = float(error)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
