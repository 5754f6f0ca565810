"""Functions of NumPy that reshape, move, join and split arrays, one row each."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.frameworks.pytorch import dims, take, tensor
from conformance.references.kinds import moves
from conformance.rows import FunctionRow
from conformance.strategies.arrays import NASTY, shapes
from conformance.strategies.axes import axes_of, axis_of, axis_or_flat, extra_axes, orders_of, single_axes, two_axes
from conformance.strategies.calls import on, several
from conformance.strategies.coverage import between
from conformance.strategies.reshaping import (
    broadcasts,
    pads,
    repeats,
    reversed_shape,
    sections,
    sections_along,
    shifts,
    tilings,
)

row = FunctionRow


def padded(a: Any, pad_width: Any, mode: Any, **constant: Any) -> Any:
    """np.pad; of integers, which are indices of elements, the constant is 0."""
    return np.pad(a, pad_width, mode, **(dict.fromkeys(constant, 0) if a.dtype.kind == "i" else constant))


MOVING = [
    row(
        np.reshape,
        lambda t, a, shape: t.reshape(a, shape),
        on(shape=reversed_shape),
        moves(lambda a, shape: a.reshape(shape)),
        spellings={"method, lengths as arguments": lambda a, shape: a.reshape(*shape)},
    ),
    row(
        np.ravel,
        lambda t, a: t.reshape(a, (-1,)),
        on(),
        moves(np.ravel),
        spellings={"flatten": lambda a: a.flatten()},
    ),
    row(
        np.squeeze,
        lambda t, a, axis: t.squeeze(a) if axis is None else t.squeeze(a, axis),
        on(axis=single_axes),
        moves(np.squeeze),
    ),
    row(np.expand_dims, lambda t, a, axis: t.unsqueeze(a, axis), on(axis=extra_axes), moves(np.expand_dims)),
    row(
        np.transpose,
        lambda t, a, axes: t.permute(a, tuple(range(a.ndim))[::-1] if axes is None else axes),
        on(axes=orders_of),
        moves(np.transpose),
        spellings={
            "method, axes as arguments": lambda a, axes: a.transpose(*([] if axes is None else axes)),
            "T": lambda a: a.T,
        },
    ),
    row(
        np.swapaxes,
        lambda t, a, axis1, axis2: t.swapaxes(a, axis1, axis2),
        on(shapes(1, 5), axis1=axis_of, axis2=axis_of),
        moves(np.swapaxes),
    ),
    row(
        np.moveaxis,
        lambda t, a, source, destination: t.moveaxis(a, source, destination),
        on(shapes(1, 5), source=axis_of, destination=axis_of),
        moves(np.moveaxis),
    ),
    row(np.broadcast_to, lambda t, x, shape: t.broadcast_to(x, shape), broadcasts(), moves(np.broadcast_to)),
    row(np.flip, lambda t, m, axis: t.flip(m, dims(m, axis)), on(axis=axes_of), moves(np.flip)),
    row(np.fliplr, lambda t, m: t.fliplr(m), on(shapes(2, 4)), moves(np.fliplr)),
    row(np.flipud, lambda t, m: t.flipud(m), on(shapes(1, 4)), moves(np.flipud)),
    row(np.roll, lambda t, a, shift, axis: t.roll(a, shift, axis), shifts(), moves(np.roll)),
    row(
        np.rot90,
        lambda t, m, k, axes: t.rot90(m, k, axes),
        on(shapes(2, 4), k=between(-5, 5), axes=two_axes),
        moves(np.rot90),
    ),
    row(
        np.repeat,
        lambda t, a, repeats, axis: t.repeat_interleave(a, tensor(np.asarray(repeats, np.int64)), dim=axis),
        repeats(),
        moves(np.repeat),
    ),
    row(np.tile, lambda t, a, reps: t.tile(a, reps), on(shapes(0, 3), reps=tilings), moves(np.tile)),
    row(
        np.pad,
        lambda t, a, pad_width, mode, constant_values=0.0: (
            take(a, np.pad(np.arange(a.numel()).reshape(a.shape), pad_width, mode))
            if mode != "constant"
            else t.nn.functional.pad(a, [n for pair in pad_width[::-1] for n in pair], value=constant_values)
        ),
        pads(),
        moves(padded),
    ),
    row(np.atleast_1d, lambda t, x: t.atleast_1d(x), on(shapes(0, 4)), moves(np.atleast_1d)),
    row(np.atleast_2d, lambda t, x: t.atleast_2d(x), on(shapes(0, 4)), moves(np.atleast_2d)),
    row(np.atleast_3d, lambda t, x: t.atleast_3d(x), on(shapes(0, 4)), moves(np.atleast_3d)),
]


def joined(name: str) -> Any:
    """The function of this name, with its arrays as separate arguments."""
    return lambda n, *arrays, **options: getattr(n, name)(arrays, **options)


def cat(t: Any, xs: Any, axis: int | None) -> Any:
    return t.cat([x.reshape(-1) for x in xs]) if axis is None else t.cat(xs, axis)


JOINING = [
    row(
        np.concatenate,
        lambda t, *xs, axis: cat(t, xs, axis),
        several("a b c", NASTY, axis=axis_or_flat),
        moves(lambda *xs, axis: np.concatenate(xs, axis)),
        joined("concatenate"),
        spellings={"options by position": lambda *xs, axis: np.concatenate(xs, axis)},
    ),
    row(
        np.stack,
        lambda t, *xs, axis: t.stack(xs, axis),
        several("a b c", NASTY, axis=extra_axes),
        moves(lambda *xs, axis: np.stack(xs, axis)),
        joined("stack"),
        spellings={"options by position": lambda *xs, axis: np.stack(xs, axis)},
    ),
    *(
        row(function, theirs, several(names, NASTY), moves(lambda *xs, f=function: f(xs)), joined(function.__name__))
        for function, theirs, names in (
            (np.vstack, lambda t, *xs: t.vstack(xs), "a b"),
            (np.hstack, lambda t, *xs: t.hstack(xs), "a b c"),
            (np.dstack, lambda t, *xs: t.dstack(xs), "a b"),
            (np.column_stack, lambda t, *xs: t.column_stack(xs), "a b"),
        )
    ),
    row(
        np.append,
        lambda t, a, b, axis: cat(t, (a, b), axis),
        several("a b", NASTY, axis=axis_or_flat),
        moves(np.append),
    ),
    row(
        np.split,
        lambda t, a, cuts, axis: t.tensor_split(a, cuts, axis),
        sections(even=True),
        moves(lambda a, cuts, axis: np.split(a, cuts, axis)),
        lambda n, a, cuts, **axis: n.split(a, cuts, **axis),
        spellings={"options by position": lambda a, cuts, axis: np.split(a, cuts, axis)},
    ),
    row(
        np.array_split,
        lambda t, a, cuts, axis: t.tensor_split(a, cuts, axis),
        sections(),
        moves(lambda a, cuts, axis: np.array_split(a, cuts, axis)),
        lambda n, a, cuts, **axis: n.array_split(a, cuts, **axis),
        spellings={"options by position": lambda a, cuts, axis: np.array_split(a, cuts, axis)},
    ),
    *(
        row(
            function,
            theirs,
            sections_along(axis),
            moves(lambda a, cuts=(1, 2), f=function: f(a, cuts)),
            lambda n, a, cuts, name=function.__name__: getattr(n, name)(a, cuts),
        )
        for function, theirs, axis in (
            (np.hsplit, lambda t, a, cuts: t.hsplit(a, cuts), 1),
            (np.vsplit, lambda t, a, cuts: t.vsplit(a, cuts), 0),
            (np.dsplit, lambda t, a, cuts: t.dsplit(a, cuts), 2),
        )
    ),
]

ROWS = [*MOVING, *JOINING]
