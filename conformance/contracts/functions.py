"""NumPy's functions with a derivative, one row each: what PyTorch writes for it, and how it may be called."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from conformance.frameworks.pytorch import dims, picked, placed, scan, tensor
from conformance.rows import FunctionRow, Large
from conformance.strategies.arrays import EVERY, NASTY, ORDINARY, shapes
from conformance.strategies.calls import (
    axes_of,
    axis_of,
    axis_or_flat,
    broadcasts,
    clips,
    diagonals,
    einsums,
    extra_axes,
    factors,
    fills,
    indexed,
    matrices,
    nonempty,
    norms,
    on,
    orders_of,
    pads,
    places,
    places_along_the_last,
    powers,
    products,
    quotients,
    repeats,
    sections,
    sections_along,
    several,
    shifts,
    single_axes,
    sorts,
    spreads,
    tensordots,
    tilings,
    turned,
    two,
    two_axes,
    where,
)  # fmt: skip
from conformance.strategies.coverage import among, between

row = FunctionRow
any_sign = on(kinds=NASTY)
inside = on(kinds=ORDINARY, into=np.sin) | any_sign
pair = two(NASTY)
flags = among(False, True)
SQUARED = (Large(0.5),)  # half of what others may have: the result has the square of that


def bounded(given: Any, bounds: str) -> list[Any]:
    """The lower and the upper bound, None where there is none."""
    named = dict(zip(bounds.split(), given, strict=True))
    return [named.get("low"), named.get("high")]


def clipped(n: Any, a: Any, *given: Any, bounds: str, spelling: str) -> Any:
    """By position the bounds are a_min and a_max; min and max are for keywords alone."""
    both = bounded(given, bounds)
    if spelling == "a_min a_max":
        return n.clip(a, *both)
    return n.clip(a, **{name: bound for name, bound in zip(("min", "max"), both, strict=True) if bound is not None})


def only(given: dict[str, Any]) -> Any:
    """The one value."""
    (value,) = given.values()
    return value


ELEMENTWISE = [
    row(np.positive, lambda t, x: +x, any_sign),
    row(np.negative, lambda t, x: -x, any_sign),
    row(np.square, lambda t, x: t.square(x), any_sign),
    row(np.reciprocal, lambda t, x: t.reciprocal(x), any_sign),
    row(np.sqrt, lambda t, x: t.sqrt(x), any_sign),
    row(np.cbrt, lambda t, x: t.sign(x) * t.abs(x) ** (1 / 3), any_sign),
    row(np.absolute, lambda t, x: t.abs(x), any_sign),
    row(np.fabs, lambda t, x: t.abs(x), any_sign),
    row(np.exp, lambda t, x: t.exp(x), on(kinds=EVERY)),
    row(np.exp2, lambda t, x: t.exp2(x), on(kinds=EVERY)),
    row(np.expm1, lambda t, x: t.expm1(x), on(kinds=EVERY)),
    row(np.log, lambda t, x: t.log(x), any_sign),
    row(np.log2, lambda t, x: t.log2(x), any_sign),
    row(np.log10, lambda t, x: t.log10(x), any_sign),
    row(np.log1p, lambda t, x: t.log1p(x), any_sign),
    row(np.sin, lambda t, x: t.sin(x), on(kinds=EVERY)),
    row(np.cos, lambda t, x: t.cos(x), on(kinds=EVERY)),
    row(np.tan, lambda t, x: t.tan(x), any_sign),
    row(np.arcsin, lambda t, x: t.arcsin(x), inside),
    row(np.arccos, lambda t, x: t.arccos(x), inside),
    row(np.arctan, lambda t, x: t.arctan(x), any_sign),
    row(np.sinh, lambda t, x: t.sinh(x), on(kinds=EVERY)),
    row(np.cosh, lambda t, x: t.cosh(x), on(kinds=EVERY)),
    row(np.tanh, lambda t, x: t.tanh(x), on(kinds=EVERY)),
    row(np.arcsinh, lambda t, x: t.arcsinh(x), any_sign),
    row(np.arccosh, lambda t, x: t.arccosh(x), any_sign),
    row(np.arctanh, lambda t, x: t.arctanh(x), inside),
    row(np.degrees, lambda t, x: t.rad2deg(x), any_sign),
    row(np.rad2deg, lambda t, x: t.rad2deg(x), any_sign),
    row(np.radians, lambda t, x: t.deg2rad(x), any_sign),
    row(np.deg2rad, lambda t, x: t.deg2rad(x), any_sign),
    row(np.sign, lambda t, x: t.sign(x), any_sign),
    row(np.floor, lambda t, x: t.floor(x), any_sign),
    row(np.ceil, lambda t, x: t.ceil(x), any_sign),
    row(np.rint, lambda t, x: t.round(x), any_sign),
    row(np.trunc, lambda t, x: t.trunc(x), any_sign),
    row(np.round, lambda t, a, decimals: t.round(a, decimals=decimals), on(kinds=NASTY, decimals=among(0, 1, -1))),
    row(np.around, lambda t, a, decimals: t.round(a, decimals=decimals), on(kinds=NASTY, decimals=among(0, 1, -1))),
    row(
        np.ndarray.astype,
        lambda t, a, dtype: a.to(getattr(t, dtype)).to(a.dtype),
        on(kinds=NASTY, dtype=among("float32", "float64")),
        lambda n, a, dtype: a.astype(np.dtype(dtype)).astype(a.dtype),
    ),
    row(
        np.full_like,
        lambda t, a, fill_value, shape, **_: t.broadcast_to(fill_value, shape or a.shape).clone(),
        fills(),
        asked="a",
    ),
    row(np.copy, lambda t, a, **_: a.clone(), on(kinds=NASTY, order=among("K", "C", "F", "A"), subok=flags)),
    row(np.add, lambda t, a, b: a + b, pair),
    row(np.subtract, lambda t, a, b: a - b, pair),
    row(np.multiply, lambda t, a, b: a * b, pair),
    row(np.true_divide, lambda t, a, b: a / b, pair),
    row(np.floor_divide, lambda t, a, b: t.floor_divide(a.detach(), b.detach()), pair),
    row(np.remainder, lambda t, a, b: t.remainder(a, b), quotients()),
    row(np.fmod, lambda t, a, b: t.fmod(a, b), quotients()),
    row(np.power, lambda t, a, b: t.pow(a, b), powers()),
    row(np.logaddexp, lambda t, a, b: t.logaddexp(a, b), two(EVERY)),
    row(np.logaddexp2, lambda t, a, b: t.logaddexp2(a, b), two(EVERY)),
    row(np.hypot, lambda t, a, b: t.hypot(a, b), pair),
    row(np.arctan2, lambda t, a, b: t.arctan2(a, b), pair),
    row(np.copysign, lambda t, a, b: t.copysign(a, b), pair),
    row(np.maximum, lambda t, a, b: t.maximum(a, b), pair),
    row(np.minimum, lambda t, a, b: t.minimum(a, b), pair),
    row(np.fmax, lambda t, a, b: t.fmax(a, b), pair),
    row(np.fmin, lambda t, a, b: t.fmin(a, b), pair),
    row(np.clip, lambda t, a, *bs, bounds, spelling: t.clamp(a, *bounded(bs, bounds)), clips(), clipped),
    row(
        np.where,
        lambda t, x, y, condition: t.where(tensor(condition), x, y),
        where(),
        lambda n, x, y, condition: n.where(condition, x, y),
    ),
]


def reduction(torch: Any, **options: Any) -> Any:
    return lambda t, a, axis, keepdims: torch(t, a, dim=dims(a, axis), keepdim=keepdims, **options)


reduced = on(kinds=NASTY, axis=axes_of, keepdims=flags)
some = on(shapes(0, 4, 1), NASTY, axis=axes_of, keepdims=flags)

# No large arrays for what adds or multiplies: the value is NumPy's own, one by one along most axes, and backwards
# cumsum alone adds up, see tests/autograd/test_sums.py.
REDUCTIONS = [
    row(np.sum, reduction(lambda t, a, **o: t.sum(a, **o)), reduced, large=()),
    row(np.nansum, reduction(lambda t, a, **o: t.nansum(a, **o)), reduced, large=()),
    row(np.mean, reduction(lambda t, a, **o: t.mean(a, **o)), reduced, large=()),
    row(
        np.var,
        lambda t, a, axis, keepdims, **less: t.var(a, dim=dims(a, axis), keepdim=keepdims, correction=only(less)),
        spreads(),
        large=(),
    ),
    row(
        np.std,
        lambda t, a, axis, keepdims, **less: t.std(a, dim=dims(a, axis), keepdim=keepdims, correction=only(less)),
        spreads(),
        large=(),
    ),
    row(
        np.prod,
        lambda t, a, axis, keepdims: scan(t.prod, a, axis, keepdims),
        factors(axis=axis_or_flat, keepdims=flags),
        large=(),
    ),
    row(np.max, reduction(lambda t, a, **o: t.amax(a, **o)), some),
    row(np.min, reduction(lambda t, a, **o: t.amin(a, **o)), some),
    row(np.amax, reduction(lambda t, a, **o: t.amax(a, **o)), some),
    row(np.amin, reduction(lambda t, a, **o: t.amin(a, **o)), some),
    row(np.ptp, reduction(lambda t, a, **o: t.amax(a, **o) - t.amin(a, **o)), some),
    # Of longer sums see divergences.REMARKS.
    row(
        np.cumsum,
        lambda t, a, axis: t.cumsum(*placed(a, axis)),
        on(shapes(1, 4, elements=64), axis=axis_or_flat),
        large=(),
    ),
    row(
        np.linalg.norm,
        lambda t, x, ord, axis, keepdims: t.linalg.norm(x, ord=ord, dim=axis, keepdim=keepdims),
        norms(),
        large=(),
    ),
]

SHAPES = [
    row(np.reshape, lambda t, a, shape: t.reshape(a, shape), on(shape=turned)),
    row(np.ravel, lambda t, a: t.reshape(a, (-1,)), on()),
    row(np.squeeze, lambda t, a, axis: t.squeeze(a) if axis is None else t.squeeze(a, axis), on(axis=single_axes)),
    row(np.expand_dims, lambda t, a, axis: t.unsqueeze(a, axis), on(axis=extra_axes)),
    row(np.transpose, lambda t, a, axes: t.permute(a, axes), on(axes=orders_of)),
    row(
        np.swapaxes,
        lambda t, a, axis1, axis2: t.swapaxes(a, axis1, axis2),
        on(shapes(1, 5), axis1=axis_of, axis2=axis_of),
    ),
    row(
        np.moveaxis,
        lambda t, a, source, destination: t.moveaxis(a, source, destination),
        on(shapes(1, 5), source=axis_of, destination=axis_of),
    ),
    row(np.broadcast_to, lambda t, x, shape: t.broadcast_to(x, shape), broadcasts()),
    row(np.flip, lambda t, m, axis: t.flip(m, dims(m, axis)), on(axis=axes_of)),
    row(np.fliplr, lambda t, m: t.fliplr(m), on(shapes(2, 4))),
    row(np.flipud, lambda t, m: t.flipud(m), on(shapes(1, 4))),
    row(np.roll, lambda t, a, shift, axis: t.roll(a, shift, axis), shifts()),
    row(np.rot90, lambda t, m, k, axes: t.rot90(m, k, axes), on(shapes(2, 4), k=between(-5, 5), axes=two_axes)),
    row(
        np.repeat,
        lambda t, a, repeats, axis: t.repeat_interleave(a, tensor(np.asarray(repeats, np.int64)), dim=axis),
        repeats(),
    ),
    row(
        np.tile,
        lambda t, a, reps: t.tile(a, reps),
        on(shapes(0, 3), reps=tilings),
    ),
    row(
        np.pad,
        lambda t, a, pad_width, mode, constant_values=0.0: (
            picked(a, np.pad(np.arange(a.numel()).reshape(a.shape), pad_width, mode))
            if mode != "constant"
            else t.nn.functional.pad(a, [n for pair in pad_width[::-1] for n in pair], value=constant_values)
        ),
        pads(),
    ),
    row(np.atleast_1d, lambda t, x: t.atleast_1d(x), on(shapes(0, 4))),
    row(np.atleast_2d, lambda t, x: t.atleast_2d(x), on(shapes(0, 4))),
    row(np.atleast_3d, lambda t, x: t.atleast_3d(x), on(shapes(0, 4))),
]


def ordered(t: Any, a: Any, axis: int) -> Any:
    return t.sort(a, dim=axis, stable=True).values


def joined(name: str) -> Any:
    """The function of this name, given its arrays one by one."""
    return lambda n, *arrays, **options: getattr(n, name)(arrays, **options)


JOINING = [
    row(
        np.concatenate,
        lambda t, *xs, axis: _cat(t, xs, axis),
        several("a b c", NASTY, axis=axis_or_flat),
        joined("concatenate"),
    ),
    row(np.stack, lambda t, *xs, axis: t.stack(xs, axis), several("a b c", NASTY, axis=extra_axes), joined("stack")),
    row(np.vstack, lambda t, *xs: t.vstack(xs), several("a b", NASTY), joined("vstack")),
    row(np.hstack, lambda t, *xs: t.hstack(xs), several("a b c", NASTY), joined("hstack")),
    row(np.dstack, lambda t, *xs: t.dstack(xs), several("a b", NASTY), joined("dstack")),
    row(np.column_stack, lambda t, *xs: t.column_stack(xs), several("a b", NASTY), joined("column_stack")),
    row(np.append, lambda t, a, b, axis: _cat(t, (a, b), axis), several("a b", NASTY, axis=axis_or_flat)),
    row(
        np.split,
        lambda t, a, cuts, axis: t.tensor_split(a, cuts, axis),
        sections(even=True),
        lambda n, a, cuts, **axis: n.split(a, cuts, **axis),
    ),
    row(
        np.array_split,
        lambda t, a, cuts, axis: t.tensor_split(a, cuts, axis),
        sections(),
        lambda n, a, cuts, **axis: n.array_split(a, cuts, **axis),
    ),
    row(np.hsplit, lambda t, a, cuts: t.hsplit(a, cuts), sections_along(1), lambda n, a, cuts: n.hsplit(a, cuts)),
    row(np.vsplit, lambda t, a, cuts: t.vsplit(a, cuts), sections_along(0), lambda n, a, cuts: n.vsplit(a, cuts)),
    row(np.dsplit, lambda t, a, cuts: t.dsplit(a, cuts), sections_along(2), lambda n, a, cuts: n.dsplit(a, cuts)),
]


def _cat(t: Any, xs: Any, axis: int | None) -> Any:
    return t.cat([x.reshape(-1) for x in xs]) if axis is None else t.cat(xs, axis)


INDEXING = [
    row(
        operator.getitem,
        lambda t, x, index: picked(x, np.arange(x.numel()).reshape(x.shape)[index]),
        indexed(),
        lambda n, x, index: x[index],
    ),
    row(
        np.take,
        lambda t, a, indices, axis: scan(t.index_select, a, axis, False, tensor(indices)),
        on(
            nonempty,
            axis=axis_or_flat,
            indices=places,
        ),
    ),
    row(
        np.take_along_axis,
        lambda t, arr, indices, axis: t.take_along_dim(arr, tensor(indices), axis),
        on(
            shapes(1, 3, 1),
            axis=among(-1),
            indices=places_along_the_last,
        ),
    ),
    row(np.sort, lambda t, a, axis, **_: ordered(t, *placed(a, axis)), sorts()),
    row(np.tril, lambda t, m, k: t.tril(m, k), on(matrices, NASTY, k=between(-3, 3))),
    row(np.triu, lambda t, m, k: t.triu(m, k), on(matrices, NASTY, k=between(-3, 3))),
    row(np.diagonal, lambda t, a, offset, axis1, axis2: t.diagonal(a, offset, axis1, axis2), diagonals()),
    row(
        np.diag,
        lambda t, v, k: t.diag(v, k),
        on(shapes(1, 2, 3), NASTY, k=between(-2, 2)),
        large=SQUARED,
    ),
    row(np.trace, lambda t, a, offset, axis1, axis2: t.diagonal(a, offset, axis1, axis2).sum(-1), diagonals()),
    row(np.diff, lambda t, a, n, axis: t.diff(a, n, axis), on(shapes(1, 4, 1), n=between(0, 3), axis=axis_of)),
]

PRODUCTS = [
    row(np.matmul, lambda t, a, b: t.matmul(a, b), products("matmul")),
    row(
        np.dot,
        lambda t, a, b: t.tensordot(a, b, ([-1], [max(b.ndim - 2, 0)])) if a.ndim and b.ndim else a * b,
        products("dot"),
    ),
    row(np.inner, lambda t, a, b: t.inner(a, b), products("inner")),
    row(np.vdot, lambda t, a, b: t.dot(a.reshape(-1), b.reshape(-1)), several("a b", NASTY)),
    row(np.outer, lambda t, a, b: t.outer(a.reshape(-1), b.reshape(-1)), several("a b", NASTY), large=SQUARED),
    row(np.tensordot, lambda t, a, b, axes: t.tensordot(a, b, axes), tensordots()),
    row(
        np.einsum,
        lambda t, *xs, subscripts, optimize: t.einsum(subscripts, *xs),
        einsums(),
        lambda n, *xs, subscripts, **optimize: n.einsum(subscripts, *xs, **optimize),
    ),
]

ROWS = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *JOINING, *INDEXING, *PRODUCTS]
