"""Accuracy of GELU against mpmath, tails included.

`python tests/harness/test_erf.py` prints the largest errors.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

import numpyml
from numpyml.nn.activations import GELU

# units in the last place: of the value, and of the larger term of the derivative, a sum that crosses 0
UNITS = {np.float32: (8, 5), np.float64: (8, 5), np.longdouble: (16, 12)}
ENDS = {np.float32: -13.0, np.float64: -37.4, np.longdouble: -60.0}  # where the value becomes subnormal, nearly


def exactly(x: Any) -> mpf:
    """The number, exactly."""
    mantissa, exponent = np.frexp(x)
    high = float(mantissa)
    return mpmath.ldexp(mpf(high) + mpf(float(mantissa - type(x)(high))), int(exponent))


def spread(dtype: Any, points: int = 400) -> Any:
    """Points over the whole range, most of them far from 0."""
    end = ENDS[dtype]
    parts = [np.linspace(end, 6, points), -np.geomspace(1e-8, -end, points // 4), np.geomspace(1e-8, 8, points // 4)]
    return np.concatenate(parts).astype(dtype)


def worst(xs: Any) -> tuple[float, float]:
    """The largest errors of the value and the derivative, in units in the last place."""
    dtype = xs.dtype.type
    layer = GELU()
    ys = layer.forward(xs)
    derivatives = layer.backward(np.ones_like(xs))
    off = [mpf(0), mpf(0)]
    with mp.workdps(50):
        eps = exactly(np.finfo(dtype).eps)
        for x, y, derivative in zip(map(exactly, xs), map(exactly, ys), map(exactly, derivatives), strict=True):
            phi = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
            x_density = x * mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
            larger = max(phi, abs(x_density))
            off[0] = max(off[0], abs(y - x * phi) / (eps * abs(x * phi) or 1))
            off[1] = max(off[1], abs(derivative - phi - x_density) / (eps * larger))
    return float(off[0]), float(off[1])


@pytest.mark.parametrize("dtype", UNITS, ids=lambda dtype: dtype.__name__)
def test_gelu_is_accurate_everywhere(dtype: Any) -> None:
    value, derivative = worst(spread(dtype))
    assert value <= UNITS[dtype][0] and derivative <= UNITS[dtype][1]


def test_gelu_is_accurate_where_most_elements_are_near_0() -> None:
    near = np.linspace(-2.5, 2.5, 4000).astype(np.float32)
    value, derivative = worst(np.concatenate([near, spread(np.float32)]))
    assert value <= 5 and derivative <= 3


def test_gelu_near_0_is_the_same_without_derivatives(rng: np.random.Generator) -> None:
    x = rng.standard_normal(5000).astype(np.float32)
    x[:5] = np.nan, np.inf, -np.inf, 1e30, -1e30
    y = GELU().forward(x)
    with numpyml.no_grad():
        assert np.array_equal(GELU().forward(x), y, equal_nan=True)
    assert np.isnan(y[0]) and y[1:5].tolist() == [np.inf, 0, x[3], 0]


if __name__ == "__main__":
    for dtype in UNITS:
        value, derivative = worst(spread(dtype, 4000))
        print(f"{dtype.__name__}: value {value:.2f}, derivative {derivative:.2f} units")
    value, derivative = worst(np.linspace(-2.5, 2.5, 20_000).astype(np.float32))
    print(f"float32, near 0: value {value:.2f}, derivative {derivative:.2f} units")
