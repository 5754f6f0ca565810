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

    With e = e^−|x| both keep all their digits, however large x is: y = max(e, [x ≥ 0]) / (1 + e) and
    y (1 − y) = e / (1 + e)². The context is that slope; from y alone its digits could not be had back.

    Shapes: y as x, any.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.Sigmoid.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        y, slope = sigmoid(as_floats(x, None, self))
        return y, slope

    def pullback(self, slope: Array, gy: Array) -> Array:
        return gy * slope


def sigmoid(x: Array) -> tuple[Array, Array]:
    """1 / (1 + e⁻ˣ) and its derivative, from the one exponential that does not overflow."""
    e = np.abs(x, out=np.empty(x.shape, x.dtype))  # arrays also where x has no axes
    np.exp(np.negative(e, out=e), out=e)
    d = np.add(e, 1, out=np.empty_like(e))
    y = np.greater_equal(x, 0, out=np.empty_like(e))
    np.maximum(e, y, out=y)
    y /= d
    d *= d
    e /= d
    return y, e


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
