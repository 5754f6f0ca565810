"""The derivatives of NumPy's functions: one table, from simple to hard.

How to read a row. Each operand of the function has one *partial*: a function from the gradient of the output to the
gradient of that operand. A partial asks for what it needs by name, and nothing else is kept from the forward call:

    g        gradient of the output             x, a, b, ...   an operand, by NumPy's own parameter name
    y        the output                         axis, ...      an option; its default is NumPy's
    shape    shape of the operand (one for each array, where the operand is a sequence of arrays)
    positions    which arrays of such a sequence are asked for

``derivative(np.log, "x", x=lambda g, x: g / x)`` reads: the gradient of ``log x`` is ``g / x``, and x is kept for it.
A gradient of a broadcast operand is summed back to the operand's shape by the driver, so no row mentions it.
The parameters stand in NumPy's order: ``*`` begins the keyword-only ones, ``[name]`` is a sequence of arrays, and one
marked ``!`` is not covered by the derivative: giving it is an error, never ignored (``!name=default`` allows that).
Where a function has a corner, the derivative there is PyTorch's. Backward, inf and NaN raise no warning.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from numpyml.autograd import pullbacks as pull
from numpyml.autograd.table import Composite, Partial, Row
from numpyml.kernels.sums import weighted_rows

TABLE: dict[Callable[..., Any], Row] = {}
"""Function -> its row. A row without partials is a function whose result carries no gradient (``argmax``)."""

COMPOSITES: dict[Callable[..., Any], Composite] = {}
"""Function -> the same thing written in functions that have a row, where NumPy itself defines it so."""


def derivative(
    function: Callable[..., Any], names: str, refuse: Callable[..., str] | None = None, /, **partials: Partial
) -> None:
    """Add a row."""
    TABLE[function] = Row(function, names, partials, refuse)


def unary(function: np.ufunc, x: Partial) -> None:
    """Add the row of an elementwise function of one operand."""
    derivative(function, "x", x=x)


def binary(function: np.ufunc, a: Partial, b: Partial) -> None:
    """Add the row of an elementwise function of two operands."""
    derivative(function, "a b", a=a, b=b)


def composite(function: Callable[..., Any], names: str, definition: Callable[..., Any]) -> None:
    """Add a function that is written in others."""
    COMPOSITES[function] = Composite(function, names, definition)


LN2 = float(np.log(2))

# Elementwise, one operand

unary(np.positive, lambda g: g)
unary(np.negative, lambda g: -g)
unary(np.square, lambda g, x: g * (2 * x))
unary(np.reciprocal, lambda g, y: -(g * y) * y)
unary(np.sqrt, lambda g, y: g / (2 * y))
unary(np.cbrt, lambda g, y: g / (3 * (y * y)))
unary(np.absolute, lambda g, x: g * np.sign(x))
unary(np.fabs, lambda g, x: g * np.sign(x))

unary(np.exp, lambda g, y: g * y)
unary(np.exp2, lambda g, y: g * y * LN2)
unary(np.expm1, lambda g, x: g * np.exp(x))  # y + 1 has no digits left where y is all but −1
unary(np.log, lambda g, x: g / x)
unary(np.log2, lambda g, x: g / (x * LN2))
unary(np.log10, lambda g, x: g / (x * float(np.log(10))))
unary(np.log1p, lambda g, x: g / (1 + x))

unary(np.sin, lambda g, x: g * np.cos(x))
unary(np.cos, lambda g, x: -g * np.sin(x))
unary(np.tan, lambda g, y: g * (1 + y * y))
unary(np.arcsin, lambda g, x: g / np.sqrt((1 - x) * (1 + x)))  # 1 − x² has lost digits near 1
unary(np.arccos, lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))
unary(np.arctan, lambda g, x: g / (1 + x * x))
unary(np.sinh, lambda g, x: g * np.cosh(x))
unary(np.cosh, lambda g, x: g * np.sinh(x))
unary(np.tanh, lambda g, x: g * pull.tanh_slope(x))
unary(np.arcsinh, lambda g, x: g / np.hypot(x, 1))
unary(np.arccosh, lambda g, x: g / np.sqrt((x - 1) * (x + 1) + 0))  # + 0: no negative zero at −1
unary(np.arctanh, lambda g, x: g / ((1 - x) * (1 + x)))
for _to_degrees in (np.degrees, np.rad2deg):
    unary(_to_degrees, lambda g: g * float(180 / np.pi))
for _to_radians in (np.radians, np.deg2rad):
    unary(_to_radians, lambda g: g * float(np.pi / 180))

for _step in (np.sign, np.floor, np.ceil, np.rint, np.trunc):
    unary(_step, lambda g: np.zeros_like(g))
for _round in (np.round, np.around):
    derivative(_round, "a decimals !out", a=lambda g: np.zeros_like(g))
derivative(np.ndarray.astype, "a dtype", a=lambda g: g)
derivative(np.copy, "a order subok", a=lambda g: g)

# Elementwise, two operands or more

binary(np.add, lambda g: g, lambda g: g)
binary(np.subtract, lambda g: g, lambda g: -g)
binary(np.multiply, lambda g, b: g * b, lambda g, a: g * a)
binary(np.true_divide, lambda g, b: g / b, lambda g, y, b: -g * (y / b))
binary(np.floor_divide, lambda g: np.zeros_like(g), lambda g: np.zeros_like(g))
binary(np.remainder, lambda g: g, lambda g, a, b: -g * np.floor_divide(a, b))
binary(np.fmod, lambda g: g, lambda g, a, b: -g * pull.whole_quotient(a, b))
binary(
    np.power,
    pull.power_by_base,
    lambda g, y, a, b: np.where((a == 0) & (b >= 0), 0, g * (y * np.log(a))),
)
binary(np.logaddexp, lambda g, a, b: g / (1 + np.exp(b - a)), lambda g, a, b: g / (1 + np.exp(a - b)))
binary(np.logaddexp2, lambda g, a, b: g / (1 + np.exp2(b - a)), lambda g, a, b: g / (1 + np.exp2(a - b)))
binary(np.hypot, lambda g, y, a, b: pull.per_hypot(g, y, a, b), lambda g, y, a, b: pull.per_hypot(g, y, b, a))
binary(np.arctan2, lambda g, a, b: pull.per_square(g, b, a), lambda g, a, b: pull.per_square(-g, a, b))
binary(np.copysign, lambda g, y, a: np.where(a == 0, 0, g * (y / a)), lambda g: np.zeros_like(g))
# At a tie both operands of maximum and minimum get half; of fmax and fmin, the first gets all.
binary(
    np.maximum,
    lambda g, a, b: np.where(a < b, 0, np.where(a == b, g / 2, g)),
    lambda g, a, b: np.where(b < a, 0, np.where(a == b, g / 2, g)),
)
binary(
    np.minimum,
    lambda g, a, b: np.where(a > b, 0, np.where(a == b, g / 2, g)),
    lambda g, a, b: np.where(b > a, 0, np.where(a == b, g / 2, g)),
)
binary(
    np.fmax,
    lambda g, a, b: np.where((a >= b) | np.isnan(b), g, 0),
    lambda g, a, b: np.where((a >= b) | np.isnan(b), 0, g),
)
binary(
    np.fmin,
    lambda g, a, b: np.where((a <= b) | np.isnan(b), g, 0),
    lambda g, a, b: np.where((a <= b) | np.isnan(b), 0, g),
)
derivative(
    np.clip,  # by position the bounds are a_min and a_max, by keyword also min and max; at a bound the gradient passes
    "a a_min a_max !out * min max",
    a=lambda g, a, a_min=None, a_max=None, min=None, max=None: np.where(
        pull.within(a, pull.given(a_min, min, -np.inf), pull.given(a_max, max, np.inf)), g, 0
    ),
    a_min=lambda g, a, a_min, a_max=np.inf: np.where((a < a_min) & (a_min < pull.given(a_max, np.inf)), g, 0),
    min=lambda g, a, min, max=np.inf: np.where((a < min) & (min < pull.given(max, np.inf)), g, 0),
    a_max=lambda g, a, a_max, a_min=-np.inf: np.where((a > a_max) | (a_max < pull.given(a_min, -np.inf)), g, 0),
    max=lambda g, a, max, min=-np.inf: np.where((a > max) | (max < pull.given(min, -np.inf)), g, 0),
)
derivative(
    np.where,
    "condition x y",
    x=lambda g, condition: np.where(condition, g, 0),
    y=lambda g, condition: np.where(condition, 0, g),
)

derivative(
    np.full_like,
    "a fill_value dtype order subok shape * device",
    a=lambda g, shape: np.zeros(shape, g.dtype),
    fill_value=lambda g, shape: g.reshape((1,) * (len(shape) - g.ndim) + g.shape),  # NumPy leaves leading ones out
)

# Reductions

derivative(np.sum, "a axis !dtype !out keepdims !initial !where", a=pull.spread)
derivative(
    np.mean,
    "a axis !dtype !out keepdims * !where",
    a=lambda g, shape, axis=None, keepdims=False: pull.spread(g / pull.count(shape, axis), shape, axis, keepdims),
)
derivative(np.var, "a axis !dtype !out ddof keepdims * !where !mean correction", a=pull.variance)
derivative(np.std, "a axis !dtype !out ddof keepdims * !where !mean correction", a=pull.deviation)
derivative(np.prod, "a axis !dtype !out keepdims !initial !where", a=pull.product)
for _extremum in (np.max, np.min, np.amax, np.amin):
    derivative(_extremum, "a axis !out keepdims !initial !where", a=pull.extremum)
derivative(np.cumsum, "a axis !dtype !out", a=pull.reverse_cumsum)
derivative(np.linalg.norm, "x ord axis keepdims", pull.refuse_norm, x=pull.norm)
composite(
    np.nansum, "a axis !dtype !out keepdims !initial !where", lambda a, **o: np.sum(np.where(np.isnan(a), 0, a), **o)
)
composite(np.ptp, "a axis !out keepdims", lambda a, **o: np.max(a, **o) - np.min(a, **o))

# Shapes

derivative(np.reshape, f"a {pull.RESHAPE_NAMES} !order=C * !copy", a=lambda g, shape: g.reshape(shape))
derivative(np.ravel, "a !order=C", a=lambda g, shape: g.reshape(shape))
derivative(np.squeeze, "a axis", a=lambda g, shape: g.reshape(shape))
derivative(np.expand_dims, "a axis", a=lambda g, shape: g.reshape(shape))
derivative(np.transpose, "a axes", a=lambda g, axes=None: g.transpose(pull.inverse(axes)))
derivative(np.swapaxes, "a axis1 axis2", a=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
derivative(np.moveaxis, "a source destination", a=lambda g, source, destination: np.moveaxis(g, destination, source))
derivative(np.broadcast_to, "array shape !subok=False", array=lambda g: g)
derivative(np.flip, "m axis", m=lambda g, axis=None: np.flip(g, axis))
derivative(np.roll, "a shift axis", a=lambda g, shift, axis=None: np.roll(g, np.negative(shift), axis))
derivative(np.rot90, "m k axes", m=lambda g, k=1, axes=(0, 1): np.rot90(g, -k, axes))
derivative(np.repeat, "a repeats axis", a=pull.unrepeat)
derivative(np.tile, "A reps", A=pull.untile)
derivative(
    np.pad,
    "array pad_width mode * constant_values !stat_length !end_values !reflect_type=even",
    pull.refuse_pad,
    array=pull.unpad,
)
composite(np.fliplr, "m", lambda m: np.flip(m, 1))
composite(np.flipud, "m", lambda m: np.flip(m, 0))
composite(np.atleast_1d, "*arys", lambda arys: pull.each(arys, pull.at_least_1d))
composite(np.atleast_2d, "*arys", lambda arys: pull.each(arys, pull.at_least_2d))
composite(np.atleast_3d, "*arys", lambda arys: pull.each(arys, pull.at_least_3d))

# Joining and splitting

derivative(np.concatenate, "[arrays] axis !out * !dtype !casting=same_kind", arrays=pull.join)
composite(
    np.stack,
    "arrays axis !out * !dtype !casting=same_kind",
    lambda arrays, axis=0: np.concatenate([np.expand_dims(x, axis) for x in arrays], axis),
)
composite(
    np.vstack, "tup * !dtype !casting=same_kind", lambda tup: np.concatenate([pull.at_least_2d(x) for x in tup], 0)
)
composite(
    np.hstack,
    "tup * !dtype !casting=same_kind",
    lambda tup: np.concatenate([pull.at_least_1d(x) for x in tup], 0 if np.ndim(tup[0]) <= 1 else 1),
)
composite(np.dstack, "tup", lambda tup: np.concatenate([pull.at_least_3d(x) for x in tup], 2))
composite(np.column_stack, "tup", lambda tup: np.concatenate([pull.as_columns(x) for x in tup], 1))
composite(
    np.append,
    "arr values axis",
    lambda arr, values, axis=None: np.concatenate(
        [np.ravel(arr), np.ravel(values)] if axis is None else [arr, values], axis or 0
    ),
)
for _split in (np.split, np.array_split):
    derivative(_split, "ary indices_or_sections axis", ary=pull.unsplit)
for _along, _axis, _least in ((np.hsplit, 1, 1), (np.vsplit, 0, 2), (np.dsplit, 2, 3)):
    composite(_along, "ary indices_or_sections", partial(pull.split_along, _along.__name__, _axis, _least))

# Indexing and sorting

derivative(operator.getitem, "x index", x=pull.scatter)
derivative(np.take, "a indices axis !out !mode=raise", a=pull.untake)
derivative(np.take_along_axis, "arr indices axis", arr=pull.untake_along_axis)
derivative(np.sort, "a axis kind !order * stable", a=pull.unsort)
derivative(np.tril, "m k", m=lambda g, k=0: np.tril(g, k))
derivative(np.triu, "m k", m=lambda g, k=0: np.triu(g, k))
derivative(np.diagonal, "a offset axis1 axis2", a=pull.undiagonal)
derivative(
    np.diag,
    "v k",
    v=lambda g, shape, k=0: np.diagonal(g, k) if len(shape) == 1 else pull.undiagonal(g, shape, k),
)
composite(
    np.trace,
    "a offset axis1 axis2 !dtype !out",
    lambda a, offset=0, axis1=0, axis2=1: np.sum(np.diagonal(a, offset, axis1, axis2), -1),
)
composite(np.diff, "a n axis !prepend !append", pull.diff)

# Products

binary(np.matmul, pull.matmul_left, pull.matmul_right)
derivative(np.tensordot, "a b axes", a=pull.tensordot_left, b=pull.tensordot_right)
composite(np.dot, "a b !out", lambda a, b: pull.contract(a, b, -2))
composite(np.inner, "a b", lambda a, b: pull.contract(a, b, -1))
composite(np.vdot, "a b", lambda a, b: np.tensordot(np.ravel(a), np.ravel(b), 1))
derivative(
    np.outer,
    "a b !out",
    a=lambda g, b, shape: weighted_rows(np.ravel(b), g.T).reshape(shape),
    b=lambda g, a, shape: weighted_rows(np.ravel(a), g).reshape(shape),
)
derivative(
    np.einsum,
    "subscripts *operands optimize !out !dtype !order=K !casting=safe",
    pull.refuse_einsum,
    operands=pull.einsum,
)

# Without a gradient: the result does not change when an operand changes a little, or is no number

COMPARISONS: list[Callable[..., Any]] = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]
COMPARISONS += [np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor]
TESTS: list[Callable[..., Any]] = [np.logical_not, np.invert, np.isnan, np.isinf, np.isfinite, np.signbit]
PLACES: list[Callable[..., Any]] = [np.nonzero, np.flatnonzero, np.argwhere, np.shape, np.ndim]
GRADIENTLESS: list[tuple[Sequence[Callable[..., Any]], str]] = [
    (COMPARISONS, "a b"),
    (TESTS, "x"),
    (PLACES, "a"),
    ([np.size], "a axis"),
    ([np.any, np.all], "a axis !out keepdims * !where"),
    ([np.argmax, np.argmin], "a axis !out * keepdims"),
    ([np.argsort], "a axis kind !order * stable"),
    ([np.searchsorted], "a v side sorter"),
    ([np.count_nonzero], "a axis * keepdims"),
    ([np.zeros_like, np.ones_like], "a dtype order subok shape * device"),
    ([np.empty_like], "prototype dtype order subok shape * device"),
    ([np.isclose, np.allclose], "a b rtol atol equal_nan"),
    ([np.array_equal], "a1 a2 equal_nan"),
    ([np.result_type], "*arrays_and_dtypes"),
    ([np.iscomplexobj, np.isrealobj], "x"),
]
for _functions, _names in GRADIENTLESS:
    for _function in _functions:
        derivative(_function, _names)
