"""Softmax and its logarithm along an axis, and what both need: shifted exponents and sums along an axis."""

from __future__ import annotations

from math import prod

import numpy as np

from numpyml.kernels import thresholds
from numpyml.kernels.sums import accumulator, over_rows
from numpyml.typing import Array


def softmax(x: Array, axis: int) -> Array:
    """y = e^z / Σ e^z,   z = x − max x, so that no exponential overflows."""
    with np.errstate(under="ignore", invalid="ignore"):
        y = shifted(x, axis)
        np.exp(y, out=y)
        y /= sums(y, axis)
    return y


def log_softmax(x: Array, axis: int) -> Array:
    """y = z − log Σ e^z,   z = x − max x: finite where e^y underflows."""
    with np.errstate(under="ignore", invalid="ignore", divide="ignore"):
        y = shifted(x, axis)
        y -= np.log(sums(np.exp(y), axis))
    return y


def shifted(x: Array, axis: int) -> Array:
    """x − max x along an axis, a new array."""
    z = np.empty(x.shape, x.dtype)
    largest = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf if x.shape[axis] == 0 else None)
    return np.subtract(x, largest, out=z)


def shifted_columns(z: Array) -> Array:
    """z − max z for each column; where the maximum is a single +∞, the limit: 0 there and −∞ elsewhere."""
    largest = np.maximum.reduce(z, axis=0)
    difference: Array = z - largest
    if np.isfinite(largest).all():
        return difference
    limit = np.where(np.isposinf(z), z.dtype.type(0), z.dtype.type(-np.inf))
    single = np.isposinf(largest) & (np.isposinf(z).sum(axis=0) == 1)
    return np.where(single, limit, difference)


def normalized(e: Array, at: tuple[Array, Array] | None) -> tuple[Array, Array, Array | None]:
    """p = e / Σ e for each column, in place of e; Σ e; and 1 − p[at], one element of each column (without ``at`` None).

    1 − p is the sum of the other elements: where p is nearly 1, the difference would cancel.
    """
    if at is None:
        total = np.add.reduce(e, axis=0, dtype=accumulator(e.dtype))
        e /= total
        return e, total, None
    single = e[at]
    e[at] = 0
    others = np.add.reduce(e, axis=0, dtype=accumulator(e.dtype))
    e[at] = single
    total = others + single
    e /= total
    return e, total, (others / total).astype(e.dtype, copy=False)


def cross_entropy_gradient(p: Array, q: Array) -> Array:
    """p Σ q − q for each column: the gradient of −Σ q log p with respect to the logits of p.

    For the class with the largest q it is p Σ′ q − q (1 − p), Σ′ over the other classes: where p is near 1,
    p Σ q − q would cancel.
    """
    top = q.argmax(axis=0), np.arange(q.shape[1])
    minus_q = -q
    minus_q[top] = 0
    others = -over_rows(minus_q)
    gx: Array = p * (others + q[top])
    gx += minus_q
    gx[top] = p[top] * others - q[top] * complement(p, top)
    return gx


def complement(p: Array, at: tuple[Array, Array]) -> Array:
    """1 − p[at], one element of each column; where p[at] is above 1/2, 1 − p would cancel: the sum of the others."""
    single = p[at]
    cancels = single > 0.5
    if not cancels.any():
        return np.asarray(1 - single)
    others = p.copy()
    others[at] = 0
    return np.where(cancels, over_rows(others), 1 - single)


def less_its_top(gy: Array, y: Array, axis: int) -> Array:
    """gy − gy[argmax y] along an axis, where that is finite.

    Softmax's gradient y (gy − Σ gy y) is the same for gy and gy − c. With this c nothing cancels where y is nearly 1,
    and the gradient of a repeated number is 0.
    """
    if not y.size:
        return gy
    top = np.take_along_axis(gy, np.expand_dims(y.argmax(axis), axis), axis)
    return np.subtract(gy, np.where(np.isfinite(top), top, 0))


def sums(x: Array, axis: int) -> Array:
    """Sums along an axis, which is kept with length 1.

    Short rows are summed by einsum, three times as fast as by sum. Long columns are summed by matrix products, which
    are more accurate: see ``over_rows``.
    """
    n = x.shape[axis]
    if axis == x.ndim - 1 and 0 < n <= thresholds.SUMMED_IN_AXIS:
        return np.einsum("...i->...", x)[..., None]
    if n <= thresholds.SUMMED_IN_AXIS:
        return np.add.reduce(x, axis=axis, keepdims=True)
    if axis == x.ndim - 1:
        return np.add.reduce(np.ascontiguousarray(x), axis=axis, keepdims=True)
    after = x.shape[axis + 1 :]
    return over_rows(x.reshape(*x.shape[: axis + 1], prod(after))).reshape(*x.shape[:axis], 1, *after)
