"""References of elementwise functions whose values or derivatives need more than a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conformance.references.arithmetic import LN2, Wide, difference, fold, wide
from conformance.references.kinds import Answers
from numpyml.typing import Array


def rounded(x: Array, decimals: int) -> Array:
    return np.rint(x * Wide(10) ** decimals) / Wide(10) ** decimals


def cast(x: Array, dtype: str) -> Array:
    return x.astype(np.float32).astype(Wide) if dtype == "float32" else x


def cast_both(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
    """A cast to the dtype and back, of value and gradient."""
    return [cast(operands[0], options["dtype"])], [cast(gys[0], options["dtype"])]


def power_by_base(a: Array, b: Array) -> Array:
    """∂aᵇ/∂a as b·aᵇ / a, since b − 1 is rounded; b·aᵇ⁻¹ at 0, ∞ and NaN; 0 where b = 0.

    b − 1 is odd where b is even, which decides the sign at a negative zero.
    """
    quotient = (a != 0) & np.isfinite(a) & np.isfinite(b)
    below = np.copysign(np.abs(a) ** (b - 1), np.where(np.fmod(b, 2) == 0, a, 1))
    return np.where(b == 0, 0, b * np.where(quotient, a**b / a, below))


def power_by_exponent(a: Array, b: Array) -> Array:
    return np.where((a == 0) & (b >= 0), 0, a**b * np.log(a))


def copysign_by_size(a: Array, b: Array) -> Array:
    """1, or −1 if the sign changes; 0 at 0; NaN at ±∞, where PyTorch computes ∞ / ∞."""
    return np.where(a == 0, 0, np.copysign(a, b) / a)


def quotient(a: Array, b: Array) -> Array:
    """a / b rounded towards zero, exact also where a / b would round to an integer."""
    rounded = a / b
    return np.where(np.isfinite(rounded), np.rint((a - np.fmod(a, b)) / b), rounded)


def corrected(e: Array, lost: Array) -> Array:
    """e (1 + lost); 0 and ∞ are unchanged."""
    return np.where((e == 0) | np.isinf(e), e, e * (1 + lost))


def exp_difference(a: Array, b: Array) -> Array:
    """exp(a − b)."""
    d, lost = difference(a, b)
    return corrected(np.exp(d), lost)


def exp2_difference(a: Array, b: Array) -> Array:
    """2 to the power a − b."""
    d, lost = difference(a, b)
    return corrected(np.exp2(d), LN2 * lost)


def logaddexp(a: Array, b: Array) -> Array:
    high, low = np.maximum(a, b), np.minimum(a, b)
    return np.where(np.isinf(high), high, high + np.log1p(exp_difference(low, high)))


def logaddexp2(a: Array, b: Array) -> Array:
    high, low = np.maximum(a, b), np.minimum(a, b)
    return np.where(np.isinf(high), high, high + np.log1p(exp2_difference(low, high)) / LN2)


def angle_partial(numerator: Array, a: Array, b: Array) -> Array:
    """numerator / (a² + b²), a derivative of arctan2; 0 at the origin, where the angle is undefined."""
    return np.where((a == 0) & (b == 0), 0, numerator / (a * a + b * b))


def larger(a: Array, b: Array) -> Array:
    """The derivative of maximum by a: half at a tie, 1 if either is NaN."""
    return np.where(a == b, Wide(0.5), np.where(a < b, 0, 1))


def takes_first(a: Array, b: Array, first: Array) -> Array:
    """Whether fmax or fmin returns a: where ``first``, at a tie, or if b is NaN."""
    return first | (a == b) | np.isnan(b)


def full_like(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
    (a, fill_value), (gy,) = operands, gys
    y = np.broadcast_to(fill_value, options["shape"] or a.shape)
    return [wide(y)], [np.zeros_like(a), fold(gy, fill_value.shape)]


def clip(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
    """A missing bound is infinite, and beyond any other."""
    (a, *limits), (gy,) = operands, gys
    bounds = dict(zip(options["bounds"].split(), limits, strict=True))
    low, high = bounds.get("low", -Wide(np.inf)), bounds.get("high", Wide(np.inf))
    ordered = low < high if "high" in bounds else True
    passed = {"a": (low <= a) & (a <= high), "low": (a < low) & ordered, "high": (a > high) | (low > high)}
    return [np.minimum(np.maximum(a, low), high)], [wide(gy * passed[name]) for name in ("a", *bounds)]
