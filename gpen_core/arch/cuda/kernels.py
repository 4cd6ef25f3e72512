"""Triton kernels for the steps between GPEN's convolutions; `launch.py` launches them.

Each kernel does the work of several torch operations in one pass over the pixels. Tensors are
channels_last, and arithmetic is in float32.

A program of `fir`, `blur` or `upsample` computes 4·PIXELS pixels (two rows of 2·PIXELS columns) of
BLOCK channels. Its 4×4 FIR reads a margin around them, so neighbouring programs read some pixels
again, mostly from cache. A program of `finish_level` computes PIXELS pixels of all channels, BLOCK
channels at a time.
"""

from __future__ import annotations

import triton
import triton.language as tl

SLOPE = tl.constexpr(0.2)


@triton.jit
def _activate(x, CLAMP: tl.constexpr):
    """Apply leaky ReLU, then clamp to ± CLAMP if that is above 0."""
    x = tl.where(x >= 0, x, SLOPE * x)
    if CLAMP > 0:
        x = tl.minimum(tl.maximum(x, -CLAMP), CLAMP)
    return x


@triton.jit
def _add_tap(sums, value, taps, ROW: tl.constexpr, COLUMN: tl.constexpr):
    """Add the value times one tap of a 4×4 FIR to the sums; outside the FIR, add nothing."""
    if ROW >= 0 and ROW < 4 and COLUMN >= 0 and COLUMN < 4:
        sums += tl.load(taps + 4 * ROW + COLUMN) * value
    return sums


