"""Starts ComfyUI's main.py as on a machine with a GPU: `PretendDevice` takes the GPU's place.

ComfyUI accepts `--novram` and similar flags only with a GPU, not with `--cpu`. This script answers
the questions that ComfyUI asks the driver (which device, how much memory). Everything else is
ComfyUI's code.
"""

from __future__ import annotations

import runpy
import sys
import threading
from pathlib import Path

FREE = 8 << 30


def pretend() -> None:
    import comfy.options

    comfy.options.enable_args_parsing()
    from comfy.cli_args import args
    from pretend_device import DEVICE, PretendDevice

    args.cpu = True  # while ComfyUI searches for devices
    import comfy.model_management as mm

    args.cpu = False
    assert args.novram, "only --novram is supported here"
    mm.cpu_state, mm.vram_state = mm.CPUState.GPU, mm.VRAMState.NO_VRAM
    mm.is_nvidia = lambda: False
    mm.get_torch_device = lambda: DEVICE

    def memory(dev=None, torch_total_too=False, torch_free_too=False):
        return (FREE, FREE) if torch_total_too or torch_free_too else FREE

    mm.get_free_memory = mm.get_total_memory = memory
    run = threading.Thread.run

    def run_on_device(thread: threading.Thread) -> None:
        with PretendDevice() as device:
            thread.device = device
            run(thread)

    threading.Thread.run = run_on_device


if __name__ == "__main__":
    sys.path[:0] = [str(Path.cwd()), str(Path(__file__).parent)]
    sys.argv[0] = "main.py"
    pretend()
    runpy.run_path("main.py", run_name="__main__")
