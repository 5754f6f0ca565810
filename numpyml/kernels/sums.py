"""Sums along an axis by matrix products, which are faster and more accurate than NumPy's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from numpyml.kernels import thresholds
from numpyml.typing import Array


def over_rows(rows: Array) -> Array:
    """The sum of all rows, (..., n, d) -> (..., d), as a product with ones.

    BLAS takes no array with a stride of 0, such as the gradient of a sum or a mean.
    """
    n = rows.shape[-2]
    if n and not rows.strides[-2]:
        wide = np.promote_types(rows.dtype, np.float32)  # float16 ends at 65 504
        return np.asarray((rows[..., 0, :].astype(wide) * wide.type(n)).astype(rows.dtype))
    if 0 in rows.strides or rows.itemsize not in rows.strides[-2:]:
        rows = np.ascontiguousarray(rows)
    if n > thresholds.SUMMED_ROWS and rows.strides[-2] == rows.itemsize:
        return np.asarray(rows.sum(axis=-2))  # contiguous columns, which NumPy sums pairwise
    return weighted_rows(ones(n, rows.dtype), rows)


def weighted_rows(weights: Array, rows: Array) -> Array:
    """Σᵢ wᵢ rowᵢ, (n,) and (..., n, d) -> (..., d), in parts, since a product adds up its terms one by one."""
    *lead, n, d = rows.shape
    length = thresholds.SUMMED_ROWS
    if n <= length:
        return np.asarray(weights @ rows)
    number = n // length
    whole = number * length
    parts = weights[:whole].reshape(-1, 1, length) @ rows[..., :whole, :].reshape(*lead, number, length, d)
    if number <= thresholds.SUMMED_PARTS:
        total = np.add.reduce(parts, axis=(-3, -2))
    else:  # along the last axis NumPy sums pairwise
        total = np.ascontiguousarray(np.swapaxes(parts[..., 0, :], -1, -2)).sum(axis=-1)
    return np.asarray(total + weights[whole:] @ rows[..., whole:, :] if whole < n else total)


def row_sums(rows: Array) -> Array:
    """The sum of each row, (n, d) -> (n,), by BLAS in half the time of einsum and a quarter of that of ``sum``."""
    total: Array = rows.dot(ones(rows.shape[1], rows.dtype))
    return total


def row_means(a: Array, b: Array | None = None) -> Array:
    """The mean of a, or of a ⊙ b, of each row: (n, d) -> (n, 1)."""
    sums = row_sums(a) if b is None else row_dots(a, b)
    return (sums / a.dtype.type(a.shape[1]))[:, np.newaxis]


row_dots: Callable[[Array, Array], Array] = getattr(np, "vecdot", partial(np.einsum, "ij,ij->i"))
"""The sum of a ⊙ b of each row: (n, d) -> (n,); NumPy 1 has no vecdot."""


@lru_cache(maxsize=16)
def ones(n: int, dtype: np.dtype[Any]) -> Array:
    """Cached: to make them takes longer than to sum a row with them."""
    vector = np.ones(n, dtype)
    vector.flags.writeable = False
    return vector


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of sums and counts: float32 for float16, whose largest number is 65 504, else the dtype itself."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of this shape can be broadcast to the target shape."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False))


def unbroadcast(gx: Any, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which its operand was broadcast, back to the operand's shape."""
    if gx.shape == shape:
        return np.asarray(gx)
    target = (1,) * (gx.ndim - len(shape)) + shape
    start = 0
    while start < gx.ndim:
        stop = start  # adjacent axes are summed at once
        while stop < gx.ndim and target[stop] == 1:
            stop += 1
        before, n, after = gx.shape[:start], prod(gx.shape[start:stop]), gx.shape[stop:]
        if n != 1 and after and (not before or n >= thresholds.SUMMED_IN_ARRAYS):
            gx = over_rows(gx.reshape(*before, n, prod(after)))
        elif n != 1:
            gx = gx.sum(axis=tuple(range(start, stop)))
        gx = gx.reshape(*before, *(1,) * (stop - start), *after)
        start = stop + 1
    return np.asarray(gx.reshape(shape))
