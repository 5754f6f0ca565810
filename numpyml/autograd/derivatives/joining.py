"""Functions that join arrays and split them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from numpyml.autograd.derivatives.shapes import at_least_1d, at_least_2d, at_least_3d
from numpyml.autograd.table import Shape, composite, derivative
from numpyml.errors import ShapeError


def split_gradient(g: Any, shape: Sequence[Shape], axis: int | None = 0) -> Any:
    """The gradient of a concatenation, split where its operands met."""
    if axis is None:
        parts = np.split(g, np.cumsum([math.prod(s) for s in shape])[:-1])
        return [part.reshape(s) for part, s in zip(parts, shape, strict=True)]
    return np.split(g, np.cumsum([s[axis] for s in shape])[:-1], axis)


derivative(np.concatenate, "[arrays] axis !out * !dtype !casting=same_kind", arrays=split_gradient)
composite(
    np.stack,
    "arrays axis !out * !dtype !casting=same_kind",
    lambda arrays, axis=0: np.concatenate([np.expand_dims(x, axis) for x in arrays], axis),
)
composite(np.vstack, "tup * !dtype !casting=same_kind", lambda tup: np.concatenate([at_least_2d(x) for x in tup], 0))
composite(
    np.hstack,
    "tup * !dtype !casting=same_kind",
    lambda tup: np.concatenate([at_least_1d(x) for x in tup], 0 if np.ndim(tup[0]) <= 1 else 1),
)
composite(np.dstack, "tup", lambda tup: np.concatenate([at_least_3d(x) for x in tup], 2))


def as_columns(x: Any) -> Any:
    """(n,) becomes (n, 1)."""
    return np.reshape(x, (-1, 1)) if np.ndim(x) <= 1 else x


composite(np.column_stack, "tup", lambda tup: np.concatenate([as_columns(x) for x in tup], 1))
composite(
    np.append,
    "arr values axis",
    lambda arr, values, axis=None: np.concatenate(
        [np.ravel(arr), np.ravel(values)] if axis is None else [arr, values], axis or 0
    ),
)


def join_gradients(g: Sequence[Any], shape: Shape, indices_or_sections: Any, axis: int = 0) -> Any:
    """The gradient of each part, added where the part was taken; parts overlap where the indices are out of order."""
    n = shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sections = int(indices_or_sections)
        cuts = np.cumsum([n // sections + (i < n % sections) for i in range(sections - 1)])
    else:
        cuts = indices_or_sections
    gx = np.zeros(shape, g[0].dtype)
    view = np.moveaxis(gx, axis, 0)
    for part, start, stop in zip(g, [0, *cuts], [*cuts, n], strict=True):
        view[start:stop] += np.moveaxis(part, axis, 0)
    return gx


for _split in (np.split, np.array_split):
    derivative(_split, "ary indices_or_sections axis", ary=join_gradients)


def split_along(name: str, axis: int, least: int, ary: Any, indices_or_sections: Any) -> Any:
    """``np.split`` along a fixed axis, as ``np.hsplit`` and its like do; hsplit splits a vector along its only axis."""
    if np.ndim(ary) < least:
        raise ShapeError(
            f"numpy.{name} expected an array of {least} axes or more, got shape {np.shape(ary)}; "
            "reshape it, or use np.split along one of its axes"
        )
    return np.split(ary, indices_or_sections, min(axis, np.ndim(ary) - 1))


for _along, _axis, _least in ((np.hsplit, 1, 1), (np.vsplit, 0, 2), (np.dsplit, 2, 3)):
    composite(_along, "ary indices_or_sections", partial(split_along, _along.__name__, _axis, _least))
