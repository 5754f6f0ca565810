"""GELU against mpmath: its digits, tails included, and where the coefficients of its tail come from.

`python tests/harness/test_erf.py` prints how far the worst of the points is off.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from numpyml.nn.activations import GELU

# units in the last place: of the value anywhere, and of the larger term of the slope, a sum that crosses 0
UNITS = {np.float32: (8, 5), np.float64: (8, 5), np.longdouble: (16, 12)}
ENDS = {np.float32: -13.0, np.float64: -37.4, np.longdouble: -60.0}  # where the value becomes subnormal, nearly


def exactly(x: Any) -> mpf:
    """The number with all its digits."""
    mantissa, exponent = np.frexp(x)
    high = float(mantissa)
    return mpmath.ldexp(mpf(high) + mpf(float(mantissa - type(x)(high))), int(exponent))


def worst(dtype: Any, points: int = 400) -> tuple[float, float]:
    """How far the value and the slope are off at most, in units in the last place."""
    end = ENDS[dtype]
    spread = [np.linspace(end, 6, points), -np.geomspace(1e-8, -end, points // 4), np.geomspace(1e-8, 8, points // 4)]
    xs = np.concatenate(spread).astype(dtype)
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
    value, slope = worst(dtype)
    assert value <= UNITS[dtype][0] and slope <= UNITS[dtype][1]


if __name__ == "__main__":
    for dtype in UNITS:
        print(f"{dtype.__name__}: value {worst(dtype, 4000)[0]:.2f}, slope {worst(dtype, 4000)[1]:.2f} units")