@triton.jit
def _place(blocks, PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    """Return the first row, the even columns and the channels of a program's 2×2·PIXELS pixels."""
    part = tl.program_id(0)
    columns = 2 * ((part // blocks) * PIXELS + tl.arange(0, PIXELS))
    return 2 * tl.program_id(1), columns, (part % blocks) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def _filter(
    x, taps, shift, row, columns, channels, real, height, width, count, before,
    ACTIVATES: tl.constexpr, CLAMP: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Apply a 4×4 FIR to x [height, width, count] at quads of four pixels.

    Returns the pixels at (row, columns), right of them, below them, and diagonally below.
    """
    a = tl.zeros((PIXELS, BLOCK), tl.float32)
    b, c, d = a, a, a
    for i in tl.static_range(5):
        for j in tl.static_range(5):
            y, z = row + i - before, columns + j - before
            inside = (y >= 0) & (y < height) & ((z >= 0) & (z < width))[:, None] & real[None, :]
            at = (y * width + z)[:, None] * count + channels[None, :]
            value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
            if ACTIVATES:
                value = tl.where(inside, _activate(value + shift, CLAMP), 0)
            a = _add_tap(a, value, taps, i, j)
            b = _add_tap(b, value, taps, i, j - 1)
            c = _add_tap(c, value, taps, i - 1, j)
            d = _add_tap(d, value, taps, i - 1, j - 1)
    return a, b, c, d


@triton.jit
def _store(out, a, b, c, d, row, columns, channels, real, height, width, count):
    """Write quads of four pixels into out [height, width, count]."""
    at = (row * width + columns)[:, None] * count + channels[None, :]
    here = (columns < width)[:, None] & real[None, :]
    beside = (columns + 1 < width)[:, None] & real[None, :]
    below = row + 1 < height
    tl.store(out + at, a, mask=here)
    tl.store(out + at + count, b, mask=beside)
    tl.store(out + at + width * count, c, mask=here & below)
    tl.store(out + at + (width + 1) * count, d, mask=beside & below)


@triton.jit(do_not_specialize=["height", "width", "before", "change", "blocks"])
def fir(
    x, taps, out, height, width, before, change, count, blocks,
    PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Apply a FIR to x [N, count, height, width] with `before` zeros above and left.

    The sides of the result are longer by `change`.
    """
    n = tl.program_id(2).to(tl.int64)
    row, columns, channels = _place(blocks, PIXELS, BLOCK)
    real = channels < count
    x += n * height * width * count
    a, b, c, d = _filter(x, taps, 0, row, columns, channels, real, height, width, count, before,
                         False, 0, PIXELS, BLOCK)  # fmt: skip
    height += change
    width += change
    out += n * height * width * count
    _store(out, a, b, c, d, row, columns, channels, real, height, width, count)


@triton.jit(do_not_specialize=["size", "blocks"])
def blur(
    x, bias, taps, feature, blurred, size, count, blocks,
    CLAMP: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Activate a feature of the encoder, and apply the FIR, padded by 2.

    It maps x [N, count, S, S] to feature [N, count, S, S] and blurred [N, count, S + 1, S + 1].
    """
    n = tl.program_id(2).to(tl.int64)
    row, columns, channels = _place(blocks, PIXELS, BLOCK)
    real = channels < count
    shift = tl.load(bias + channels, mask=real, other=0)[None, :]
    x += n * size * size * count
    feature += n * size * size * count
    a, b, c, d = _filter(x, taps, shift, row, columns, channels, real, size, size, count, 2,
                         True, CLAMP, PIXELS, BLOCK)  # fmt: skip
    side = size + 1
    blurred += n * side * side * count
    _store(blurred, a, b, c, d, row, columns, channels, real, side, side, count)
    inside = (row < size) & (columns < size)[:, None] & real[None, :]
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            at = ((row + i) * size + columns + j)[:, None] * count + channels[None, :]
            value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
            tl.store(feature + at, _activate(value + shift, CLAMP), mask=inside)


@triton.jit
def _append(
    value, noise, out, at, channels, mask, count, gain, bias, noise_gain, noise_bias, scale,
    noise_scale, CLAMP: tl.constexpr,
):  # fmt: skip
    """Activate values and their noise at the pixels `at`, and scale both for the next layer."""
    value = _activate(value * gain + bias, CLAMP)
    inner = at * count + channels
    extra = tl.load(noise + inner, mask=mask, other=0).to(tl.float32)
    extra = _activate(extra * noise_gain + noise_bias, CLAMP)
    inner += at * count
    tl.store(out + inner, value * scale, mask=mask)
    tl.store(out + inner + count, extra * noise_scale, mask=mask)


@triton.jit(do_not_specialize=["size", "blocks"])
def upsample(
    x, taps, gain, bias, noise, noise_gain, noise_bias, scale, out,
    size, count, blocks, gain_stride, noise_stride, scale_stride,
    CLAMP: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Apply the FIR after a transposed convolution, activate, and append the noise.

    It maps x [N, count, S + 1, S + 1] to out [N, 2·count, S, S].
    """
    n = tl.program_id(2).to(tl.int64)
    row, columns, channels = _place(blocks, PIXELS, BLOCK)
    real = channels < count
    side = size + 1
    x += n * side * side * count
    a, b, c, d = _filter(x, taps, 0, row, columns, channels, real, side, side, count, 1,
                         False, 0, PIXELS, BLOCK)  # fmt: skip
    gains = tl.load(gain + n * gain_stride + channels, mask=real, other=0)[None, :]
    shift = tl.load(bias + channels, mask=real, other=0)[None, :]
    noise_gains = tl.load(noise_gain)
    noise_shift = tl.load(noise_bias + channels, mask=real, other=0)[None, :]
    scale += n * scale_stride
    scales = tl.load(scale + channels, mask=real, other=0)[None, :]
    noise_scales = tl.load(scale + count + channels, mask=real, other=0)[None, :]
    noise += n * noise_stride
    out += n * size * size * 2 * count
    mask = (columns < size)[:, None] & real[None, :]
    at = (row * size + columns)[:, None]
    channels = channels[None, :]
    _append(a, noise, out, at, channels, mask, count, gains, shift, noise_gains, noise_shift,
            scales, noise_scales, CLAMP)  # fmt: skip
    _append(b, noise, out, at + 1, channels, mask, count, gains, shift, noise_gains, noise_shift,
            scales, noise_scales, CLAMP)  # fmt: skip
    _append(c, noise, out, at + size, channels, mask, count, gains, shift, noise_gains,
            noise_shift, scales, noise_scales, CLAMP)  # fmt: skip
    _append(d, noise, out, at + size + 1, channels, mask, count, gains, shift, noise_gains,
            noise_shift, scales, noise_scales, CLAMP)  # fmt: skip


@triton.jit
def _dot(value, extra, weight, channels, real, mask, count):
    """Weigh and add up the values and the appended noise of each pixel, for one colour."""
    weights = tl.load(weight + channels, mask=real, other=0)[None, :]
    noise_weights = tl.load(weight + count + channels, mask=real, other=0)[None, :]
    return tl.sum(tl.where(mask, value * weights + extra * noise_weights, 0), axis=1)


@triton.jit
def _upsample_rgb(skip, taps, pixels, size, inside):
    """Double the size of one plane of RGB: insert a zero after every sample, then apply the FIR.

    Along each axis, two of the four taps meet samples; the other two meet zeros.
    """
    half = size // 2
    y, x = pixels // size, pixels % size
    odd_y, odd_x = y % 2, x % 2
    sums = tl.zeros(pixels.shape, tl.float32)
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            y0 = y // 2 + i * (2 * odd_y - 1)
            x0 = x // 2 + j * (2 * odd_x - 1)
            row = 1 + odd_y + i * (2 - 4 * odd_y)
            column = 1 + odd_x + j * (2 - 4 * odd_x)
            met = inside & (y0 >= 0) & (y0 < half) & (x0 >= 0) & (x0 < half)
            weight = tl.load(taps + 4 * row + column)
            sums += tl.load(skip + y0 * half + x0, mask=met, other=0) * weight
    return sums


@triton.jit(do_not_specialize=["size"])
def finish_level(
    x, gain, bias, noise, noise_gain, noise_bias, scale, out, rgb_weight, rgb_bias, skip, taps, rgb,
    size, count, gain_stride, noise_stride, scale_stride, rgb_weight_stride, rgb_row_stride,
    CLAMP: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
    SKIPS: tl.constexpr, WRITES: tl.constexpr,
):  # fmt: skip
    """Finish a level after its second convolution: activate, append the noise, compute RGB.

    It maps x [N, count, S, S] to rgb [N, 3, S, S], planes in float32. If SKIPS, it adds the
    upsampled `skip` [N, 3, S/2, S/2]. If WRITES, it also writes out [N, 2·count, S, S], scaled for
    the next layer; RGB is computed before that scaling.
    """
    n = tl.program_id(1).to(tl.int64)
    pixels = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    area = size * size
    inside = pixels < area
    x += n * area * count
    gain += n * gain_stride
    noise += n * noise_stride
    scale += n * scale_stride
    out += n * area * 2 * count
    rgb_weight += n * rgb_weight_stride
    noise_gains = tl.load(noise_gain)
    red = tl.zeros((PIXELS,), tl.float32)
    green, blue = red, red
    for first in range(0, count, BLOCK):
        channels = first + tl.arange(0, BLOCK)
        real = channels < count
        mask = inside[:, None] & real[None, :]
        at = pixels[:, None] * count + channels[None, :]
        gains = tl.load(gain + channels, mask=real, other=0)[None, :]
        shift = tl.load(bias + channels, mask=real, other=0)[None, :]
        value = tl.load(x + at, mask=mask, other=0).to(tl.float32)
        value = _activate(value * gains + shift, CLAMP)
        noise_shift = tl.load(noise_bias + channels, mask=real, other=0)[None, :]
        extra = tl.load(noise + at, mask=mask, other=0).to(tl.float32)
        extra = _activate(extra * noise_gains + noise_shift, CLAMP)
        if WRITES:
            scales = tl.load(scale + channels, mask=real, other=0)[None, :]
            noise_scales = tl.load(scale + count + channels, mask=real, other=0)[None, :]
            at += pixels[:, None] * count
            tl.store(out + at, value * scales, mask=mask)
            tl.store(out + at + count, extra * noise_scales, mask=mask)
        weight = rgb_weight
        red += _dot(value, extra, weight, channels, real, mask, count)
        weight += rgb_row_stride
        green += _dot(value, extra, weight, channels, real, mask, count)
        weight += rgb_row_stride
        blue += _dot(value, extra, weight, channels, real, mask, count)
    red += tl.load(rgb_bias)
    green += tl.load(rgb_bias + 1)
    blue += tl.load(rgb_bias + 2)
    if SKIPS:
        plane = (size // 2) * (size // 2)
        skip += n * 3 * plane
        red += _upsample_rgb(skip, taps, pixels, size, inside)
        green += _upsample_rgb(skip + plane, taps, pixels, size, inside)
        blue += _upsample_rgb(skip + 2 * plane, taps, pixels, size, inside)
    rgb += n * 3 * area + pixels
    tl.store(rgb, red, mask=inside)
    tl.store(rgb + area, green, mask=inside)
    tl.store(rgb + 2 * area, blue, mask=inside)
