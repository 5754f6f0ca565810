"""Strategies of arrays: shapes, kinds of values (extreme and non-finite ones included) and memory layouts.

Hypothesis draws and shrinks shapes, kinds and layouts. The numbers come from a generator with a drawn seed, so that a
large array takes no more draws than a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from math import ceil, prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.strategies.coverage import Draw, Purpose, Purposeful, Strategy, likely, mark
from conformance.strategies.offered import kinds_inside, offered
from numpyml.typing import Array

Shape = tuple[int, ...]

# Kinds of values; a repeated kind is drawn more often.
ORDINARY = ("ordinary", "ordinary", "ties", "signed zeros")
EXTREME = (*ORDINARY, "wide", "subnormal", "tiny")
SATURATED = (*ORDINARY, "saturated")
NASTY = (*EXTREME, "infinite", "nan")
EVERY = (*NASTY, "saturated")
ONE_NUMBER = "one number"
LAYOUTS = ("C", "C", "strided", "fortran", "reversed", "broadcast", "unaligned")

VALUES: dict[str, Callable[[np.random.Generator, Shape], Array]] = {
    "ordinary": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 3, shape) * 0.5,
    "signed zeros": lambda rng, shape: rng.choice([0.0, -0.0, 1.0, -1.5], shape),
    "sparse": lambda rng, shape: np.where(
        rng.random(shape) < 0.4, rng.choice([0.0, -0.0], shape), rng.standard_normal(shape)
    ),
    "wide": lambda rng, shape: rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-30, 30, shape),
    "subnormal": lambda rng, shape: rng.choice([1e-40, -3e-42, 1e-38, 0.5], shape) * rng.uniform(0.5, 1, shape),
    "tiny": lambda rng, shape: rng.choice([1e-310, -3e-320, 2e-308, 0.5], shape) * rng.uniform(0.5, 1, shape),
    "saturated": lambda rng, shape: (
        rng.choice([1e4, -1e4, 30.0, -30.0, 100.0, 0.5], shape) * rng.uniform(0.9, 1, shape)
    ),
    "infinite": lambda rng, shape: rng.choice([np.inf, -np.inf, 1e4, 0.25, -0.75], shape),
    "nan": lambda rng, shape: np.where(rng.random(shape) < 0.2, np.nan, rng.standard_normal(shape)),
}


def _sizes(x: Array, low: float, high: float | np.floating[Any]) -> bool:
    return bool(((np.abs(x) > low) & (np.abs(x) < high)).any())


# The labels of each kind, and their tests on the array in the precision of the case.
KIND_TESTS: dict[str, dict[str, Callable[[Array], Any]]] = {
    "ordinary": {"ordinary": lambda x: x.size > 0},
    "ties": {"ties": lambda x: np.unique(x).size < x.size},
    "signed zeros": {"0": lambda x: _zeros(x, 1), "-0": lambda x: _zeros(x, -1)},
    "sparse": {"0": lambda x: _zeros(x, 1), "-0": lambda x: _zeros(x, -1)},
    "wide": {"up to 1e30": lambda x: _sizes(x, 1e20, np.inf), "down to 1e-30": lambda x: _sizes(x, 1e-33, 1e-20)},
    "subnormal": {"subnormal float32": lambda x: x.dtype == np.float32 and _sizes(x, 0, np.finfo(np.float32).tiny)},
    "tiny": {"subnormal float64": lambda x: x.dtype == np.float64 and _sizes(x, 0, np.finfo(np.float64).tiny)},
    "saturated": {"saturated": lambda x: _sizes(x, 25, np.inf)},
    "infinite": {"inf": lambda x: np.isposinf(x).any(), "-inf": lambda x: np.isneginf(x).any()},
    "nan": {"nan": lambda x: np.isnan(x).any()},
}
LAYOUT_TESTS: dict[str, Callable[[Array], Any]] = {
    "C": lambda x: x.flags.c_contiguous and x.flags.aligned,
    "strided": lambda x: any(s > x.itemsize for s in x.strides) and min(x.strides) > 0 and not _packed(x),
    "fortran": lambda x: x.flags.f_contiguous and not x.flags.c_contiguous,
    "reversed": lambda x: any(s < 0 for s, n in zip(x.strides, x.shape, strict=True) if n > 1),
    "broadcast": lambda x: any(s == 0 for s, n in zip(x.strides, x.shape, strict=True) if n > 1),
    "unaligned": lambda x: not x.flags.aligned,
    ONE_NUMBER: lambda x: x.size > 1 and not any(s for s, n in zip(x.strides, x.shape, strict=True) if n > 1),
}


def _zeros(x: Array, sign: int) -> Any:
    return ((x == 0) & (np.signbit(x) == (sign < 0))).any()


def _packed(x: Array) -> bool:
    return bool(x.flags.c_contiguous or x.flags.f_contiguous)


seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True, repr=False)
class Drawn(Input):
    """An array from a strategy with a purpose."""

    purpose: Purpose | None = None


@cache
def _purpose(kinds: tuple[str, ...], layouts: tuple[str, ...], low: float = -np.inf, high: float = np.inf) -> Purpose:
    outside = {"-0": low >= 0, "0": low > 0, "-inf": low > -np.inf, "inf": high < np.inf}
    tests = {
        kind: {
            name: test
            for name, (label, test) in zip(_labels(kind), KIND_TESTS[kind].items(), strict=True)
            if not outside.get(label)
        }
        for kind in kinds
    }

    def of(case: tuple[Input, Any]) -> list[str]:
        """The labels of its kind and layout that the array deserves; other kinds are not tested."""
        source, dtype = case
        with np.errstate(all="ignore"):
            x = laid_out(source.values.astype(dtype) if source.floating else source.values, source.layout)
        held = [label for label, test in tests.get(source.kind, {}).items() if test(x)]
        return [*held, _layout_label(source.layout)] if x.size and LAYOUT_TESTS[source.layout](x) else held

    return Purpose((*(label for kind in tests for label in tests[kind]), *map(_layout_label, layouts)), of)


def _labels(kind: str) -> list[str]:
    return [f": {label}" for label in KIND_TESTS[kind]]


def _layout_label(layout: str) -> str:
    return f": {layout} layout"


_growing: list[float] = []


@contextmanager
def growing(times: float) -> Iterator[None]:
    """Context manager: arrays with axes have ``times`` the usual largest number of elements, of the first kind.

    For functions that compute large arrays in blocks or by another method.
    """
    _growing.append(times)
    try:
        yield
    finally:
        _growing.pop()


def grows(below: float = np.inf) -> bool:
    """Whether large arrays are drawn, by a factor below this one."""
    return bool(_growing) and _growing[-1] < below


def _grown(shape: Shape, elements: int) -> Shape:
    """The shape, its longest axis extended to this number of elements; no axis is empty."""
    full = [max(n, 1) for n in shape]
    axis = int(np.argmax(full))
    full[axis] = ceil(elements * _growing[-1] * full[axis] / prod(full))
    return tuple(full)


class _Longer(Purposeful):
    """The strategy of :func:`longer`."""

    def __init__(self, strategy: Purposeful, number: int) -> None:
        super().__init__(strategy.strategy, strategy.purpose, strategy.words)
        self.number = number

    def do_draw(self, data: Any) -> Any:
        return self.number if _growing else super().do_draw(data)


def longer(strategy: Purposeful, number: int) -> Purposeful:
    """The strategy, or this number where large arrays are drawn."""
    return _Longer(strategy, number)


def side(longest: int, grown: int) -> Strategy[int]:
    """The length of one axis: 0 to ``longest``, or ``grown`` where large arrays are drawn."""
    return st.just(grown) if _growing else st.integers(0, longest)


@lru_cache(64)  # Hypothesis takes longer to build a strategy than to draw from it
def shapes(
    least: int = 0,
    most: int = 5,
    shortest: int = 0,
    longest: int = 6,
    elements: int = 1024,
    fits: Callable[[Shape], bool] = lambda shape: True,
    name: str = "shape",
) -> Strategy[Shape]:
    """Shapes of ``least`` to ``most`` axes, with empty axes, axes of length 1 and long axes."""
    lengths = st.one_of(st.integers(shortest, longest), st.just(max(1, shortest)))
    small_of = {n: st.lists(lengths, min_size=n, max_size=n) for n in range(least, most + 1)}
    small = st.integers(least, most).flatmap(small_of.__getitem__)
    long = st.lists(st.integers(7, 33), min_size=max(least, 1), max_size=max(1, least, min(most, 3)))
    drawn = st.one_of(small, small, long) if most else small
    labels: dict[str, Callable[..., bool]] = {
        f": {n} axes": (lambda shape, n=n: len(shape) == n) for n in range(least, most + 1)
    }
    if most and not shortest:
        labels[": empty"] = lambda shape: 0 in shape
    if most and shortest < 2:
        labels[": batch of one"] = lambda shape: shape[:1] == (1,)
    if most:
        labels[": a long axis"] = lambda shape: max(shape, default=0) > 6

    def marked(shape: Shape) -> Shape:
        if _growing and shape:
            return _grown(shape, elements)
        known = {label: holds for label, holds in labels.items() if label != ": empty" or not offered().least}
        mark((name + label for label in known), (name + label for label, holds in known.items() if holds(shape)))
        return shape

    def usable(shape: Shape) -> bool:
        return prod(shape) <= elements and fits(shape) and min(shape, default=1) >= min(offered().least, 1)

    return drawn.map(tuple).filter(usable).map(marked)


@lru_cache(512)  # as above
def one_of(choices: tuple[str, ...]) -> Strategy[str]:
    """One of these words."""
    return st.sampled_from(choices)


def single(values: Any) -> Array:
    """The values rounded to float32, so that both precisions have the same numbers."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values).astype(np.float32).astype(np.float64)


