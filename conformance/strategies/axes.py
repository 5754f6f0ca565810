"""Strategies of axes: one or several, positive or negative, or None."""

from __future__ import annotations

from collections.abc import Iterable
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
    """A permutation of the axes, or None: in reverse order."""
    labels = (": as they are", ": in another order", "=None")
    drawn = st.permutations(range(len(shape))) | st.none()
    return purposeful(drawn, labels, lambda axes: [labels[2 if axes is None else list(axes) != sorted(axes)]])


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
