"""Activation layers, the simplest first."""

from __future__ import annotations

import numpy as np

from numpyml.autograd.tape import Array
from numpyml.nn.module import Module, as_floats

__all__ = ["ReLU", "Sigmoid"]


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
        y = np.maximum(x, zeros_beside(x))
        return y, y

    def pullback(self, y: Array, gy: Array) -> Array:
        return masked(gy, y != 0)


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
        gx: Array = gy * ((1 - y) * y)
        return gx


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ) as e^min(x, 0) / (1 + e^−|x|): no exponential overflows, and small values keep their digits."""
    y: Array = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return y.astype(x.dtype, copy=False)  # NumPy 1 widens an array of no axes beside a Python number


def masked(g: Array, alive: Array) -> Array:
    """g where ``alive``, else 0: the product of the bits with 0 or 1, since ∞ · 0 would be NaN among floats."""
    if g.dtype.itemsize > 8:
        return np.where(alive, g, g.dtype.type(0))
    bits: Array = g.view(f"i{g.dtype.itemsize}") * alive
    return bits.view(g.dtype)


def zeros_beside(x: Array) -> Array:
    """Zeros to compare x with: three times as fast as one zero, since NumPy has no vector code for a scalar operand."""
    if x.size <= 1 << 15:
        return np.zeros(x.shape, x.dtype)
    return np.zeros(x.shape[-1] if x.shape[-1] >= 256 else (), x.dtype)
