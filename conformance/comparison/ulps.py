"""Distances between floating-point arrays, and units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.typing import Array


def wider(dtype: Any) -> np.dtype[Any]:
    """The dtype of the references of answers in ``dtype``."""
    return np.dtype(np.float64 if dtype == np.float32 else np.longdouble)


def ulp(x: Array, dtype: Any) -> Array:
    """One unit in the last place of each element in a dtype (of 1 if not finite), returned in the wider dtype."""
    with np.errstate(all="ignore"):
        rounded = np.abs(np.asarray(x).astype(dtype))
        spacing: Array = np.spacing(np.where(np.isfinite(rounded), rounded, rounded.dtype.type(1)))
    return spacing.astype(wider(dtype))


def distance(a: Array, b: Array) -> Array:
    """|a − b|; 0 between two NaN or equal infinities, ∞ between NaN and a number."""
    with np.errstate(all="ignore"):
        apart: Array = np.abs(np.subtract(a, b))
        if np.isfinite(apart).all():
            return apart
        same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))


def lost(wide: Array, narrow: Array) -> Array:
    """Where the narrower answer is not finite and differs from the wider one, which is not NaN."""
    if wide.shape != narrow.shape:
        return np.zeros(narrow.shape, bool)
    return ~np.isnan(wide) & ~np.isfinite(narrow) & (wide != narrow)


def largest(x: Array) -> float:
    """The largest finite magnitude; 0 if there is none."""
    finite = np.abs(x[np.isfinite(x)])
    return float(finite.max()) if finite.size else 0.0


def first(x: Array) -> tuple[int, ...]:
    """The index of the first true element."""
    return tuple(int(i) for i in np.argwhere(x)[0])


def shown(x: Any) -> str:
    """A number with the digits of its precision; of extended precision with those of float64, if it is exact there."""
    with np.errstate(all="ignore"):
        return str(np.float64(x) if isinstance(x, np.longdouble) and np.float64(x) == x else x)
