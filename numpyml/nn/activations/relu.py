"""Rectified linear units."""

from __future__ import annotations

import numpy as np

from numpyml.kernels.elementwise import masked, zeros_for
from numpyml.nn.module import Module, as_floats
from numpyml.typing import Array


class ReLU(Module):
    """Rectified linear unit.

        y = max(x, 0)
        gx = gy where y > 0, else 0          (0 at x = 0; passed through at NaN)

    Shapes: y as x, any. The context is y, which the next layer keeps as well.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.ReLU.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        x = as_floats(x, None, self)
        y = np.maximum(x, zeros_for(x))
        return y, y

    def pullback(self, y: Array, gy: Array) -> Array:
        return masked(gy, y != 0)
