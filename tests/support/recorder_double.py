"""A double of `gpen_core.arch.cuda.graphs.Recorder` for tests without a GPU."""

from __future__ import annotations

import contextlib

import torch


class Recorder:
    """Works like CUDA graphs: every replay reads and writes the buffers of the recording."""

    recorded = replayed = 0
    refusal: RuntimeError | None = None

    def __init__(self, device: torch.device) -> None:
        self.busy = False

    def record(self, run):
        if Recorder.refusal is not None:
            raise Recorder.refusal
        Recorder.recorded += 1
        output = run().fill_(float("nan"))  # recording computes nothing

        def replay():
            Recorder.replayed += 1
            output.copy_(run())

        return output, replay

    @contextlib.contextmanager
    def turn(self):
        assert not self.busy
        self.busy = True
        yield
        self.busy = False

    def finish(self):
        assert not self.busy
