"""Indexing and sorting functions, one row each."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from conformance.frameworks.pytorch import scan, take, tensor, with_axis
from conformance.references.indexing import sort
from conformance.references.kinds import FunctionReference, linear, moves
from conformance.rows import FunctionRow, Large
from conformance.strategies.arrays import NASTY, shapes
from conformance.strategies.axes import axis_of, axis_or_flat
from conformance.strategies.calls import matrices, nonempty, on
from conformance.strategies.coverage import among, between
from conformance.strategies.indexing import diagonals, indexed, indices_along_the_last, indices_of, sorts

row = FunctionRow
SORT = FunctionReference("numbered elements, in the order of their values", sort)


def ordered(t: Any, a: Any, axis: int) -> Any:
    """PyTorch's stable sort, whose options are keywords."""
    return t.sort(a, dim=axis, stable=True).values


ROWS = [
    row(
        operator.getitem,
        lambda t, x, index: take(x, np.arange(x.numel()).reshape(x.shape)[index]),
        indexed(),
        moves(lambda x, index: x[index]),
        lambda n, x, index: x[index],
    ),
    row(
        np.take,
        lambda t, a, indices, axis: scan(t.index_select, a, axis, False, tensor(indices)),
        on(nonempty, axis=axis_or_flat, indices=indices_of),
        moves(np.take),
    ),
    row(
        np.take_along_axis,
        lambda t, arr, indices, axis: t.take_along_dim(arr, tensor(indices), axis),
        on(shapes(1, 3, 1), axis=among(-1), indices=indices_along_the_last),
        moves(np.take_along_axis),
    ),
    row(np.sort, lambda t, a, axis, **_: ordered(t, *with_axis(a, axis)), sorts(), SORT),
    row(np.tril, lambda t, m, k: t.tril(m, k), on(matrices, NASTY, k=between(-3, 3)), moves(np.tril)),
    row(np.triu, lambda t, m, k: t.triu(m, k), on(matrices, NASTY, k=between(-3, 3)), moves(np.triu)),
    row(
        np.diagonal,
        lambda t, a, offset, axis1, axis2: t.diagonal(a, offset, axis1, axis2),
        diagonals(),
        moves(np.diagonal),
    ),
    row(
        np.diag,
        lambda t, v, k: t.diag(v, k),
        on(shapes(1, 2, 3), NASTY, k=between(-2, 2)),
        moves(np.diag),
        large=(Large(0.5),),  # half the usual size: the result has its square
    ),
    row(
        np.trace,
        lambda t, a, offset, axis1, axis2: t.diagonal(a, offset, axis1, axis2).sum(-1),
        diagonals(),
        linear(np.trace),
    ),
    row(
        np.diff,
        lambda t, a, n, axis: t.diff(a, n, axis),
        on(shapes(1, 4, 1), n=between(0, 3), axis=axis_of),
        linear(np.diff),
    ),
]
