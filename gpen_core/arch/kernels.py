"""Triton kernels for what lies between GPEN's convolutions: each reads and writes pixels once.

Tensors are channels_last; `fused.py` launches the kernels and says what they are given. A program
computes a few pixels with all their channels, in float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

SLOPE = tl.constexpr(0.2)


@triton.jit
def _activated(x, CLAMP: tl.constexpr):
    """Leaky ReLU, within ± CLAMP where that is above 0."""
    x = tl.where(x >= 0, x, SLOPE * x)
    if CLAMP > 0:
        x = tl.minimum(tl.maximum(x, -CLAMP), CLAMP)
    return x


@triton.jit
def _add_tap(sums, value, taps, ROW: tl.constexpr, COLUMN: tl.constexpr):
    """Sums and the value times one tap of a 4×4 FIR, which has none beyond it."""
    if ROW >= 0 and ROW < 4 and COLUMN >= 0 and COLUMN < 4:
        sums += tl.load(taps + 4 * ROW + COLUMN) * value
    return sums


@triton.jit
def blur(
    x, bias, taps, feature, blurred, size,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, PIXELS: tl.constexpr, CLAMP: tl.constexpr,
):  # fmt: skip
    """The encoder's activation, and its FIR padded by 2: x [N, C, S, S] to S + 1 pixels a side.

    A program computes two rows of 2·PIXELS pixels.
    """
    n = tl.program_id(2).to(tl.int64)
    row = 2 * tl.program_id(1)
    columns = 2 * (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))
    channels = tl.arange(0, BLOCK)
    real = (channels < CHANNELS)[None, :]
    shift = tl.load(bias + channels, mask=channels < CHANNELS, other=0)[None, :]
    x += n * size * size * CHANNELS
    feature += n * size * size * CHANNELS
    blurred += n * (size + 1) * (size + 1) * CHANNELS
    a = tl.zeros((PIXELS, BLOCK), tl.float32)
    b, c, d = a, a, a
    for i in tl.static_range(5):
        for j in tl.static_range(5):
            y, z = row + i - 2, columns + j - 2
            inside = (y >= 0) & (y < size) & ((z >= 0) & (z < size))[:, None] & real
            at = (y * size + z)[:, None] * CHANNELS + channels[None, :]
            value = tl.load(x + at, mask=inside, other=0).to(tl.float32) + shift
            value = tl.where(inside, _activated(value, CLAMP), 0)
            if i >= 2 and i < 4 and j >= 2 and j < 4:
                tl.store(feature + at, value, mask=inside)
            a = _add_tap(a, value, taps, i, j)
            b = _add_tap(b, value, taps, i, j - 1)
            c = _add_tap(c, value, taps, i - 1, j)
            d = _add_tap(d, value, taps, i - 1, j - 1)
    side = size + 1
    at = (row * side + columns)[:, None] * CHANNELS + channels[None, :]
    inside = (columns < side)[:, None] & real
    beside = (columns + 1 < side)[:, None] & real
    tl.store(blurred + at, a, mask=inside)
    tl.store(blurred + at + CHANNELS, b, mask=beside)
    below = row + 1 < side
    tl.store(blurred + at + side * CHANNELS, c, mask=inside & below)
    tl.store(blurred + at + (side + 1) * CHANNELS, d, mask=beside & below)


@triton.jit
def _append(
    value, noise, out, at, channels, mask, gain, bias, noise_gain, noise_bias, scale, noise_scale,
    CHANNELS: tl.constexpr, CLAMP: tl.constexpr,
):  # fmt: skip
    """Activate and append the noise at the pixels `at`, scaled for the layer that follows."""
    value = _activated(value * gain + bias, CLAMP)
    inner = at * CHANNELS + channels
    extra = tl.load(noise + inner, mask=mask, other=0).to(tl.float32)
    extra = _activated(extra * noise_gain + noise_bias, CLAMP)
    inner += at * CHANNELS
    tl.store(out + inner, value * scale, mask=mask)
    tl.store(out + inner + CHANNELS, extra * noise_scale, mask=mask)


@triton.jit
def upsampled(
    x, taps, gain, bias, noise, noise_gain, noise_bias, scale, out,
    size, gain_stride, noise_stride, scale_stride,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, PIXELS: tl.constexpr, CLAMP: tl.constexpr,
):  # fmt: skip
    """What follows a transposed convolution: FIR, activation, noise appended.

    x [N, C, S + 1, S + 1] to out [N, 2C, S, S]. A program computes two rows of 2·PIXELS pixels.
    """
    n = tl.program_id(2).to(tl.int64)
    row = 2 * tl.program_id(1)
    columns = 2 * (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))
    channels = tl.arange(0, BLOCK)
    real = channels < CHANNELS
    side = size + 1
    x += n * side * side * CHANNELS
    a = tl.zeros((PIXELS, BLOCK), tl.float32)
    b, c, d = a, a, a
    for i in tl.static_range(5):
        for j in tl.static_range(5):
            y, z = row + i - 1, columns + j - 1
            inside = (y >= 0) & (y < side) & ((z >= 0) & (z < side))[:, None] & real[None, :]
            at = (y * side + z)[:, None] * CHANNELS + channels[None, :]
            value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
            a = _add_tap(a, value, taps, i, j)
            b = _add_tap(b, value, taps, i, j - 1)
            c = _add_tap(c, value, taps, i - 1, j)
            d = _add_tap(d, value, taps, i - 1, j - 1)

    gains = tl.load(gain + n * gain_stride + channels, mask=real, other=0)[None, :]
    shift = tl.load(bias + channels, mask=real, other=0)[None, :]
    noise_gains = tl.load(noise_gain)
    noise_shift = tl.load(noise_bias + channels, mask=real, other=0)[None, :]
    scale += n * scale_stride
    scales = tl.load(scale + channels, mask=real, other=0)[None, :]
    noise_scales = tl.load(scale + CHANNELS + channels, mask=real, other=0)[None, :]
    noise += n * noise_stride
    out += n * size * size * 2 * CHANNELS
    mask = (columns < size)[:, None] & real[None, :]
    at = (row * size + columns)[:, None]
    channels = channels[None, :]
    _append(a, noise, out, at, channels, mask, gains, shift, noise_gains, noise_shift, scales,
            noise_scales, CHANNELS, CLAMP)  # fmt: skip
    _append(b, noise, out, at + 1, channels, mask, gains, shift, noise_gains, noise_shift, scales,
            noise_scales, CHANNELS, CLAMP)  # fmt: skip
    _append(c, noise, out, at + size, channels, mask, gains, shift, noise_gains, noise_shift,
            scales, noise_scales, CHANNELS, CLAMP)  # fmt: skip
    _append(d, noise, out, at + size + 1, channels, mask, gains, shift, noise_gains, noise_shift,
            scales, noise_scales, CHANNELS, CLAMP)  # fmt: skip


@triton.jit
def _skipped(skip, taps, y, x, row_tap, column_tap, half, inside):
    """One of the four samples, weighted, that a pixel of upsampled RGB is made of."""
    inside &= (y >= 0) & (y < half) & (x >= 0) & (x < half)
    weight = tl.load(taps + 4 * row_tap + column_tap)
    return tl.load(skip + y * half + x, mask=inside, other=0) * weight


@triton.jit
def finished(
    x, gain, bias, noise, noise_gain, noise_bias, scale, out, rgb_weight, rgb_bias, skip, taps, rgb,
    size, gain_stride, noise_stride, scale_stride, rgb_weight_stride, rgb_row_stride,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, PIXELS: tl.constexpr, CLAMP: tl.constexpr,
    SKIPS: tl.constexpr, WRITES: tl.constexpr,
):  # fmt: skip
    """What follows a level's second convolution: activation, noise appended, RGB.

    x [N, C, S, S] to out [N, 2C, S, S] where `WRITES`, and, from the same before it is scaled for
    the next layer, rgb [N, 3, S, S] (planes, float32), to which the upsampled `skip`
    [N, 3, S/2, S/2] is added where `SKIPS`. A program computes PIXELS pixels.
    """
    n = tl.program_id(1).to(tl.int64)
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channels = tl.arange(0, BLOCK)
    real = channels < CHANNELS
    area = size * size
    inside = pixels < area
    mask = inside[:, None] & real[None, :]
    at = pixels[:, None] * CHANNELS + channels[None, :]

    gains = tl.load(gain + n * gain_stride + channels, mask=real, other=0)[None, :]
    shift = tl.load(bias + channels, mask=real, other=0)[None, :]
    value = tl.load(x + n * area * CHANNELS + at, mask=mask, other=0).to(tl.float32)
    value = _activated(value * gains + shift, CLAMP)
    noise_shift = tl.load(noise_bias + channels, mask=real, other=0)[None, :]
    extra = tl.load(noise + n * noise_stride + at, mask=mask, other=0).to(tl.float32)
    extra = _activated(extra * tl.load(noise_gain) + noise_shift, CLAMP)
    if WRITES:
        scale += n * scale_stride
        scales = tl.load(scale + channels, mask=real, other=0)[None, :]
        noise_scales = tl.load(scale + CHANNELS + channels, mask=real, other=0)[None, :]
        out += n * area * 2 * CHANNELS
        at += pixels[:, None] * CHANNELS
        tl.store(out + at, value * scales, mask=mask)
        tl.store(out + at + CHANNELS, extra * noise_scales, mask=mask)

    rgb_weight += n * rgb_weight_stride
    rgb += n * 3 * area
    half = size // 2
    y, z = pixels // size, pixels % size
    odd_y, odd_z = y % 2, z % 2
    for k in tl.static_range(3):
        weights = tl.load(rgb_weight + channels, mask=real, other=0)[None, :]
        noise_weights = tl.load(rgb_weight + CHANNELS + channels, mask=real, other=0)[None, :]
        rgb_weight += rgb_row_stride
        sums = tl.sum(tl.where(mask, value * weights + extra * noise_weights, 0), axis=1)
        sums += tl.load(rgb_bias + k)
        if SKIPS:
            # A zero after every sample, then four taps: two of them meet samples.
            plane = skip + n * 3 * half * half + k * half * half
            y0, z0 = y // 2, z // 2
            y1, z1 = y0 - 1 + 2 * odd_y, z0 - 1 + 2 * odd_z
            v0, h0, v1, h1 = 1 + odd_y, 1 + odd_z, 3 - 3 * odd_y, 3 - 3 * odd_z
            sums += _skipped(plane, taps, y0, z0, v0, h0, half, inside)
            sums += _skipped(plane, taps, y0, z1, v0, h1, half, inside)
            sums += _skipped(plane, taps, y1, z0, v1, h0, half, inside)
            sums += _skipped(plane, taps, y1, z1, v1, h1, half, inside)
        tl.store(rgb + k * area + pixels, sums, mask=inside)
