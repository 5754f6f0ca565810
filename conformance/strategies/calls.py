"""Strategies of function calls: operands and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.rows import Call
from conformance.strategies.arrays import LAYOUTS, NASTY, ORDINARY, Shape, floats, shapes
from conformance.strategies.axes import axes_of, axis_or_flat
from conformance.strategies.coverage import Draw, Purposeful, Strategy, among, likely, mark, pick
from numpyml.typing import Array

Option = Purposeful | Callable[[Shape], Purposeful]

NUMPY_2 = int(np.__version__.split(".")[0]) >= 2  # NumPy 1 lacks some of the options
NUMPY_2_1 = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 1)

nonempty = shapes(1, 4, 1)
matrices = shapes(2, 4)
between_axes = shapes(3, 3, 2, 9)


def _options(draw: Draw, options: Mapping[str, Option], shape: Shape) -> dict[str, Any]:
    strategies = {name: s if isinstance(s, Purposeful) else s(shape) for name, s in options.items()}
    return {name: pick(draw, name, strategy) for name, strategy in strategies.items()}


@st.composite
def on(
    draw: Draw,
    /,
    shape_of: Strategy[Shape] | None = None,
    kinds: Sequence[str] = NASTY,
    into: Callable[[Any], Any] | None = None,
    layouts: Sequence[str] = LAYOUTS,
    **options: Option,
) -> Call:
    """One operand; an option is a strategy, or a function that returns one for the operand's shape."""
    shape = draw(shapes() if shape_of is None else shape_of)
    x = draw(floats(shape, kinds, into=into, layouts=layouts))
    return Call({"x": x}, _options(draw, options, shape))


FEWER = "of fewer axes"
MIDDLE = "broadcast between two axes"  # a gradient is summed over rows of several arrays
NUMBER = ": a Python number"  # an operand without axes, if another has some and it is not a Tensor


@st.composite
def two(draw: Draw, kinds: Sequence[str]) -> Call:
    """Two operands whose shapes broadcast."""
    shape = draw(shapes(0, 4))
    others = {
        "broadcast": tuple(1 if draw(st.booleans()) else n for n in shape),
        FEWER: shape[draw(st.integers(0, len(shape))) :],
        MIDDLE: shape,
        "of one shape": shape,
    }
    way = draw(st.sampled_from(likely(sorted(others), lambda way: [f"operands {way}", *[NUMBER] * (way == FEWER)])))
    first, second = shape, others[way]
    if way == MIDDLE:
        first = draw(between_axes)
        second = (first[0], 1, first[2])
    reached = FEWER if len(second) < len(first) else "of one shape" if first == second else "broadcast"
    mark((f"operands {way}" for way in others), [f"operands {MIDDLE if way == MIDDLE else reached}"])
    if draw(st.booleans()):
        first, second = second, first
    a, b = draw(floats(first, kinds)), draw(floats(second, kinds))
    mark([ORIGIN], [ORIGIN] * bool(((a.values == 0) & (b.values == 0)).any()))
    return Call({"a": a, "b": b})


# Labels of singular points of quotients, powers and norms. They end as the labels of zeros do, so that a search for
# them draws zeros: see likely.
ORIGIN = "both operands: 0"
NOTHING = "all of a vector: 0"


def quotients() -> Strategy[Call]:
    """Two operands to divide: extreme ones, or infinite ones; see the remark of remainder.

    None is subnormal: whether a sum of very large quotients overflows depends on its order.
    """
    extreme = [kind for kind in NASTY if kind not in ("infinite", "subnormal")]
    return two(extreme) | two([*ORDINARY, "infinite", "nan"])


@st.composite
def powers(draw: Draw) -> Call:
    """A base and an exponent, without −∞ to a single exponent of 1/2: see the remark of power.

    Very large and infinite exponents are not broadcast: of a sum of such powers some overflow, so that it is NaN or not
    by the precision.
    Exponents that are multiples of 1/2, as in squares and square roots, are exact.
    """
    call = draw(two(NASTY))
    a, b = call.operands.values()
    assume(b.values.ndim or b.values.item() != 0.5 or not np.isneginf(a.values).any())
    assume(b.kind not in ("wide", "infinite") or a.values.shape == b.values.shape)
    return replace(call, operands={"a": a, "b": replace(b, exact=b.kind in ("ties", "signed zeros"))})


