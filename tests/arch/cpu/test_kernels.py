"""The kernels for CPUs against torch's operations."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.arch.cpu import launch, packed, polyphase, strips, winograd
from gpen_core.arch.cpu.factors import Factors
from gpen_core.arch.cpu.styled import _make_finish
from gpen_core.arch.cpu.workspace import Workspace

needs_kernels = pytest.mark.skipif(
    not launch.is_available(torch.float32),
    reason="needs Linux, llvmlite (pip install llvmlite) and a torch with GNU's OpenMP",
)
dtypes = pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)])
"""Of a kernel, with the relative error that rounding explains."""

channels = pytest.mark.parametrize("count", [16, 17, 40])
"""Of which the vectors hold 16."""


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="needs Linux on x86-64"
)
def test_kernels_run_with_what_make_test_installs() -> None:
    assert all(launch.is_available(dtype) for dtype in launch.DTYPES)


def pixels(count: int, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    x = torch.randn(1, count, height, width).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def framed(count: int, height: int, width: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """A frame of sevens around what is to be written, and that."""
    frame = torch.full((1, count, height + 4, width + 4), 7, dtype=dtype)
    frame = frame.contiguous(memory_format=torch.channels_last)
    return frame, frame[:, :, 2:-2, 2:-2]


def assert_frame_untouched(frame: torch.Tensor) -> None:
    outside = frame.clone()
    outside[:, :, 2:-2, 2:-2] = 7
    assert (outside == 7).all()


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.float() - wanted).norm() / wanted.norm())


def random_factors(inputs: int, outputs: int) -> Factors:
    return Factors(
        torch.rand(inputs) + 0.5,
        torch.rand(outputs) + 0.5,
        torch.randn(outputs),
        torch.randn(1),
        torch.randn(outputs),
    )


def activated(y: torch.Tensor, noise: torch.Tensor, factors: Factors) -> torch.Tensor:
    """y after gain, and the noise, biased, side by side after leaky ReLU; in float32."""
    own = y * factors.gain[:, None, None] + factors.bias[:, None, None]
    appended = noise.float() * factors.noise_gain + factors.noise_bias[:, None, None]
    return F.leaky_relu(torch.cat([own, appended], dim=1), 0.2)


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("size", [(4, 8), (6, 8), (9, 16), (1, 4)])
def test_winograds_layer_equals_the_direct_one(
    size: tuple[int, int], count: int, dtype: torch.dtype, most: float, monkeypatch
) -> None:
    monkeypatch.setattr(winograd, "OUTPUTS", 32)
    monkeypatch.setattr(winograd, "TILES", 2)
    height, width = size
    inputs, outputs = count, count + 16
    x = pixels(inputs, height + 2, width + 2, dtype)
    noise = pixels(outputs, height, width, dtype)
    weight = torch.randn(outputs, inputs, 3, 3).to(dtype)
    factors = random_factors(inputs, outputs)
    y = F.conv2d(x.float() * factors.style[:, None, None], weight.float())
    frame, out = framed(2 * outputs, height, width, dtype)
    products = winograd.prepare(weight, None, width // 4, Workspace())
    winograd.make_styled_layer(products, factors, Workspace())(x, noise, out)
    # What is multiplied is rounded, too.
    assert relative_error(out, activated(y, noise, factors)) < 3 * most
    assert_frame_untouched(frame)


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("size", [(4, 8), (5, 4), (13, 16)])
def test_transposed_convolution_in_phases_equals_the_direct_one(
    size: tuple[int, int], count: int, dtype: torch.dtype, most: float
) -> None:
    x, style = pixels(count, *size, dtype), torch.rand(count) + 0.5
    weight = torch.randn(24, count, 3, 3).to(dtype)
    wanted = F.conv_transpose2d(
        x.float() * style[:, None, None], weight.float().transpose(0, 1), stride=2
    )
    phases = polyphase.prepare(weight, 1, size[1] // 4)
    found = polyphase.make_transposed_convolution(phases, style, 24, Workspace())(x)
    assert found.shape == wanted.shape
    assert relative_error(found, wanted) < 3 * most


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("size", [(4, 8), (8, 4)])
def test_convolution_of_stride_two_in_phases_equals_the_direct_one(
    size: tuple[int, int], count: int, dtype: torch.dtype, most: float
) -> None:
    height, width = size
    x, bias = pixels(count, 2 * height + 1, 2 * width + 1, dtype), torch.randn(24)
    weight = torch.randn(24, count, 3, 3).to(dtype)
    wanted = F.leaky_relu(F.conv2d(x.float(), weight.float(), bias, stride=2), 0.2)
    frame, out = framed(24, height, width, dtype)
    phases = polyphase.prepare(weight, height // 4, width // 4)
    polyphase.make_convolution(phases, bias, Workspace())(x, out)
    assert relative_error(out, wanted) < 3 * most
    assert_frame_untouched(frame)


@needs_kernels
@dtypes
@channels
def test_blur_equals_a_convolution(count: int, dtype: torch.dtype, most: float) -> None:
    x, taps = pixels(count, 5, 7, dtype), torch.randn(4, 4)  # not symmetric, to see a flip
    wanted = F.conv2d(x.float(), taps.expand(count, 1, 4, 4), padding=2, groups=count)
    assert relative_error(launch.blur(x, taps), wanted) < most


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize(("first", "rows"), [(0, 6), (2, 4), (2, 7), (0, 9)])
def test_upsampling_finishes_as_by_torch(
    first: int, rows: int, count: int, dtype: torch.dtype, most: float
) -> None:
    y, before = pixels(count, 7, 9, dtype), pixels(count, 3, 9, dtype)
    noise = pixels(count, rows, 8, dtype)
    factors, taps = random_factors(count, count), torch.randn(4, 4)
    frame, found = framed(2 * count, rows, 8, dtype)
    _, wanted = framed(2 * count, rows, 8, torch.float32)
    inputs = (y.float(), before.float(), first, noise.float())
    _make_finish(taps, factors, 4, torch.float32)(*inputs, wanted)
    wide = pixels(count, 7, 12, dtype)  # as products of tiles give it
    wide[..., :9] = y
    launch.upsample(taps, factors, wide[..., :9], before, first, noise, found)
    assert relative_error(found, wanted) < most
    assert_frame_untouched(frame)


@needs_kernels
@dtypes
@channels
def test_activation_equals_torchs(count: int, dtype: torch.dtype, most: float) -> None:
    x, noise = pixels(count, 3, 5, dtype), pixels(count, 3, 5, dtype)
    factors = random_factors(count, count)
    frame, out = framed(2 * count, 3, 5, dtype)
    launch.activate(x, factors, noise, out)
    assert relative_error(out, activated(x.float(), noise, factors)) < most
    assert_frame_untouched(frame)


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("planar", [False, True])
def test_rgb_is_added_as_by_torch(
    planar: bool, count: int, dtype: torch.dtype, most: float
) -> None:
    x, below = pixels(count, 5, 7, dtype), pixels(3, 8, 7, torch.float32)[:, :, 2:7]
    weight, bias = torch.randn(3, count), torch.randn(3)
    wanted = F.conv2d(x.float(), weight[..., None, None], bias) + below
    frame, out = framed(3, 5, 7, torch.float32)
    if planar:
        frame = frame.contiguous()
        out = frame[:, :, 2:-2, 2:-2]
    launch.add_rgb(launch.prepare_rgb_weight(weight), bias, x, below, out)
    assert relative_error(out, wanted) < 2e-6
    assert_frame_untouched(frame)


def wide(in_size: int = 64, out_size: int = 64) -> GPEN:
    """A GPEN whose widths suit the kernels, with random weights, biases and noise gains."""
    widths = (40, 33, 24, 17, 16, 16)[: out_size.bit_length() - 2]
    model = GPEN(GPENConfig(in_size, out_size, widths, style_dim=16, mapping_layers=2))
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return model.eval().requires_grad_(False)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd's convolutions and those in phases wherever they are possible."""
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", {torch.float32: 1, torch.bfloat16: 1})
    monkeypatch.setattr(winograd, "LEAST_SIZE", 4)
    monkeypatch.setattr(polyphase, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(polyphase, "LEAST_SIZE", 4)


def by_torch(model: GPEN, x: torch.Tensor) -> torch.Tensor:
    """The forward pass that training takes."""
    with torch.enable_grad():
        return model(x)


@needs_kernels
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("sizes", [(64, 64), (16, 64), (64, 128)])
@pytest.mark.parametrize("strip_bytes", [1, 1 << 13])
@pytest.mark.parametrize("chained", [1, 3])
def test_kernels_compute_the_network_in_strips(
    sizes: tuple[int, int], strip_bytes: int, chained: int, dtype: torch.dtype, most: float,
    everywhere: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, x = wide(*sizes), torch.rand(1, 3, sizes[0], sizes[0]) * 2 - 1
    wanted = by_torch(model, x)
    monkeypatch.setattr(strips, "STRIP_BYTES", strip_bytes)
    monkeypatch.setattr(strips, "CHAINED", chained)
    with torch.no_grad():
        assert 0 < relative_error(model.set_dtype(dtype)(x), wanted) < most


@needs_kernels
def test_what_torch_computes_in_another_order_of_memory_is_put_in_order(
    everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = wide(), torch.rand(1, 3, 64, 64)
    wanted = by_torch(model, x)
    monkeypatch.setattr(packed, "_can_pack", lambda dtype: False)
    convolve = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *args, **kwargs: convolve(*args, **kwargs).contiguous())
    with torch.no_grad():
        assert relative_error(model(x), wanted) < 3e-6


@needs_kernels
def test_any_number_of_threads_gives_the_same(everywhere: None) -> None:
    model, faces = wide(), torch.rand(6, 1, 3, 64, 64)
    threads = torch.get_num_threads()

    def restored(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(x)

    try:
        torch.set_num_threads(1)
        wanted = [restored(x) for x in faces]
        torch.set_num_threads(3)
        more = [restored(x) for x in faces]
    finally:
        torch.set_num_threads(threads)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(restored, faces))
    for result in (more, found):
        torch.testing.assert_close(torch.cat(result), torch.cat(wanted), atol=1e-5, rtol=0)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_so(dtype: torch.dtype, everywhere: None) -> None:
    model, x = wide().set_dtype(dtype), torch.rand(1, 3, 64, 64)
    x[..., 30, 30] = float("nan")
    with torch.no_grad():
        assert model(x).isnan().any()


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_compile_once", launch._compile_once.__wrapped__)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_input_and_no_size_of_weights_overflows_in_the_kernels(
    dtype: torch.dtype, everywhere: None
) -> None:
    model = wide()
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


def test_without_gnus_openmp_or_llvmlite_torch_computes(
    nothing_compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_openmp", lambda: None)
    assert not launch.supports(torch.float32, 16)
    model, x = wide(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(model(x), by_torch(model, x)) < 2e-6
    monkeypatch.setattr(launch, "_openmp", lambda: ctypes.CDLL(None))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not launch.supports(torch.float32, 16)


@needs_kernels
def test_a_compiler_that_fails_is_named_and_torch_computes(
    nothing_compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("LLVM ERROR: unknown CPU")

    monkeypatch.setattr(launch, "_compile", fail)
    with pytest.warns(UserWarning, match=r"runs without it.*llvmlite.*unknown CPU"):
        assert not launch.supports(torch.float32, 16)


@needs_kernels
def test_few_channels_and_other_dtypes_are_left_to_torch() -> None:
    assert launch.supports(torch.bfloat16, 16, 40)
    assert not launch.supports(torch.float32, 40, 15)
    assert not launch.supports(torch.float16, 40)
    weight = torch.empty(128, 256, 3, 3)
    assert polyphase.is_faster(weight, 32)
    assert not polyphase.is_faster(weight, 16)
    assert not polyphase.is_faster(weight[:, :64], 32)
    assert not polyphase.is_faster(weight.bfloat16(), 32)
