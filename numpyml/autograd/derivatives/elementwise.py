"""Elementwise functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.autograd.table import binary, derivative, unary
from numpyml.kernels.gradients import arctan2_gradient, fmod_gradient, power_gradient, tanh_gradient

LN2, LN10 = float(np.log(2)), float(np.log(10))

# One operand

unary(np.positive, lambda g: g)
unary(np.negative, lambda g: -g)
unary(np.square, lambda g, x: g * (2 * x))
unary(np.reciprocal, lambda g, y: -(g * y) * y)
unary(np.sqrt, lambda g, y: g / (2 * y))
unary(np.cbrt, lambda g, y: g / (3 * (y * y)))
unary(np.absolute, lambda g, x: g * np.sign(x))
unary(np.fabs, lambda g, x: g * np.sign(x))

unary(np.exp, lambda g, y: g * y)
unary(np.exp2, lambda g, y: g * y * LN2)
unary(np.expm1, lambda g, x: g * np.exp(x))  # y + 1 cancels where y is near −1
unary(np.log, lambda g, x: g / x)
unary(np.log2, lambda g, x: g / (x * LN2))
unary(np.log10, lambda g, x: g / (x * LN10))
unary(np.log1p, lambda g, x: g / (1 + x))

unary(np.sin, lambda g, x: g * np.cos(x))
unary(np.cos, lambda g, x: -g * np.sin(x))
unary(np.tan, lambda g, y: g * (1 + y * y))
unary(np.arcsin, lambda g, x: g / np.sqrt((1 - x) * (1 + x)))  # 1 − x² cancels where x is near 1
unary(np.arccos, lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))
unary(np.arctan, lambda g, x: g / (1 + x * x))
unary(np.sinh, lambda g, x: g * np.cosh(x))
unary(np.cosh, lambda g, x: g * np.sinh(x))
unary(np.tanh, tanh_gradient)
unary(np.arcsinh, lambda g, x: g / np.hypot(x, 1))
unary(np.arccosh, lambda g, x: g / np.sqrt((x - 1) * (x + 1) + 0))  # + 0: no negative zero at −1
unary(np.arctanh, lambda g, x: g / ((1 - x) * (1 + x)))
for _to_degrees in (np.degrees, np.rad2deg):
    unary(_to_degrees, lambda g: g * float(180 / np.pi))
for _to_radians in (np.radians, np.deg2rad):
    unary(_to_radians, lambda g: g * float(np.pi / 180))

for _step in (np.sign, np.floor, np.ceil, np.rint, np.trunc):
    unary(_step, lambda g: np.zeros_like(g))
for _round in (np.round, np.around):
    derivative(_round, "a decimals !out", a=lambda g: np.zeros_like(g))
derivative(np.ndarray.astype, "a dtype order casting subok copy", a=lambda g: g)
derivative(np.copy, "a order subok", a=lambda g: g)

# Two operands

binary(np.add, lambda g: g, lambda g: g)
binary(np.subtract, lambda g: g, lambda g: -g)
binary(np.multiply, lambda g, b: g * b, lambda g, a: g * a)
binary(np.true_divide, lambda g, b: g / b, lambda g, y, b: -g * (y / b))
binary(np.floor_divide, lambda g: np.zeros_like(g), lambda g: np.zeros_like(g))
binary(np.remainder, lambda g: g, lambda g, a, b: -g * np.floor_divide(a, b))
binary(np.fmod, lambda g: g, fmod_gradient)
binary(np.power, power_gradient, lambda g, y, a, b: np.where((a == 0) & (b >= 0), 0, g * (y * np.log(a))))
binary(np.logaddexp, lambda g, a, b: g / (1 + np.exp(b - a)), lambda g, a, b: g / (1 + np.exp(a - b)))
binary(np.logaddexp2, lambda g, a, b: g / (1 + np.exp2(b - a)), lambda g, a, b: g / (1 + np.exp2(a - b)))
binary(np.hypot, lambda g, y, a: g * (a / y), lambda g, y, b: g * (b / y))
binary(np.arctan2, lambda g, a, b: arctan2_gradient(g, b, a), lambda g, a, b: arctan2_gradient(-g, a, b))
binary(np.copysign, lambda g, y, a: np.where(a == 0, 0, g * (y / a)), lambda g: np.zeros_like(g))
# At a tie both operands of maximum and minimum get half; of fmax and fmin, the first gets all.
binary(
    np.maximum,
    lambda g, a, b: np.where(a < b, 0, np.where(a == b, g / 2, g)),
    lambda g, a, b: np.where(b < a, 0, np.where(a == b, g / 2, g)),
)
binary(
    np.minimum,
    lambda g, a, b: np.where(a > b, 0, np.where(a == b, g / 2, g)),
    lambda g, a, b: np.where(b > a, 0, np.where(a == b, g / 2, g)),
)
binary(
    np.fmax,
    lambda g, a, b: np.where((a >= b) | np.isnan(b), g, 0),
    lambda g, a, b: np.where((a >= b) | np.isnan(b), 0, g),
)
binary(
    np.fmin,
    lambda g, a, b: np.where((a <= b) | np.isnan(b), g, 0),
    lambda g, a, b: np.where((a <= b) | np.isnan(b), 0, g),
)

# Clipping, selecting and filling


def coalesce(*values: Any) -> Any:
    """The first that is not None."""
    return next(value for value in values if value is not None)


def is_below(low: Any, high: Any) -> Any:
    """Where low is below high; everywhere if there is no high, though low may be ∞."""
    return True if high is None else low < high


def is_within(a: Any, low: Any, high: Any) -> Any:
    """Where a lies between the bounds, the bounds included."""
    return (low <= a) & (a <= high)


derivative(
    np.clip,  # by position the bounds are a_min and a_max, by keyword also min and max; at a bound the gradient passes
    "a a_min a_max !out * min max",
    a=lambda g, a, a_min=None, a_max=None, min=None, max=None: np.where(
        is_within(a, coalesce(a_min, min, -np.inf), coalesce(a_max, max, np.inf)), g, 0
    ),
    a_min=lambda g, a, a_min, a_max=None: np.where((a < a_min) & is_below(a_min, a_max), g, 0),
    min=lambda g, a, min, max=None: np.where((a < min) & is_below(min, max), g, 0),
    a_max=lambda g, a, a_max, a_min=None: np.where((a > a_max) | (a_max < coalesce(a_min, -np.inf)), g, 0),
    max=lambda g, a, max, min=None: np.where((a > max) | (max < coalesce(min, -np.inf)), g, 0),
)
derivative(
    np.where,
    "condition x y",
    x=lambda g, condition: np.where(condition, g, 0),
    y=lambda g, condition: np.where(condition, 0, g),
)
derivative(
    np.full_like,
    "a fill_value dtype order subok shape * device",
    a=lambda g, shape: np.zeros(shape, g.dtype),
    fill_value=lambda g, shape: g.reshape((1,) * (len(shape) - g.ndim) + g.shape),  # NumPy leaves leading ones out
)