def floats(
    shape: Strategy[Shape] | Shape,
    kinds: Sequence[str] = EXTREME,
    low: float = -np.inf,
    high: float = np.inf,
    into: Callable[[Array], Array] | None = None,
    layouts: Sequence[str] = LAYOUTS,
) -> Strategy[Input]:
    """An array of floats; ``into`` maps the values into the function's domain, from ``low`` to ``high``."""
    return _floats(shape, tuple(kinds), low, high, into, tuple(layouts))


@lru_cache(512)  # as above
@st.composite
def _floats(
    draw: Draw,
    shape: Strategy[Shape] | Shape,
    kinds: tuple[str, ...],
    low: float,
    high: float,
    into: Callable[[Array], Array] | None,
    layouts: tuple[str, ...],
) -> Input:
    shape = shape if isinstance(shape, tuple) else draw(shape)
    kinds, low, high = tuple(kinds_inside(kinds)), max(low, offered().low), min(high, offered().high)
    kind = kinds[0] if _growing else draw(one_of(tuple(likely(kinds, _labels))))
    layout = draw(one_of(tuple(likely(layouts, lambda layout: [_layout_label(layout)]))))
    values = np.asarray(VALUES[kind](np.random.default_rng(draw(seeds)), shape), np.float64)
    if into is not None or offered().bounded:
        with np.errstate(all="ignore"):
            values = np.clip(values if into is None else into(values), low, high)
    if layout == "broadcast" and values.ndim and values.shape[0]:
        values = np.broadcast_to(values[:1], values.shape)
    exact = values if kind == "tiny" else single(values)
    return Drawn(exact, layout, kind, low, high, purpose=_purpose(kinds, layouts, low, high))


