"""What Hypothesis draws: shapes, values (also the nasty ones) and memory layouts.

Hypothesis chooses shapes, kinds and layouts, and shrinks them; the numbers themselves come from a generator seeded
with a number it draws, so a large array costs no more than a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.bound import Array, Given

Strategy = st.SearchStrategy
Shape = tuple[int, ...]
Draw = Callable[[Strategy[Any]], Any]

ORDINARY = ("ordinary", "ordinary", "ties", "signed zeros")
EXTREME = (*ORDINARY, "wide", "subnormal")
SATURATED = (*ORDINARY, "saturated")
NASTY = (*EXTREME, "infinite", "nan")
LAYOUTS = ("C", "C", "strided", "fortran", "reversed", "broadcast", "unaligned")

VALUES: dict[str, Callable[[np.random.Generator, Shape], Array]] = {
    "ordinary": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 3, shape) * 0.5,
    "signed zeros": lambda rng, shape: rng.choice([0.0, -0.0, 1.0, -1.5], shape),
    "wide": lambda rng, shape: rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-30, 30, shape),
    "subnormal": lambda rng, shape: rng.choice([1e-40, -3e-42, 1e-38, 0.5], shape) * rng.uniform(0.5, 1, shape),
    "saturated": lambda rng, shape: (
        rng.choice([1e4, -1e4, 30.0, -30.0, 100.0, 0.5], shape) * rng.uniform(0.9, 1, shape)
    ),
    "infinite": lambda rng, shape: rng.choice([np.inf, -np.inf, 1e4, 0.25, -0.75], shape),
    "nan": lambda rng, shape: np.where(rng.random(shape) < 0.2, np.nan, rng.standard_normal(shape)),
}
seeds = st.integers(0, 2**32 - 1)


def shapes(least: int = 0, most: int = 5, shortest: int = 0, longest: int = 6, elements: int = 1024) -> Strategy[Shape]:
    """Shapes of ``least`` to ``most`` axes, empty and single ones among them, now and then a long one."""
    lengths = st.lists(
        st.one_of(st.integers(shortest, longest), st.just(max(1, shortest))), min_size=least, max_size=most
    )
    small = lengths.map(tuple)
    axes = max(1, min(most, 3))
    long = st.lists(st.integers(7, 33), min_size=max(least, 1), max_size=max(axes, least)).map(tuple)
    return st.one_of(small, small, long).filter(lambda shape: np.prod(shape, dtype=float) <= elements)


def single(values: Any) -> Array:
    """The nearest numbers that float32 can hold, so that both precisions see the same ones."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values).astype(np.float32).astype(np.float64)


@st.composite
def floats(
    draw: Draw,
    shape: Strategy[Shape] | Shape,
    kinds: Sequence[str] = EXTREME,
    low: float = -np.inf,
    high: float = np.inf,
    into: Callable[[Array], Array] | None = None,
    layouts: Sequence[str] = LAYOUTS,
) -> Given:
    """An array of floats. ``into`` maps the values into the function's domain, ``low`` and ``high`` keep them there."""
    shape = shape if isinstance(shape, tuple) else draw(shape)
    kind, layout = draw(st.sampled_from(kinds)), draw(st.sampled_from(layouts))
    values = np.asarray(VALUES[kind](np.random.default_rng(draw(seeds)), shape), np.float64)
    if into is not None:
        with np.errstate(all="ignore"):
            values = np.clip(into(values), low, high)
    if layout == "broadcast" and values.ndim and values.shape[0]:
        values = np.broadcast_to(values[:1], values.shape)
    return Given(single(values), layout, kind, low, high)


@st.composite
def whole(draw: Draw, shape: Strategy[Shape] | Shape, low: int, high: int) -> Given:
    """An array of whole numbers from ``low`` up to, not including, ``high``."""
    shape = shape if isinstance(shape, tuple) else draw(shape)
    dtype = draw(st.sampled_from([np.int64, np.int64, np.int32]))
    rng = np.random.default_rng(draw(seeds))
    values = rng.integers(low, high, shape) if high > low else np.zeros(shape)
    return Given(values.astype(dtype), draw(st.sampled_from(("C", "strided", "reversed"))), "whole")


def laid_out(x: Array, layout: str) -> Array:
    """The same numbers in a new array of this layout, read-only: whoever writes to what he was given is caught."""
    y = _LAYOUTS[layout](np.asarray(x))
    y.flags.writeable = False
    return y


def _strided(x: Array) -> Array:
    room = np.full([2 * n for n in x.shape], 77, x.dtype)
    every_other: Any = (Ellipsis, *[slice(None, None, 2)] * x.ndim)
    view: Array = room[every_other]
    view[...] = x
    return view


def _reversed(x: Array) -> Array:
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    turned: Array = np.array(x[flip], order="C") if x.ndim else x.copy()
    y: Array = np.asarray(turned[flip])
    return y


def _broadcast(x: Array) -> Array:
    if not x.ndim or not x.shape[0] or not np.array_equal(x, np.broadcast_to(x[:1], x.shape), equal_nan=True):
        return x.copy()  # its numbers were moved, and are no longer the same along the axis
    first = x[:1].copy()
    stretched: Array = np.lib.stride_tricks.as_strided(first, x.shape, (0, *first.strides[1:]))
    return stretched


def _unaligned(x: Array) -> Array:
    room = np.zeros(x.nbytes + 1, np.uint8)
    view = room[1:].view(x.dtype)[: x.size].reshape(x.shape)
    view[...] = x
    return view


_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda x: np.array(x, order="C"),
    "strided": _strided,
    "fortran": lambda x: np.array(x, order="F"),
    "reversed": _reversed,
    "broadcast": _broadcast,
    "unaligned": _unaligned,
}
