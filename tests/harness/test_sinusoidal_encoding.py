"""The tables of the sinusoidal and rotary position encodings against mpmath, large positions included."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from numpyml.kernels.position import cosines_and_sines

POSITIONS = (0, 1, 2, 3, 22, 355, 1000, 4097, 65535, 1_000_003)  # 22 and 355: nearly multiples of π


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("features", "base"), [(8, 10000.0), (7, 10000.0), (2, 0.5), (6, 500000.0)])
def test_tables_are_accurate_at_every_position(features: int, base: float, dtype: Any) -> None:
    """To a unit in the last place of the value, not of 1, also where it is nearly 0."""
    c, s = cosines_and_sines(1_000_004, features, base, np.dtype(dtype))
    assert c.shape == s.shape == (1_000_004, (features + 1) // 2)
    eps = float(np.finfo(dtype).eps)
    with mp.workdps(50):
        for p in POSITIONS:
            for i in range((features + 1) // 2):
                angle = p * mpf(base) ** (mpf(-2 * i) / features)
                for value, truth in ((c[p, i], mpmath.cos(angle)), (s[p, i], mpmath.sin(angle))):
                    assert abs(mpf(float(value)) - truth) <= 1.01 * eps * abs(truth), (p, i)
