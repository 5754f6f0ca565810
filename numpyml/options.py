"""Validators of arguments: of an option each returns the value unchanged, or raises an OptionError with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import OptionError, kind_of
from numpyml.typing import Array


def require(holds: bool, owner: object, name: str, value: object, expected: str) -> None:
    """Raise unless the option is as expected; ``owner`` is the object it is for, or the name of its class."""
    if not holds:
        title = owner if isinstance(owner, str) else type(owner).__name__
        raise OptionError(f"{title} expected {name} to be {expected}, got {kind_of(value)}")


def integer(owner: object, name: str, value: Any, minimum: int | None = None) -> Any:
    """An integer of at least ``minimum``."""
    ok = isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))
    expected = "an integer" if minimum is None else f"an integer of {minimum} or more"
    require(ok and (minimum is None or value >= minimum), owner, name, value, expected)
    require(abs(int(value)) < 1 << 63, owner, name, value, f"{expected}, of 64 bits")
    return value


def generator_or_none(owner: object, name: str, value: Any) -> np.random.Generator | None:
    """A NumPy random generator, or None for that of ``manual_seed``."""
    ok = value is None or isinstance(value, np.random.Generator)
    require(ok, owner, name, value, "a numpy.random.Generator or None")
    return value


def number(owner: object, name: str, value: Any, low: float = 0.0, high: float | None = None) -> Any:
    """A finite number in [low, high]: Python's or NumPy's; a Fraction would make objects of an array."""
    least = f" of {low:g} or more" if low > -inf else ""
    expected = f"a finite number{least}" if high is None else f"a number from {low:g} to {high:g}"
    ok = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and is_finite(value)
    require(ok and low <= value and (high is None or value <= high), owner, name, value, expected)
    return value


def is_finite(value: Any) -> bool:
    """Whether a number is finite and in the range of floats."""
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def positive(owner: object, name: str, value: Any) -> Any:
    """A finite number above 0."""
    number(owner, name, value)
    require(value > 0, owner, name, value, "above 0")
    return value


def flag(owner: object, name: str, value: Any) -> Any:
    """True or False."""
    require(isinstance(value, (bool, np.bool_)), owner, name, value, "True or False")
    return value


def choice(owner: object, name: str, value: Any, choices: Sequence[str]) -> Any:
    """One of a few words."""
    ok = isinstance(value, str) and value in choices
    require(ok, owner, name, value, "one of " + ", ".join(map(repr, choices)))
    return value


def list_or_none(value: Any) -> list[Any] | None:
    """The items of the value; None for what has none, such as an array without axes."""
    try:
        items = iter(value)
    except TypeError:
        return None
    return list(items)


def array_or_none(value: Any) -> Array | None:
    """The value as an array; None for what NumPy makes none of, such as lists of several lengths."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return None


def weights(owner: object, name: str, value: ArrayLike | None) -> ArrayLike | None:
    """An option that is an array of finite weights, or None; returned unchanged."""
    if value is not None:
        array = np.asarray(value)
        ok = array.dtype.kind in "biuf" and bool(np.all(np.isfinite(array)))
        require(ok, owner, name, value, "an array of finite weights")
    return value