@st.composite
def integers(draw: Draw, shape: Strategy[Shape] | Shape, low: int, high: int, dtypes: str = "qqi") -> Input:
    """An array of integers, low ≤ n < high; ``dtypes`` are NumPy's character codes."""
    shape = shape if isinstance(shape, tuple) else draw(shape)
    fitting = [dtype for dtype in dtypes if low >= np.iinfo(dtype).min and high - 1 <= np.iinfo(dtype).max]
    dtype, layouts = draw(st.sampled_from(fitting)), ("C", "strided", "reversed")
    rng = np.random.default_rng(draw(seeds))
    values = rng.integers(low, high, shape) if high > low else np.zeros(shape)
    return Drawn(values.astype(dtype), draw(st.sampled_from(layouts)), "integers", purpose=_purpose((), layouts))


INCOMING = (*LAYOUTS, ONE_NUMBER)  # the last as of a sum: one number with strides of 0


def incoming_layouts() -> Strategy[str]:
    """The memory layout of incoming gradients."""
    return one_of(tuple(likely(INCOMING, lambda layout: [_layout_label(layout)])))


def incoming(shape: Shape, *seed: int, layout: str | None = None) -> Input:
    """A random incoming gradient in this layout, or in any."""
    rng = np.random.default_rng(seed)
    values = single(rng.standard_normal(shape))
    layout = layout or str(rng.choice(INCOMING))
    if layout == "broadcast" and values.ndim:
        values = np.broadcast_to(values[:1], shape)
    elif layout == ONE_NUMBER and values.size:
        values = np.full(shape, rng.choice([1.0, -0.5, 0.125]))  # sums of these are exact
    return Input(values, layout)


@lru_cache(1024)
def possible_layouts(shape: Shape) -> tuple[str, ...]:
    """The layouts of incoming gradients that an array of this shape can have."""
    every = {layout: laid_out(np.zeros(shape), layout) for layout in dict.fromkeys(INCOMING)}
    return tuple(layout for layout, x in every.items() if x.size and LAYOUT_TESTS[layout](x))


def laid_out(x: Array, layout: str) -> Array:
    """A read-only copy in this layout; a write to it is an error."""
    y = _LAYOUTS[layout](np.asarray(x))
    y.flags.writeable = False
    return y


def _strided(x: Array) -> Array:
    buffer = np.full([2 * n for n in x.shape], 77, x.dtype)
    every_other: Any = (Ellipsis, *[slice(None, None, 2)] * x.ndim)
    view: Array = buffer[every_other]
    view[...] = x
    return view


def _reversed(x: Array) -> Array:
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    flipped: Array = np.array(x[flip], order="C") if x.ndim else x.copy()
    y: Array = np.asarray(flipped[flip])
    return y


def _broadcast(x: Array) -> Array:
    if not x.ndim or not x.shape[0] or not np.array_equal(x, np.broadcast_to(x[:1], x.shape), equal_nan=True):
        return x.copy()  # its numbers were moved and differ along the axis
    stretched: Array = np.broadcast_to(x[:1].copy(), x.shape)
    return stretched


def _one_number(x: Array) -> Array:
    if not x.size or not np.array_equal(x, np.full_like(x, x.flat[0]), equal_nan=True):
        return x.copy()  # as above
    return np.broadcast_to(x.reshape(-1)[0].copy(), x.shape)


def _unaligned(x: Array) -> Array:
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(x.dtype)[: x.size].reshape(x.shape)
    view[...] = x
    return view


_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda x: np.array(x, order="C"),
    "strided": _strided,
    "fortran": lambda x: np.array(x, order="F"),
    "reversed": _reversed,
    "broadcast": _broadcast,
    ONE_NUMBER: _one_number,
    "unaligned": _unaligned,
}
