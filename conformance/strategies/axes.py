"""Strategies of axes: one or several, positive or negative, or None."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from conformance.strategies.arrays import Shape
from conformance.strategies.coverage import Purposeful, purposeful

AXES = (": from the front", ": from the back")


def _axis_classes(axis: Any) -> Iterable[str]:
    if axis is None:
        return ["=None"]
    return [": several"] if isinstance(axis, tuple) else [AXES[axis < 0]]


@lru_cache(256)
def axis_of(shape: Shape) -> Purposeful:
    """One of the axes, not negative or negative."""
    return purposeful(st.integers(-len(shape), len(shape) - 1), AXES, _axis_classes)


@lru_cache(256)
def axis_or_flat(shape: Shape) -> Purposeful:
    """One of the axes, or None."""
    return purposeful(st.none() | axis_of(shape) if shape else st.none(), ("=None", *AXES), _axis_classes)


@lru_cache(256)
def axes_of(shape: Shape) -> Purposeful:
    """None, one axis, or several."""
    every = st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple)
    drawn = st.none() | axis_of(shape) | every if shape else st.none()
    return purposeful(drawn, ("=None", *AXES, ": several"), _axis_classes)


@lru_cache(256)
def orders_of(shape: Shape) -> Purposeful:
    """A permutation of the axes, some counted from the back, or None: in reverse order."""
    n = len(shape)
    labels = (": as they are", ": in another order", "=None", *[": in another order, some from the back"] * (n > 2))

    def known(axes: Sequence[int] | None) -> list[str]:
        if axes is None:
            return [labels[2]]
        order = [i % n for i in axes]
        another = order != sorted(order)
        mixed = another and n > 2 and 0 < sum(i < 0 for i in axes) < n
        return [labels[another], *labels[3:][:mixed]]

    from_back = st.lists(st.booleans(), min_size=n, max_size=n)
    drawn = st.builds(
        lambda order, back: [i - n if b else i for i, b in zip(order, back, strict=True)],
        st.permutations(range(n)),
        st.just([False] * n) | from_back,
    )
    return purposeful(drawn | st.none(), labels, known)


@lru_cache(256)
def extra_axes(shape: Shape) -> Purposeful:
    """The index of a new axis."""
    return purposeful(st.integers(-len(shape) - 1, len(shape)), AXES, _axis_classes)


ONES = ("=None", ": one axis", ": several")


@lru_cache(256)
def single_axes(shape: Shape) -> Purposeful:
    """None, an axis of length one, or all of them."""
    ones = [i for i, n in enumerate(shape) if n == 1]
    drawn = st.none() | st.sampled_from([*ones, *(i - len(shape) for i in ones), tuple(ones)]) if ones else st.none()
    return purposeful(drawn, ONES, lambda axis: [ONES[0 if axis is None else 1 + isinstance(axis, tuple)]])


@lru_cache(256)
def two_axes(shape: Shape) -> Purposeful:
    """Two axes, in either order."""
    labels = (": in order", ": the other way round")
    every = st.lists(st.integers(0, len(shape) - 1), min_size=2, max_size=2, unique=True).map(tuple)
    return purposeful(every, labels, lambda axes: [labels[axes[0] > axes[1]]])
