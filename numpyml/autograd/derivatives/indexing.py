"""Indexing, sorting, diagonals and differences."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from numpyml.autograd.table import Shape, composite, derivative
from numpyml.errors import OptionError


def scatter(g: Any, shape: Shape, index: Any) -> Any:
    """Zeros of ``shape`` with ``g`` added at ``index``, as often as each element was taken."""
    gx = np.zeros(shape, g.dtype)
    if any(may_repeat(part) for part in (index if isinstance(index, tuple) else (index,))):
        np.add.at(gx, index, g)
    else:
        gx[index] = g
    return gx


def may_repeat(part: Any) -> bool:
    """Whether this part of an index can take an element twice: only an array of integers can."""
    if part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer)):
        return False
    return np.ndim(part) > 0 and np.asarray(part).dtype.kind != "b"


derivative(operator.getitem, "x index", x=scatter)


def scatter_along(g: Any, shape: Shape, indices: Any, axis: int | None = None) -> Any:
    """Scattered along one axis, or into the flattened array."""
    indices = np.asarray(indices).astype(np.intp)  # np.take accepts booleans and floats, too
    if axis is None or not shape:
        return scatter(g, (math.prod(shape),), indices).reshape(shape)
    return scatter(g, shape, (slice(None),) * (axis % len(shape)) + (indices,))


derivative(np.take, "a indices axis !out !mode=raise", a=scatter_along)


def scatter_vectors(g: Any, shape: Shape, indices: Any, axis: int | None = -1) -> Any:
    """Scattered along one axis, each vector along it by indices of its own."""
    if axis is None:
        return scatter(g, (math.prod(shape),), np.asarray(indices)).reshape(shape)
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in shape)])
    index[axis] = np.asarray(indices)
    return scatter(g, shape, tuple(index))


derivative(np.take_along_axis, "arr indices axis", arr=scatter_vectors)


def unsort(g: Any, a: Any, axis: int | None = -1) -> Any:
    """The gradients in the order in which the elements were before sorting."""
    gx = np.zeros(a.shape if axis is not None else a.size, g.dtype)
    order = np.argsort(a, axis=axis, kind="stable")
    np.put_along_axis(gx, order, g, -1 if axis is None else axis)
    return gx.reshape(a.shape)


derivative(np.sort, "a axis kind !order * stable", a=unsort)
derivative(np.tril, "m k", m=lambda g, k=0: np.tril(g, k))
derivative(np.triu, "m k", m=lambda g, k=0: np.triu(g, k))


def fill_diagonal(g: Any, shape: Shape, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Zeros of ``shape`` with ``g`` on the diagonal."""
    gx = np.zeros(shape, g.dtype)
    i = np.arange(np.shape(g)[-1])
    np.moveaxis(gx, (axis1, axis2), (-2, -1))[..., i + max(-offset, 0), i + max(offset, 0)] = g
    return gx


derivative(np.diagonal, "a offset axis1 axis2", a=fill_diagonal)
derivative(np.diag, "v k", v=lambda g, shape, k=0: np.diagonal(g, k) if len(shape) == 1 else fill_diagonal(g, shape, k))
composite(
    np.trace,
    "a offset axis1 axis2 !dtype !out",
    lambda a, offset=0, axis1=0, axis2=1: np.sum(np.diagonal(a, offset, axis1, axis2), -1),
)


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element minus the one before it along the axis, n times."""
    if n < 0:
        raise OptionError(f"numpy.diff expected n of 0 or more, got {n}; pass the number of differences to take")
    if n and not -np.ndim(a) <= axis < np.ndim(a):
        raise OptionError(
            f"numpy.diff expected an axis of an array of shape {np.shape(a)}, got axis={axis}; choose one that it has"
        )
    for _ in range(n):
        along = (slice(None),) * (axis % np.ndim(a))
        later, earlier = (*along, slice(1, None)), (*along, slice(None, -1))
        a = a[later] - a[earlier]
    return a


composite(np.diff, "a n axis !prepend !append", diff)