def factors(**options: Any) -> Strategy[Call]:
    """The operand of a product; of wide numbers, the product stays in float32's range in any order."""
    layouts = [layout for layout in LAYOUTS if layout != "broadcast"]
    usual = on(kinds=[kind for kind in NASTY if kind != "wide"], **options)
    return usual | on(kinds=["wide"], into=tempered, layouts=layouts, **options)


def tempered(x: Array) -> Array:
    """The first large and the first small numbers whose products stay in range; the others become ±1."""
    size = np.log10(np.abs(x))
    y = np.array(np.sign(x))
    for side in (size > 0, size < 0):
        in_range = side & (np.abs(np.cumsum(np.where(side, size, 0)).reshape(x.shape)) < 36)
        y[in_range] = x[in_range]
    return y


VANISHING = ("subnormal", "tiny")


def squared(shape: Shape, kinds: Sequence[str], axis: int | tuple[int, ...] | None) -> Strategy[Input]:
    """An array for sums of squares. Tiny numbers begin with 1/2 along the axes, since their squares alone sum to 0."""
    along = [
        i % len(shape) for i in ((axis,) if isinstance(axis, int) else range(len(shape)) if axis is None else axis)
    ]
    first = tuple(slice(0, 1) if i in along else slice(None) for i in range(len(shape)))

    def with_half(x: Array) -> Array:
        y = np.array(x)
        y[first] = 0.5
        return y

    usual = floats(shape, [kind for kind in kinds if kind not in VANISHING])
    return usual | floats(shape, VANISHING, into=with_half)


@st.composite
def several(draw: Draw, /, names: str, kinds: Sequence[str], **options: Option) -> Call:
    """Operands of one shape."""
    shape = draw(shapes(1, 3))
    operands = {name: draw(floats(shape, kinds)) for name in names.split()}
    return Call(operands, _options(draw, options, shape))


@st.composite
def clips(draw: Draw) -> Call:
    """An operand and one bound or both, with either of NumPy's names."""
    shape = draw(shapes(1, 3))
    bounds = pick(draw, "bounds", among("low high", "low", "high"))
    spelled = pick(draw, "spelling", among("a_min a_max", *(["min max"] if NUMPY_2_1 else [])))
    names = ["a", *bounds.split()]
    return Call({name: draw(floats(shape, NASTY)) for name in names}, {"bounds": bounds, "spelling": spelled})


@st.composite
def spreads(draw: Draw) -> Call:
    """An operand, axes, and the correction of the degrees of freedom, with either of NumPy's names."""
    shape = draw(shapes(1, 4, 2))
    named = pick(draw, "less", among(*["ddof", "correction"][: 1 + NUMPY_2]))
    options = _options(draw, {"axis": axes_of, "keepdims": among(False, True), named: among(0, 1)}, shape)
    return Call({"x": draw(squared(shape, NASTY, options["axis"]))}, options)


@st.composite
def where(draw: Draw) -> Call:
    """Two operands and a condition whose shapes broadcast."""
    call = draw(two(NASTY))
    a, b = call.operands.values()
    shape = np.broadcast_shapes(a.values.shape, b.values.shape)
    condition = np.random.default_rng(draw(st.integers(0, 99))).random(shape[draw(st.integers(0, len(shape))) :]) < 0.5
    mark(["condition broadcast"], ["condition broadcast"] * (condition.ndim < len(shape)))
    return Call({"x": a, "y": b}, {"condition": condition})


@st.composite
def norms(draw: Draw) -> Call:
    """A norm over one axis (vectors) or all of them."""
    shape = draw(shapes(1, 3, 1))
    axis = pick(draw, "axis", axis_or_flat(shape))
    orders: list[Any] = [None]
    if axis is not None or len(shape) == 1:
        orders += [1, 2, 3, np.inf, -np.inf, 0.5, 2.5]
    order = pick(draw, "ord", among(*orders))
    kinds = list(NASTY)
    if order in (np.inf, -np.inf):
        kinds.remove("nan")  # see the remarks of linalg.norm
    if order in (2.5, 3):
        kinds.remove("wide")
    options = {"ord": order, "axis": axis, "keepdims": pick(draw, "keepdims", among(False, True))}
    x = draw(squared(shape, kinds, axis))
    mark([NOTHING], [NOTHING] * bool((x.values == 0).all(axis).any()))
    return Call({"x": x}, options)
