"""Reductions and cumulative sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpyml.autograd.table import Shape, composite, derivative


def restore_axes(g: Any, axis: Any, keepdims: bool) -> Any:
    """What the reduction would have returned with ``keepdims=True``, as far as broadcasting needs it."""
    return g if axis is None or keepdims or np.ndim(g) == 0 else np.expand_dims(g, axis)


def expand(g: Any, shape: Shape, axis: Any = None, keepdims: bool = False) -> Any:
    """The gradient of a reduction, broadcast over the axes that were reduced."""
    return np.broadcast_to(restore_axes(g, axis, keepdims), shape)


def count(shape: Shape, axis: Any) -> int:
    """How many elements are reduced to one."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod(shape[i] for i in axes)


derivative(np.sum, "a axis !dtype !out keepdims !initial !where", a=expand)
derivative(
    np.mean,
    "a axis !dtype !out keepdims * !where",
    a=lambda g, shape, axis=None, keepdims=False: expand(g / count(shape, axis), shape, axis, keepdims),
)
composite(
    np.nansum, "a axis !dtype !out keepdims !initial !where", lambda a, **o: np.sum(np.where(np.isnan(a), 0, a), **o)
)


def variance(g: Any, a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None) -> Any:
    """gx = 2 g (x − mean) / (n − ddof)"""
    degrees = count(a.shape, axis) - (ddof if correction is None else correction)
    return 2 * restore_axes(g, axis, keepdims) * (a - a.mean(axis=axis, keepdims=True)) / degrees


derivative(np.var, "a axis !dtype !out ddof keepdims * !where !mean correction", a=variance)


def deviation(
    g: Any, y: Any, a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None
) -> Any:
    """gx = g (x − mean) / (y (n − ddof)), and 0 where all values are equal, as in PyTorch."""
    return variance(np.where(y == 0, 0, g / (2 * y)), a, axis, ddof, keepdims, correction)


derivative(np.std, "a axis !dtype !out ddof keepdims * !where !mean correction", a=deviation)


def product(g: Any, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """gx = g × the product of all other elements: of those before and of those after. y / x is 0 / 0 at 0."""
    axis = axis if a.ndim else None  # NumPy accepts axis=-1 for an array without axes
    axes = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    ends = tuple(range(-len(axes), 0))
    moved = np.moveaxis(a, axes, ends)
    cells = moved.reshape(*moved.shape[: a.ndim - len(axes)], math.prod(moved.shape[a.ndim - len(axes) :]))
    before, after = np.ones_like(cells), np.ones_like(cells)
    np.cumprod(cells[..., :-1], -1, out=before[..., 1:])
    np.cumprod(cells[..., :0:-1], -1, out=after[..., -2::-1])
    return restore_axes(g, axis, keepdims) * np.moveaxis((before * after).reshape(moved.shape), ends, axes)


derivative(np.prod, "a axis !dtype !out keepdims !initial !where", a=product)


def extremum(g: Any, y: Any, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Shared evenly among all elements that equal the extremum, as by PyTorch's ``amax``."""
    equal = a == restore_axes(y, axis, keepdims)
    return np.where(equal, restore_axes(g, axis, keepdims), 0) / equal.sum(axis=axis, keepdims=True)


for _extremum in (np.max, np.min, np.amax, np.amin):
    derivative(_extremum, "a axis !out keepdims !initial !where", a=extremum)
composite(np.ptp, "a axis !out keepdims", lambda a, **o: np.max(a, **o) - np.min(a, **o))


def reverse_cumsum(g: Any, shape: Shape, axis: int | None = None) -> Any:
    """gx[i] = Σ g[j], j ≥ i; added up in float64, since NumPy adds one element after the other."""
    axis = axis or 0
    sums = np.cumsum(np.flip(g, axis), axis, dtype=np.promote_types(g.dtype, np.float64))
    return np.flip(sums, axis).astype(g.dtype).reshape(shape)


derivative(np.cumsum, "a axis !dtype !out", a=reverse_cumsum)
