"""How functions may be called: strategies of operands and options, for the rows of functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn as Draw

from conformance.rows import Call
from conformance.strategies import EXTREME, LAYOUTS, NASTY, Shape, Strategy, floats, shapes

Option = Strategy[Any] | Callable[[Shape], Strategy[Any]]

nonempty = shapes(1, 4, 1)
matrices = shapes(2, 4)


def _option(draw: Draw, option: Option, shape: Shape) -> Any:
    return draw(option if isinstance(option, st.SearchStrategy) else option(shape))


@st.composite
def on(
    draw: Draw,
    /,
    shape_of: Strategy[Shape] | None = None,
    kinds: Sequence[str] = EXTREME,
    into: Callable[[Any], Any] | None = None,
    low: float = -np.inf,
    high: float = np.inf,
    layouts: Sequence[str] = LAYOUTS,
    **options: Option,
) -> Call:
    """One operand; an option is a strategy, or a function from the operand's shape to one."""
    shape = draw(shapes() if shape_of is None else shape_of)
    x = draw(floats(shape, kinds, low, high, into, layouts))
    return Call({"x": x}, {name: _option(draw, option, shape) for name, option in options.items()})


@st.composite
def two(draw: Draw, kinds: Sequence[str]) -> Call:
    """Two operands whose shapes broadcast."""
    shape = draw(shapes(0, 4))
    others = [tuple(1 if draw(st.booleans()) else n for n in shape), shape[draw(st.integers(0, len(shape))) :], shape]
    first, second = shape, draw(st.sampled_from(others))
    if draw(st.booleans()):
        first, second = second, first
    return Call({"a": draw(floats(first, kinds)), "b": draw(floats(second, kinds))})


@st.composite
def several(draw: Draw, /, names: str, kinds: Sequence[str], **options: Option) -> Call:
    """A few operands of one shape."""
    shape = draw(shapes(1, 3))
    operands = {name: draw(floats(shape, kinds)) for name in names.split()}
    return Call(operands, {name: _option(draw, option, shape) for name, option in options.items()})


def axis_of(shape: Shape) -> Strategy[int]:
    """One of the axes, from the front or from the back."""
    return st.integers(-len(shape), len(shape) - 1)


def axis_or_flat(shape: Shape) -> Strategy[int | None]:
    """One of the axes, or None."""
    return st.none() | axis_of(shape) if shape else st.none()


def axes_of(shape: Shape) -> Strategy[Any]:
    """None, one axis, or several."""
    if not shape:
        return st.none()
    every = st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple)
    return st.none() | axis_of(shape) | every


def extra_axes(shape: Shape) -> Strategy[int]:
    """A place for a new axis."""
    return st.integers(-len(shape) - 1, len(shape))


@st.composite
def where(draw: Draw) -> Call:
    """Two operands and a condition, all of which broadcast."""
    call = draw(two(NASTY))
    a, b = call.operands.values()
    shape = np.broadcast_shapes(a.values.shape, b.values.shape)
    condition = np.random.default_rng(draw(st.integers(0, 99))).random(shape[draw(st.integers(0, len(shape))) :]) < 0.5
    return Call({"x": a, "y": b}, {"condition": condition})


@st.composite
def fills(draw: Draw) -> Call:
    """A value to fill with, and an array that tells the shape."""
    shape = draw(shapes(1, 3))
    value = draw(floats(draw(st.sampled_from([(), shape[-1:]])), NASTY))
    return Call({"a": draw(floats(shape, ("ordinary",))), "fill_value": value})


@st.composite
def broadcasts(draw: Draw) -> Call:
    """An operand and a shape that it broadcasts to."""
    shape = draw(shapes(0, 4))
    start = draw(st.integers(0, len(shape)))
    own = tuple(1 if draw(st.booleans()) else n for n in shape[start:])
    return Call({"x": draw(floats(own, NASTY))}, {"shape": shape})


@st.composite
def shifts(draw: Draw) -> Call:
    """An operand to roll, by one shift or by one for each of several axes."""
    shape = draw(shapes(1, 4))
    axis = draw(axes_of(shape))
    by = st.integers(-4, 4)
    shift = draw(st.tuples(*[by] * len(axis)) if isinstance(axis, tuple) else by)
    return Call({"x": draw(floats(shape, NASTY))}, {"shift": shift, "axis": axis})


@st.composite
def repeats(draw: Draw) -> Call:
    """An operand, and how often: one number, or one for each element of the axis."""
    shape = draw(shapes(1, 4))
    axis = draw(axis_or_flat(shape))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    how_often = draw(st.integers(0, 3) | st.lists(st.integers(0, 3), min_size=n, max_size=n).map(tuple))
    return Call({"x": draw(floats(shape, NASTY))}, {"repeats": how_often, "axis": axis})


@st.composite
def pads(draw: Draw) -> Call:
    """An operand and how far to pad it on either side of each axis."""
    shape = draw(shapes(1, 3, 2))
    mode = draw(st.sampled_from(PAD_MODES))
    width = st.integers(0, 3 if mode == "constant" else 1)
    pad_width = tuple(draw(st.tuples(width, width)) for _ in shape)
    return Call({"x": draw(floats(shape, NASTY))}, {"pad_width": pad_width, "mode": mode})


PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


@st.composite
def sections(draw: Draw, even: bool = False) -> Call:
    """An operand, and where to cut it or into how many pieces."""
    shape = draw(nonempty)
    axis = draw(axis_of(shape))
    n = shape[axis]
    pieces = st.sampled_from([k for k in range(1, n + 1) if n % k == 0]) if even else st.integers(1, n + 1)
    at = st.lists(st.integers(0, n), max_size=3).map(sorted)
    return Call({"x": draw(floats(shape, NASTY))}, {"cuts": draw(pieces | at), "axis": axis})


@st.composite
def indexed(draw: Draw) -> Call:
    """An operand and an index of every form: numbers, slices, None, Ellipsis, lists, masks."""
    shape = draw(shapes(1, 4, 1))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    parts: Any = []
    for n in shape[: draw(st.integers(1, len(shape)))]:
        slices = st.builds(slice, *[st.none() | st.integers(-n, n)] * 2, st.sampled_from([None, 1, 2, -1, -2]))
        form: str = draw(st.sampled_from(["number", "slice", "slice", "array", "mask"]))
        parts.append(
            draw(st.integers(-n, n - 1)) if form == "number"
            else draw(slices) if form == "slice"
            else rng.integers(-n, n, 3) if form == "array"
            else np.arange(n) % 3 == 0 if not any(isinstance(p, np.ndarray) for p in parts)
            else slice(None)
        )  # fmt: skip
    arrays = [p for p in parts if isinstance(p, np.ndarray)]
    if any(p.dtype == bool for p in arrays) and len(arrays) > 1:
        parts = [slice(None) if isinstance(p, np.ndarray) and p.dtype == bool else p for p in parts]
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), None)
    if parts and draw(st.booleans()):
        parts.append(Ellipsis)
    index: Any = parts[0] if len(parts) == 1 else tuple(parts)
    if draw(st.integers(0, 5)) == 0:
        index = rng.random(shape) < 0.5  # one mask for everything
    return Call({"x": draw(floats(shape, NASTY))}, {"index": index})


@st.composite
def norms(draw: Draw) -> Call:
    """A norm over one axis (vectors) or all of them."""
    shape = draw(shapes(1, 3, 1))
    axis = draw(st.none() | axis_of(shape))
    orders: list[Any] = [None]
    if axis is not None or len(shape) == 1:
        orders += [1, 2, 3, np.inf, -np.inf, 0.5, 2.5]
    order = draw(st.sampled_from(orders))
    kinds = ("ordinary", "signed zeros", "ties") if order in (None, 1, 2) else ("ordinary",)
    options = {"ord": order, "axis": axis, "keepdims": draw(st.booleans())}
    return Call({"x": draw(floats(shape, kinds))}, options)


@st.composite
def products(draw: Draw, form: str) -> Call:
    """Two operands of a matrix product: vectors, matrices and batches of them."""
    m, n, k = (draw(st.integers(0, 5)) for _ in range(3))
    batch = draw(shapes(0, 2, 0, 3)) if form == "matmul" else draw(shapes(0, 1, 0, 3))
    left = draw(st.sampled_from([(n,), (m, n), (*batch, m, n)]))
    if form == "inner":
        right = draw(st.sampled_from([(n,), (k, n)]))
    else:
        other = tuple(1 if draw(st.booleans()) else b for b in batch)
        right = draw(st.sampled_from([(n,), (n, k), (*other, n, k)]))
    return Call({"a": draw(floats(left)), "b": draw(floats(right))})


@st.composite
def tensordots(draw: Draw) -> Call:
    """Two operands and the axes over which they are summed: how many, or which."""
    shared = draw(shapes(1, 2, 1, 4))
    a, b = (*draw(shapes(0, 2, 0, 3)), *shared), (*shared, *draw(shapes(0, 2, 0, 3)))
    axes: Any = len(shared)
    if draw(st.booleans()):
        axes = ([len(a) - len(shared) + i for i in range(len(shared))], list(range(len(shared))))
    return Call({"a": draw(floats(a)), "b": draw(floats(b))}, {"axes": axes})


EINSUMS = {
    "ij,jk->ik": "ij jk",
    "ij,kj": "ij kj",
    "bij,bjk->bik": "bij bjk",
    "i,i->": "i i",
    "i,j->ij": "i j",
    "ij->ji": "ij",
    "ijk->i": "ijk",
    "bhqd,bhkd->bhqk": "bhqd bhkd",
    "ij,ij->i": "ij ij",
    "ij,j,i->": "ij j i",
    "ij,jk,kl->il": "ij jk kl",
}


@st.composite
def einsums(draw: Draw) -> Call:
    """An expression of the usual kinds, and operands that fit it."""
    subscripts = draw(st.sampled_from(sorted(EINSUMS)))
    lengths = {letter: draw(st.integers(0, 4)) for letter in sorted(set(EINSUMS[subscripts]) - {" "})}
    operands = {
        f"x{i}": draw(floats(tuple(lengths[letter] for letter in letters)))
        for i, letters in enumerate(EINSUMS[subscripts].split())
    }
    return Call(operands, {"subscripts": subscripts})
