"""GELU against mpmath: its digits, tails included, and where the coefficients of its tail come from.

`python tests/harness/test_erf.py` prints how far the worst of the points is off.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

import numpyml
from numpyml.nn.activations import GELU

# units in the last place: of the value anywhere, and of the larger term of the slope, a sum that crosses 0
UNITS = {np.float32: (8, 5), np.float64: (8, 5), np.longdouble: (16, 12)}
ENDS = {np.float32: -13.0, np.float64: -37.4, np.longdouble: -60.0}  # where the value becomes subnormal, nearly


def exactly(x: Any) -> mpf:
    """The number with all its digits."""
    mantissa, exponent = np.frexp(x)
    high = float(mantissa)
    return mpmath.ldexp(mpf(high) + mpf(float(mantissa - type(x)(high))), int(exponent))


def spread(dtype: Any, points: int = 400) -> Any:
    """Over all there is, most of it far from 0."""
    end = ENDS[dtype]
    parts = [np.linspace(end, 6, points), -np.geomspace(1e-8, -end, points // 4), np.geomspace(1e-8, 8, points // 4)]
    return np.concatenate(parts).astype(dtype)


def worst(xs: Any) -> tuple[float, float]:
    """How far the value and the slope are off at most, in units in the last place."""
    dtype = xs.dtype.type
    layer = GELU()
    ys = layer.forward(xs)
    slopes = layer.backward(np.ones_like(xs))
    off = [mpf(0), mpf(0)]
    with mp.workdps(50):
        eps = exactly(np.finfo(dtype).eps)
        for x, y, slope in zip(map(exactly, xs), map(exactly, ys), map(exactly, slopes), strict=True):
            chance = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
            moving = x * mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
            larger = max(chance, abs(moving))
            off[0] = max(off[0], abs(y - x * chance) / (eps * abs(x * chance) or 1))
            off[1] = max(off[1], abs(slope - chance - moving) / (eps * larger))
    return float(off[0]), float(off[1])


@pytest.mark.parametrize("dtype", UNITS, ids=lambda dtype: dtype.__name__)
def test_gelu_has_its_digits_everywhere(dtype: Any) -> None:
    value, slope = worst(spread(dtype))
    assert value <= UNITS[dtype][0] and slope <= UNITS[dtype][1]


def test_gelu_has_its_digits_where_most_is_near_0() -> None:
    near = np.linspace(-2.5, 2.5, 4000).astype(np.float32)
    value, slope = worst(np.concatenate([near, spread(np.float32)]))
    assert value <= 5 and slope <= 3


def test_gelu_near_0_is_the_same_without_slopes(rng: np.random.Generator) -> None:
    x = rng.standard_normal(5000).astype(np.float32)
    x[:5] = np.nan, np.inf, -np.inf, 1e30, -1e30
    y = GELU().forward(x)
    with numpyml.no_grad():
        assert np.array_equal(GELU().forward(x), y, equal_nan=True)
    assert np.isnan(y[0]) and y[1:5].tolist() == [np.inf, 0, x[3], 0]


if __name__ == "__main__":
    for dtype in UNITS:
        value, slope = worst(spread(dtype, 4000))
        print(f"{dtype.__name__}: value {value:.2f}, slope {slope:.2f} units")
    value, slope = worst(np.linspace(-2.5, 2.5, 20_000).astype(np.float32))
    print(f"float32, near 0: value {value:.2f}, slope {slope:.2f} units")
