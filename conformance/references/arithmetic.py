"""Arithmetic for the references: constants in extended precision, and operations that keep their digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.typing import Array

Wide = np.longdouble
PI = 4 * np.arctan(Wide(1))
LN2, LN10 = np.log(Wide(2)), np.log(Wide(10))


def wide(x: Any) -> Array:
    return np.asarray(x, Wide)


def total(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The sum over axes. They are made contiguous first, since NumPy sums pairwise only in contiguous memory."""
    axes = axes_of(axis, x.ndim)
    others = [i for i in range(x.ndim) if i not in axes]
    last = np.ascontiguousarray(x.transpose(*others, *axes)).reshape(*(x.shape[i] for i in others), -1 if x.size else 0)
    y = wide(last.sum(-1))
    return np.expand_dims(y, axes) if keepdims else y


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """NumPy's ``axis`` as a tuple, counted from the front and in order."""
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(i % ndim for i in axes))


def fold(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of this shape: the sum of the gradients of its broadcast copies."""
    extra = gradient.ndim - len(shape)
    stretched = [i + extra for i, n in enumerate(shape) if n == 1 and gradient.shape[i + extra] != 1]
    return total(gradient, (*range(extra), *stretched)).reshape(shape) if extra or stretched else gradient


def difference(a: Array, b: Array) -> tuple[Array, Array]:
    """a − b rounded, and its rounding error (Knuth's TwoSum): an exponential needs both."""
    d = a - b
    back = d - a
    lost = (a - (d - back)) - (b + back)
    return d, np.where(np.isfinite(lost), lost, 0)


def times(weight: Array, x: Array) -> Array:
    """weight · x, with 0 · ∞ = 0: an element of weight 0 does not count, whatever its value."""
    return np.where(weight == 0, 0 * np.where(np.isinf(x), 0, x), weight * x)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))
