"""Functions that change the shape of an array, repeat its elements or pad it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from numpyml.autograd.derivatives.indexing import scatter
from numpyml.autograd.table import Shape, composite, derivative

SHAPE = "shape" if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else "newshape"

derivative(np.reshape, f"a {SHAPE} !order=C * !copy", a=lambda g, shape: g.reshape(shape))
derivative(np.ravel, "a !order=C", a=lambda g, shape: g.reshape(shape))
derivative(np.squeeze, "a axis", a=lambda g, shape: g.reshape(shape))
derivative(np.expand_dims, "a axis", a=lambda g, shape: g.reshape(shape))


def inverse_permutation(axes: Any) -> Any:
    """The order of axes that undoes this one."""
    return None if axes is None else np.argsort(np.atleast_1d(axes) % np.size(axes))


derivative(np.transpose, "a axes", a=lambda g, axes=None: g.transpose(inverse_permutation(axes)))
derivative(np.swapaxes, "a axis1 axis2", a=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
derivative(np.moveaxis, "a source destination", a=lambda g, source, destination: np.moveaxis(g, destination, source))
derivative(np.broadcast_to, "array shape !subok=False", array=lambda g: g)
derivative(np.flip, "m axis", m=lambda g, axis=None: np.flip(g, axis))
derivative(np.roll, "a shift axis", a=lambda g, shift, axis=None: np.roll(g, np.negative(shift), axis))
derivative(np.rot90, "m k axes", m=lambda g, k=1, axes=(0, 1): np.rot90(g, -k, axes))
composite(np.fliplr, "m", lambda m: np.flip(m, 1))
composite(np.flipud, "m", lambda m: np.flip(m, 0))


def at_least_1d(x: Any) -> Any:
    """A scalar becomes (1,)."""
    return np.reshape(x, (1,)) if np.ndim(x) == 0 else x


def at_least_2d(x: Any) -> Any:
    """(n,) becomes (1, n)."""
    return x if np.ndim(x) >= 2 else np.reshape(x, (1, -1))


def at_least_3d(x: Any) -> Any:
    """(n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1)."""
    x = at_least_2d(x)
    return np.expand_dims(x, 2) if np.ndim(x) == 2 else x


def each(arrays: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    """One changed array for one, a tuple for several, as ``np.atleast_1d`` returns them."""
    changed = tuple(change(x) for x in arrays)
    return changed[0] if len(changed) == 1 else changed


composite(np.atleast_1d, "*arys", lambda arys: each(arys, at_least_1d))
composite(np.atleast_2d, "*arys", lambda arys: each(arys, at_least_2d))
composite(np.atleast_3d, "*arys", lambda arys: each(arys, at_least_3d))


def sum_repeats(g: Any, shape: Shape, repeats: Any, axis: int | None = None) -> Any:
    """The sum of the gradients of all copies of an element."""
    axis = axis if shape else None
    n = math.prod(shape) if axis is None else shape[axis]
    gx = np.zeros((n,) if axis is None else shape, g.dtype)
    axis = axis or 0
    if np.size(repeats) == 1:
        times = max(int(np.reshape(repeats, ())), 0)  # NumPy accepts negative repeats of an array without elements
        axis %= gx.ndim
        gx = g.reshape(*gx.shape[: axis + 1], times, *gx.shape[axis + 1 :]).sum(axis=axis + 1)
    else:
        np.add.at(np.moveaxis(gx, axis, 0), np.repeat(np.arange(n), repeats), np.moveaxis(g, axis, 0))
    return gx.reshape(shape)


derivative(np.repeat, "a repeats axis", a=sum_repeats)


def sum_tiles(g: Any, shape: Shape, reps: Any) -> Any:
    """The sum of the gradients of all tiles."""
    reps = np.maximum(np.atleast_1d(reps).astype(int), 0).tolist()  # negative ones: as in sum_repeats
    ndim = max(len(reps), len(shape))
    reps = [1] * (ndim - len(reps)) + reps
    lengths = [1] * (ndim - len(shape)) + list(shape)
    return g.reshape([*chain(*zip(reps, lengths, strict=True))]).sum(axis=tuple(range(0, 2 * ndim, 2))).reshape(shape)


derivative(np.tile, "A reps", A=sum_tiles)


def unpad(g: Any, shape: Shape, pad_width: Any, mode: str = "constant") -> Any:
    """Constant padding is cut off; other modes copy elements, whose gradients are added to those of the originals."""
    if mode in ("constant", "empty"):
        before = np.broadcast_to(pad_width, (len(shape), 2))[:, 0]
        return g[tuple(slice(start, start + n) for start, n in zip(before, shape, strict=True))]
    source = np.pad(np.arange(math.prod(shape)).reshape(shape), pad_width, mode)  # type: ignore[call-overload]
    return scatter(g, (math.prod(shape),), source).reshape(shape)


def refuse_pad(pad_width: Any = 0, mode: Any = "constant") -> str:
    """The modes that compute new values, and widths by axis."""
    if mode not in ("constant", "empty", "edge", "reflect", "symmetric", "wrap"):
        return f"with mode={mode!r} has no derivative here; use constant, edge, reflect, symmetric or wrap"
    return (
        "expected pad_width as numbers, got a dict; give one pair for each axis" if isinstance(pad_width, dict) else ""
    )


derivative(
    np.pad,
    "array pad_width mode * constant_values !stat_length !end_values !reflect_type=even",
    refuse_pad,
    array=unpad,
)
