"""The CPU kernels compared with torch's operations, alone and in the network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import (
    activate,
    assert_frame_untouched,
    channels,
    dtypes,
    make_framed,
    needs_kernels,
    random_factors,
    random_pixels,
)
from networks import WIDE, by_modules, random_network, relative_error

from gpen_core.arch.cpu import launch, packed, polyphase, strips, winograd
from gpen_core.arch.cpu.styled import _make_finish


@needs_kernels
@dtypes
@channels
def test_blur_equals_a_convolution(count: int, dtype: torch.dtype, most: float) -> None:
    x, taps = random_pixels(count, 5, 7, dtype), torch.randn(4, 4)  # not symmetric, to see a flip
    wanted = F.conv2d(x.float(), taps.expand(count, 1, 4, 4), padding=2, groups=count)
    assert relative_error(launch.blur(x, taps), wanted) < most


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize(("first", "rows"), [(0, 6), (2, 4), (2, 7), (0, 9)])
def test_upsample_equals_torchs(
    first: int, rows: int, count: int, dtype: torch.dtype, most: float
) -> None:
    y, before = random_pixels(count, 7, 9, dtype), random_pixels(count, 3, 9, dtype)
    noise = random_pixels(count, rows, 8, dtype)
    factors, taps = random_factors(count, count), torch.randn(4, 4)
    frame, found = make_framed(2 * count, rows, 8, dtype)
    _, wanted = make_framed(2 * count, rows, 8, torch.float32)
    inputs = (y.float(), before.float(), first, noise.float())
    _make_finish(taps, factors, 4, torch.float32)(*inputs, wanted)
    wide = random_pixels(count, 7, 12, dtype)  # as `polyphase` returns it
    wide[..., :9] = y
    launch.upsample(taps, factors, wide[..., :9], before, first, noise, found)
    assert relative_error(found, wanted) < most
    assert_frame_untouched(frame)


@needs_kernels
@dtypes
@channels
def test_activate_equals_torchs(count: int, dtype: torch.dtype, most: float) -> None:
    x, noise = random_pixels(count, 3, 5, dtype), random_pixels(count, 3, 5, dtype)
    factors = random_factors(count, count)
    frame, out = make_framed(2 * count, 3, 5, dtype)
    launch.activate(x, factors, noise, out)
    assert relative_error(out, activate(x.float(), noise, factors)) < most
    assert_frame_untouched(frame)


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("planar", [False, True])
def test_add_rgb_equals_torchs(planar: bool, count: int, dtype: torch.dtype, most: float) -> None:
    x, below = random_pixels(count, 5, 7, dtype), random_pixels(3, 8, 7, torch.float32)[:, :, 2:7]
    weight, bias = torch.randn(3, count), torch.randn(3)
    wanted = F.conv2d(x.float(), weight[..., None, None], bias) + below
    frame, out = make_framed(3, 5, 7, torch.float32)
    if planar:
        frame = frame.contiguous()
        out = frame[:, :, 2:-2, 2:-2]
    launch.add_rgb(launch.prepare_rgb_weight(weight), bias, x, below, out)
    assert relative_error(out, wanted) < 2e-6
    assert_frame_untouched(frame)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use Winograd and `polyphase` wherever they are possible."""
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", {torch.float32: 1, torch.bfloat16: 1})
    monkeypatch.setattr(winograd, "LEAST_SIZE", 4)
    monkeypatch.setattr(polyphase, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(polyphase, "LEAST_SIZE", 4)


@needs_kernels
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("sizes", [(64, 64), (16, 64), (64, 128)])
@pytest.mark.parametrize("strip_bytes", [1, 1 << 13])
@pytest.mark.parametrize("chained", [1, 3])
def test_kernels_compute_the_network_in_strips(
    sizes: tuple[int, int], strip_bytes: int, chained: int, dtype: torch.dtype, most: float,
    everywhere: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, x = random_network(*sizes, widths=WIDE), torch.rand(1, 3, sizes[0], sizes[0]) * 2 - 1
    wanted = by_modules(model, x)
    monkeypatch.setattr(strips, "STRIP_BYTES", strip_bytes)
    monkeypatch.setattr(strips, "CHAINED", chained)
    with torch.no_grad():
        assert 0 < relative_error(model.set_dtype(dtype)(x), wanted) < most


@needs_kernels
def test_results_of_torch_in_another_layout_are_converted(
    everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = random_network(widths=WIDE), torch.rand(1, 3, 64, 64)
    wanted = by_modules(model, x)
    monkeypatch.setattr(packed, "_can_pack", lambda dtype: False)
    convolve = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *args, **kwargs: convolve(*args, **kwargs).contiguous())
    with torch.no_grad():
        assert relative_error(model(x), wanted) < 3e-6


@needs_kernels
def test_any_number_of_threads_gives_the_same(everywhere: None) -> None:
    model, crops = random_network(widths=WIDE), torch.rand(6, 1, 3, 64, 64)
    threads = torch.get_num_threads()

    def restore(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(x)

    try:
        torch.set_num_threads(1)
        wanted = [restore(x) for x in crops]
        torch.set_num_threads(3)
        more = [restore(x) for x in crops]
    finally:
        torch.set_num_threads(threads)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(restore, crops))
    for result in (more, found):
        torch.testing.assert_close(torch.cat(result), torch.cat(wanted), atol=1e-5, rtol=0)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_stays_nan(dtype: torch.dtype, everywhere: None) -> None:
    model, x = random_network(widths=WIDE).set_dtype(dtype), torch.rand(1, 3, 64, 64)
    x[..., 30, 30] = float("nan")
    with torch.no_grad():
        assert model(x).isnan().any()


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_input_and_no_size_of_weights_overflows_in_the_kernels(
    dtype: torch.dtype, everywhere: None
) -> None:
    model = random_network(widths=WIDE)
    for parameter in model.parameters():
        parameter.data *= 8
    model.set_dtype(dtype)
    for x in (
        -torch.ones(1, 3, 64, 64),
        torch.ones(1, 3, 64, 64),
        torch.rand(1, 3, 64, 64) * 2 - 1,
    ):
        with torch.no_grad():
            assert torch.isfinite(model(x)).all()
