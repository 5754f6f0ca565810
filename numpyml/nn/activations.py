"""Activation layers, the simplest first."""

from __future__ import annotations

import numpy as np

from numpyml.autograd.tape import Array
from numpyml.nn.module import Module, as_floats


class ReLU(Module):
    """Negative elements become zero.

        y = max(x, 0)
        gx = gy where y > 0, else 0          (0 at x = 0; passed through at NaN)

    Shapes: y as x, any. The context is y, which the next layer keeps as well.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.ReLU.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        x = as_floats(x, None, self)
        y = np.maximum(x, 0)
        return y, y

    def pullback(self, y: Array, gy: Array) -> Array:
        return mask_out(gy, y <= 0)


class Sigmoid(Module):
    """Squash every element into (0, 1).

        y = 1 / (1 + e⁻ˣ)
        gx = gy y (1 − y)

    Shapes: y as x, any.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.Sigmoid.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        y = sigmoid(as_floats(x, None, self))
        return y, y

    def pullback(self, y: Array, gy: Array) -> Array:
        return gy * ((1 - y) * y)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ) as e^min(x, 0) / (1 + e^−|x|): no exponential overflows, and small values keep their digits."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def mask_out(g: Array, dead: Array) -> Array:
    """g with zeros where ``dead``. A product with the mask would be as fast, but turn ∞ · 0 into NaN."""
    if g.dtype.itemsize > 8:
        return np.where(dead, g.dtype.type(0), g)
    keep = dead.view(np.int8) - np.int8(1)  # dead: no bit set; alive: all of them
    return (g.view(f"i{g.dtype.itemsize}") & keep).view(g.dtype)
