"""Elementwise functions, each computed together with its derivative.

A function of several passes over a large array works on blocks that fit the cache, since otherwise every pass fetches
its operands from memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from numpyml.kernels import thresholds
from numpyml.typing import Array

Result = tuple[Array, "Array | None"]  # y and its derivative; None unless it is recorded


def zeros_for(x: Array) -> Array:
    """Zeros to compare x with: three times as fast as one zero, since NumPy has no vector code for a scalar operand."""
    if x.size <= thresholds.COMPARED_ZEROS:
        return np.zeros(x.shape, x.dtype)
    return np.zeros(x.shape[-1] if x.shape[-1] >= thresholds.ROW_OF_ZEROS else (), x.dtype)


def masked(g: Array, mask: Array) -> Array:
    """g where the mask is True, else 0: its bits times 0 or 1, since ∞ · 0 would be NaN among floats."""
    if g.dtype.itemsize > 8:
        return np.where(mask, g, g.dtype.type(0))
    bits: Array = g.view(f"i{g.dtype.itemsize}") * mask
    return bits.view(g.dtype)


def sigmoid(x: Array, record: bool) -> Result:
    """y = 1 / (1 + e⁻ˣ) = max(e, [x ≥ 0]) / (1 + e),   y′ = y (1 − y) = e / (1 + e)²,   e = e^−|x|.

    1 − y itself has few correct digits where y is near 1.
    """
    e = np.abs(x, out=np.empty(x.shape, x.dtype))  # arrays also where x has no axes
    np.exp(np.negative(e, out=e), out=e)
    d = np.add(e, 1, out=np.empty_like(e))
    y = np.greater_equal(x, 0, out=np.empty_like(e))
    np.maximum(e, y, out=y)
    y /= d
    if not record:
        return y, None
    d *= d
    return y, np.divide(e, d, out=e)


def tanh(x: Array, record: bool) -> Result:
    """y = tanh x,   y′ = 1 − y² = 4e / (1 + e)²,   e = e^−2|x|.

    1 − y² itself has few correct digits where y is near 1.
    """
    results = empty_results(x, record)
    with np.errstate(all="ignore"):
        for xb, y, d, (e,) in blocks(x, *results, 1):
            np.tanh(xb, out=y)
            if d is not None:
                np.abs(xb, out=e)
                e *= -2
                np.exp(e, out=e)
                np.add(e, 1, out=d)
                d *= d
                np.divide(e, d, out=d)
                d *= 4
    return results


def sigmoid_gate(x: Array, a: Any, b: Any, record: bool) -> Result:
    """y = x σ(u),   y′ = σ(u) (1 + x σ(−u) u′),   u = a x + b x³.

    With e = e⁻ᵘ, F = σ(u) = 1 / (1 + e) and x σ(−u) = y e: no difference of nearly equal numbers is taken.
    Beyond ±limit, where e overflows, y is x eᵘ or x.
    """
    results = empty_results(x, record)
    a, b, limit = gate_constants(x.dtype, a, b)
    with np.errstate(all="ignore"):
        for xb, y, d, (e, F, square) in blocks(x, *results, 3):
            inside = -limit <= np.minimum.reduce(xb) and np.maximum.reduce(xb) <= limit
            z = xb if inside else np.clip(xb, -limit, limit)
            if b:
                np.square(z, out=square)
                np.multiply(square, -b, out=e)
                e -= a
                e *= z
            else:
                np.multiply(z, -a, out=e)
            np.exp(e, out=e)
            np.add(e, 1, out=F)
            np.divide(1, F, out=F)
            if not inside:
                F *= xb >= -limit
            np.multiply(z, F, out=y)
            if d is not None:
                e *= y
                if b:
                    square *= 3 * b
                    square += a
                    e *= square
                elif a != 1:
                    e *= a
                e += 1
                np.multiply(e, F, out=d)
            if not inside:
                np.copyto(y, xb, where=xb > limit)
                low = np.flatnonzero(xb < -limit)
                x_low = np.maximum(xb[low], -3 * limit)  # beyond, eᵘ is 0
                bx2 = b * x_low * x_low
                exponential = np.exp((a + bx2) * x_low)
                y[low] = x_low * exponential
                if d is not None:
                    d[low] = exponential * (1 + x_low * (a + 3 * bx2))
    return results


@cache
def gate_constants(dtype: np.dtype[Any], a: Any, b: Any) -> tuple[Any, Any, Any]:
    """a, b and the largest x for which e^(a x + b x³) does not overflow, in the dtype that is computed in."""
    precision = np.finfo(np.promote_types(dtype, np.float32))
    u = float(np.log(precision.max)) * (1 - 16 * max(float(precision.eps), float(np.finfo(float).eps)))
    limit = np.roots([float(b), 0, float(a), -u]).real.max() if b else u / a
    number = precision.dtype.type
    return number(a), number(b), number(limit)


def empty_results(x: Array, record: bool) -> Result:
    """Arrays for y and its derivative."""
    return np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype) if record else None


def blocks(x: Array, y: Array, derivative: Array | None, n: int) -> Iterator[tuple[Array, Array, Array | None, Array]]:
    """Contiguous blocks (x, y, derivative, scratch) of one axis; y and the derivative are to be written.

    Args:
        x: floats, in any layout; float16 is computed in float32.
        y: contiguous.
        derivative: contiguous, or None.
        n: the number of scratch arrays.
    """
    half = x.dtype.itemsize == 2
    dtype = np.dtype(np.float32) if half else x.dtype
    xs = (x if x.flags.carray else np.require(x, None, ["C", "A"])).reshape(-1)
    ys, ds = y.reshape(-1), None if derivative is None else derivative.reshape(-1)
    length = max(1, min(x.size * dtype.itemsize, thresholds.BLOCK_BYTES) // dtype.itemsize)
    scratch = np.empty((n, length), dtype)
    for start in range(0, x.size, length):
        part = slice(start, start + length)
        block, y_, d = xs[part], ys[part], None if ds is None else ds[part]
        if half:
            wide = block.astype(dtype), np.empty(block.size, dtype), None if d is None else np.empty(block.size, dtype)
            yield *wide, scratch[:, : block.size]
            y_[...] = wide[1]
            if d is not None:
                d[...] = wide[2]
        else:
            yield block, y_, d, scratch[:, : block.size]
