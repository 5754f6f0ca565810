"""Softmax and its logarithm along an axis, and what both need: shifted exponents and sums along an axis."""

from __future__ import annotations

from math import prod

import numpy as np

from numpyml.kernels import thresholds
from numpyml.kernels.sums import over_rows
from numpyml.typing import Array


def softmax(x: Array, axis: int) -> Array:
    """y = e^z / Σ e^z,   z = x − max x where |max x| is large, else x: the difference would be rounded."""
    with np.errstate(under="ignore", invalid="ignore"):
        # e^z is then at most the eighth root of the largest number: no sum of them overflows
        y = shifted(x, axis, np.log(np.finfo(x.dtype).max) / 8)
        np.exp(y, out=y)
        y /= sums(y, axis)
    return y


def log_softmax(x: Array, axis: int) -> Array:
    """y = z − log Σ e^z,   z = x − max x: finite where e^y underflows."""
    with np.errstate(under="ignore", invalid="ignore", divide="ignore"):
        y = shifted(x, axis)
        y -= np.log(sums(np.exp(y), axis))
    return y


def shifted(x: Array, axis: int, limit: float = 0.0) -> Array:
    """x − max x along an axis where |max x| exceeds the limit, else x; a new array."""
    z = np.empty(x.shape, x.dtype)
    largest = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf if x.shape[axis] == 0 else None)
    largest[np.abs(largest) <= limit] = 0
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


def cross_entropy_gradient(p: Array, q: Array) -> Array:
    """p Σ q − q for each column: the gradient of −Σ q log p with respect to the logits of p."""
    gx: Array = p * over_rows(q) - q
    return with_zero_sum(gx, p, 0)


def index_gradient(p: Array, at: tuple[Array, Array], g: Array) -> Array:
    """g (p − [class = t]) for each column: the gradient of −g log p[t], where ``at`` is t and the columns.

    It adds up to 0: where p[t] is above 1/2, p[t] − 1 is minus the sum of the others, so that nothing cancels.
    """
    gx: Array = p * g
    single = p[at]
    less = (single - 1) * g
    near = single > 0.5
    if near.any():
        gx[at] = 0
        less = np.where(near, -over_rows(gx), less)
    gx[at] = less
    return gx


def with_zero_sum(gx: Array, p: Array, axis: int) -> Array:
    """The gradient gx of a softmax p; its element where p > 1/2 is set to −Σ of the others, in place.

    The gradient of a softmax adds up to 0 along its axis. Where p is nearly 1, its element is a difference of nearly
    equal numbers, and the sum of the others is exact to their last digits.
    """
    if p.shape[axis] == 1:  # already 0, or NaN for an infinite gradient
        return gx
    near = p > 0.5
    if near.any():
        gx[near] = 0
        np.subtract(gx, sums(gx, axis), out=gx, where=near)
    return gx


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
