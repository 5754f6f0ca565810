"""Strategies of calls that reshape, repeat, pad and split arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.rows import Call
from conformance.strategies.arrays import LAYOUTS, NASTY, Shape, floats, shapes
from conformance.strategies.axes import axes_of, axis_of, axis_or_flat
from conformance.strategies.calls import nonempty
from conformance.strategies.coverage import Draw, Purposeful, among, between, mark, pick, purposeful


@lru_cache(256)
def reversed_shape(shape: Shape) -> Purposeful:
    """The lengths in reverse order, and one axis more."""
    return purposeful(st.just((*shape[::-1], 1)), (), lambda shape: ())


tilings = purposeful(
    st.lists(st.integers(0, 3), max_size=4).map(tuple),
    ("=()", ": 0 times", ": 3 times", ": new axes"),
    lambda reps: [
        label for label, holds in
        {"=()": not reps, ": 0 times": 0 in reps, ": 3 times": 3 in reps, ": new axes": len(reps) == 4}.items() if holds
    ],
)  # fmt: skip


@st.composite
def broadcasts(draw: Draw) -> Call:
    """An operand and a shape that it broadcasts to."""
    shape = draw(shapes(0, 4))
    start = draw(st.integers(0, len(shape)))
    own = tuple(1 if draw(st.integers(0, 3)) == 3 else n for n in shape[start:])
    ways = {"x: stretched": own != shape[start:], "x: of fewer axes": start > 0}
    mark(ways, (way for way, met in ways.items() if met))
    return Call({"x": draw(floats(own, NASTY))}, {"shape": shape})


@st.composite
def shifts(draw: Draw) -> Call:
    """An operand and a shift, or a shift for each of several axes."""
    shape = draw(shapes(1, 4))
    axis = pick(draw, "axis", axes_of(shape))
    by = between(-4, 4)
    shift = draw(st.tuples(*[by] * len(axis))) if isinstance(axis, tuple) else pick(draw, "shift", by)
    return Call({"x": draw(floats(shape, NASTY))}, {"shift": shift, "axis": axis})


ALONG_THE_LAST = "repeats: other numbers for each along the last of three axes or more"


@st.composite
def repeats(draw: Draw) -> Call:
    """An operand and its repeats: one number, or one for each element of the axis."""
    shape = draw(shapes(1, 4))
    axis = pick(draw, "axis", axis_or_flat(shape))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    each = st.lists(st.integers(0, 3), min_size=n, max_size=n).map(tuple)
    labels = ("=0", "=3", ": one for each")
    repeats = purposeful(st.integers(0, 3) | each, labels, lambda k: [f"={k}" if isinstance(k, int) else labels[2]])
    chosen = pick(draw, "repeats", repeats)
    inner = axis is not None and len(shape) > 2 and axis % len(shape) == len(shape) - 1 and isinstance(chosen, tuple)
    several = bool(np.prod(shape)) and len({*chosen}) > 1 if inner else False
    mark([ALONG_THE_LAST], [ALONG_THE_LAST] * several)
    return Call({"x": draw(floats(shape, NASTY))}, {"repeats": chosen, "axis": axis})


@st.composite
def pads(draw: Draw) -> Call:
    """An operand, the padding on both sides of each axis, and the mode."""
    shape = draw(shapes(1, 3, 2))
    mode = pick(draw, "mode", among(*PAD_MODES))
    width = st.integers(0, 3 if mode == "constant" else 1)
    pad_width = tuple(draw(st.tuples(width, width)) for _ in shape)
    options: dict[str, Any] = {"pad_width": pad_width, "mode": mode}
    if mode == "constant":
        options["constant_values"] = pick(draw, "constant_values", among(0.0, 1.5, -np.inf))
    return Call({"x": draw(floats(shape, NASTY))}, options)


PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


@st.composite
def sections(draw: Draw, even: bool = False) -> Call:
    """An operand, an axis, and indices to split at or a number of pieces."""
    shape = draw(nonempty)
    axis = pick(draw, "axis", axis_of(shape))
    return Call({"x": draw(floats(shape, NASTY))}, {"cuts": draw(cuts(shape[axis], even)), "axis": axis})


@st.composite
def sections_along(draw: Draw, axis: int) -> Call:
    """An operand, and indices to split at or a number of pieces along this axis."""
    shape = draw(shapes((2, 1, 3)[axis], 4, 1))
    along = 0 if len(shape) == 1 else axis  # hsplit splits a vector along its only axis
    return Call({"x": draw(floats(shape, NASTY))}, {"cuts": draw(cuts(shape[along], True))})


@st.composite
def cuts(draw: Draw, n: int, even: bool) -> Any:
    """Indices to split n elements at, or a number of pieces; ``even``: of equal size."""
    most = min(n, 33)  # each piece is an output
    pieces = st.sampled_from([k for k in range(1, most + 1) if n % k == 0]) if even else st.integers(1, most + 1)
    at = st.lists(st.integers(0, n), max_size=3)
    labels = (": so many pieces", ": at these positions", ": at none", ": at positions out of order")

    def reached(c: Any) -> list[str]:
        if isinstance(c, int):
            return [labels[0]]
        return [labels[1 if c else 2], *[labels[3]] * (list(c) != sorted(c))]

    return pick(draw, "cuts", purposeful(pieces | at.map(sorted) | at, labels if n else labels[:3], reached))


@st.composite
def fills(draw: Draw) -> Call:
    """An array, and a fill value."""
    shape = draw(shapes(1, 3))
    layouts = [layout for layout in LAYOUTS if layout != "fortran"]  # it needs two axes
    value = draw(floats(draw(st.sampled_from([(), shape[-1:]])), NASTY, layouts=layouts))
    mark(["fill_value: 0 axes", "fill_value: 1 axis"], [f"fill_value: {('0 axes', '1 axis')[value.values.ndim]}"])
    another = (2, *shape[-1:])
    options = {"order": among("K", "C", "F"), "subok": among(True, False), "shape": among(None, another)}
    chosen = {name: draw(strategy) for name, strategy in options.items()}
    labels = ["shape: another", "order=F"]
    mark(labels, [label for label, met in zip(labels, (chosen["shape"], chosen["order"] == "F"), strict=True) if met])
    return Call({"a": draw(floats(shape, ("ordinary",))), "fill_value": value}, chosen)
