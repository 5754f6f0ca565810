"""Elementwise gradients where the plain formula loses its digits at ordinary numbers.

Each is a partial of the table of derivatives: g is the gradient of the output y, a and b are the operands.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def tanh_gradient(g: Any, x: Any) -> Any:
    """g (1 − tanh² x), written as 4e / (1 + e)² with e = e^−2|x|: 1 − y² cancels where y is near ±1."""
    e = np.exp(-2 * np.abs(x))
    return g * (4 * e / ((1 + e) * (1 + e)))


def power_gradient(g: Any, y: Any, a: Any, b: Any) -> Any:
    """g b aᵇ⁻¹, and 0 where b is 0, for y = aᵇ, where b − 1 may be rounded.

    Rounding may turn b − 1 from odd to even, so the sign is taken from a and b; and it may turn b − 1 into an integer
    where b is none, so the gradient is NaN where a is negative and y is NaN.
    """
    less = b - 1
    if np.all((less + 1 == b) & (b - less == 1)):  # nothing is rounded
        return np.where(b == 0, 0, g * (b * a ** np.where(b == 0, 1, less)))
    magnitude = np.abs(a) ** np.where(b == 0, 1, less)
    signed = np.copysign(magnitude, np.where(np.fmod(b, 2) == 0, a, 1))
    return np.where(b == 0, 0, np.where((a < 0) & np.isnan(y), y, g * (b * signed)))


def arctan2_gradient(g: Any, a: Any, b: Any) -> Any:
    """g a / (a² + b²), and 0 at the origin: divided by √(a² + b²) twice, so that no square over- or underflows."""
    distance = np.hypot(a, b)
    return np.where(distance == 0, 0, g * (a / distance) / distance)


def fmod_gradient(g: Any, y: Any, a: Any, b: Any) -> Any:
    """−g trunc(a / b), for y = fmod(a, b): a / b may round up to the next integer, (a − y) / b does not.

    Where a / b is infinite, y is NaN, and a / b is used.
    """
    return -g * np.rint(np.where(np.isnan(y), a, a - y) / b)
