"""Strategies of calls that index or sort."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.rows import Call
from conformance.strategies.arrays import NASTY, Shape, floats, shapes
from conformance.strategies.axes import axis_or_flat, two_axes
from conformance.strategies.calls import NUMPY_2
from conformance.strategies.coverage import Draw, Purposeful, among, between, mark, pick, purposeful


def indices_of(shape: Shape) -> Purposeful:
    """Indices that are valid along every axis, some of them repeated."""
    drawn = st.lists(st.integers(0, min(shape) - 1), max_size=5).map(lambda at: np.array(at, np.int64))
    labels = (": none", ": one twice", ": each once")
    return purposeful(drawn, labels, lambda at: [labels[0 if not at.size else 1 + (np.unique(at).size == at.size)]])


def indices_along_the_last(shape: Shape) -> Purposeful:
    """Three indices for each vector along the last axis."""

    def drawn(seed: int) -> Any:
        return np.random.default_rng(seed).integers(0, shape[-1], (*shape[:-1], 3))

    def labels(at: Any) -> list[str]:
        return [": one twice"] if (at[..., 0] == at[..., 1]).any() else []

    return purposeful(st.integers(0, 99).map(drawn), [": one twice"], labels)


@st.composite
def diagonals(draw: Draw) -> Call:
    """An operand, two of its axes, and the offset of the diagonal."""
    shape = draw(shapes(2, 4))
    axis1, axis2 = pick(draw, "axes", two_axes(shape))
    offset = pick(draw, "offset", between(-2, 2))
    return Call({"x": draw(floats(shape, NASTY))}, {"offset": offset, "axis1": axis1, "axis2": axis2})


@st.composite
def sorts(draw: Draw) -> Call:
    """An operand, an axis, and the sorting method: by ``kind`` or by ``stable``."""
    shape = draw(shapes(1, 4))
    options = {"axis": pick(draw, "axis", axis_or_flat(shape))}
    way = pick(draw, "way", among("as it comes", "kind", *(["stable"] if NUMPY_2 else [])))
    if way == "kind":
        options["kind"] = pick(draw, "kind", among("quicksort", "heapsort", "stable"))
    elif way == "stable":
        options["stable"] = pick(draw, "stable", among(False, True))
    return Call({"x": draw(floats(shape, NASTY))}, options)


@st.composite
def indexed(draw: Draw) -> Call:
    """An operand and an index: integers, slices, None, Ellipsis, arrays and masks."""
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
    if draw(st.booleans()):
        parts = [p.tolist() if isinstance(p, np.ndarray) and p.dtype != bool else p for p in parts]
    index: Any = parts[0] if len(parts) == 1 else tuple(parts)
    if draw(st.integers(0, 5)) == 0:
        index = rng.random(shape) < 0.5  # one mask of all axes
    mark((f"index: {form}" for form in INDICES), (f"index: {form}" for form in _forms(index, len(shape))))
    return Call({"x": draw(floats(shape, NASTY))}, {"index": index})


INDICES = (
    "a number", "from the back", "a slice", "a slice with steps", "a slice backwards", "an array", "two arrays",
    "a list", "a list with an element twice", "a mask", "a mask of all axes", "None", "Ellipsis", "fewer than the axes",
)  # fmt: skip


def _forms(index: Any, axes: int) -> Iterable[str]:
    parts = index if isinstance(index, tuple) else (index,)
    numbers = [p for p in parts if isinstance(p, int)]
    steps = [p.step for p in parts if isinstance(p, slice)]
    lists = [p for p in parts if isinstance(p, list)]
    arrays = [p for p in parts if isinstance(p, np.ndarray)] + list(map(np.array, lists))
    masks = [p for p in arrays if p.dtype == bool]
    examples = {
        "a number": numbers,
        "from the back": [n for n in numbers if n < 0],
        "a slice": steps,
        "a slice with steps": [s for s in steps if s == 2],
        "a slice backwards": [s for s in steps if s is not None and s < 0],
        "an array": [a for a in arrays if a.dtype != bool],
        "two arrays": arrays[1:],
        "a list": lists,
        "a list with an element twice": [p for p in lists if len(set(p)) < len(p)],
        "a mask": masks,
        "a mask of all axes": [m for m in masks if m.ndim == axes > 1],
        "None": [p for p in parts if p is None],
        "Ellipsis": [p for p in parts if p is Ellipsis],
        "fewer than the axes": len(numbers) + len(steps) + sum(a.ndim if a.dtype == bool else 1 for a in arrays) < axes,
    }
    return [form for form in INDICES if examples[form]]
