"""Softmax and LogSoftmax: probabilities along an axis."""

from __future__ import annotations

import numpy as np

from numpyml.errors import ShapeError, kind_of
from numpyml.kernels.softmax import log_softmax, softmax, sums, with_zero_sum
from numpyml.nn.module import Module, as_floats
from numpyml.options import integer, require
from numpyml.typing import Array


class _AlongAxis(Module):
    """The option ``dim`` of Softmax and LogSoftmax.

    PyTorch's default, None, picks axis 0 or 1 by the number of axes, and is deprecated there. Here it is an error.
    """

    def __init__(self, dim: int | None = None) -> None:
        require(dim is not None, self, "dim", dim, "the axis to normalize, such as -1 for the last")
        self.dim = integer(self, "dim", dim)

    def axis(self, x: Array) -> int:
        """``dim``, counted from the front."""
        axes = max(x.ndim, 1)
        if not -axes <= self.dim < axes:
            raise ShapeError(
                f"expected x to have an axis {self.dim}, got {kind_of(x)}; choose dim from {-axes} to {axes - 1}", self
            )
        return self.dim % axes


class Softmax(_AlongAxis):
    """Softmax along an axis.

        y = eˣ / Σ eˣ
        gx = y (gy − Σ gy y)

    Args:
        dim: the axis along which y sums to 1. It has to be given.

    Shapes: y as x, any. The context is y. A row of −∞ alone, or with a +∞, gives NaN, as in PyTorch.
    Raises: OptionError when dim is None or not an integer; ShapeError when x has no such axis; DTypeError when x is
        not floating.
    PyTorch: nn.Softmax.
    """

    def compute(self, x: Array) -> tuple[Array, tuple[Array, int]]:
        x = as_floats(x, None, self)
        axis = self.axis(x)
        y = softmax(np.atleast_1d(x), axis)
        return y.reshape(x.shape), (y, axis)

    def pullback(self, context: tuple[Array, int], gy: Array) -> Array:
        (y, axis), shape = context, gy.shape
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            gy = gy.reshape(y.shape)
            gx = gy * y
            np.subtract(gy, sums(gx, axis), out=gx)
            gx *= y
            return with_zero_sum(gx, y, axis).reshape(shape)


class LogSoftmax(_AlongAxis):
    """Logarithm of the softmax along an axis.

        y = x − log Σ eˣ
        gx = gy − eʸ Σ gy

    Args:
        dim: the axis along which eʸ sums to 1. It has to be given.

    Shapes: y as x, any. The context is y. A row of −∞ alone, or with a +∞, gives NaN, as in PyTorch.
    Raises: OptionError when dim is None or not an integer; ShapeError when x has no such axis; DTypeError when x is
        not floating.
    PyTorch: nn.LogSoftmax.
    """

    def compute(self, x: Array) -> tuple[Array, tuple[Array, int]]:
        x = as_floats(x, None, self)
        axis = self.axis(x)
        y = log_softmax(np.atleast_1d(x), axis)
        return y.reshape(x.shape), (y, axis)

    def pullback(self, context: tuple[Array, int], gy: Array) -> Array:
        y, axis = context
        with np.errstate(under="ignore"):
            gx = np.exp(y)
            gx *= sums(gy.reshape(y.shape), axis)
        return np.subtract(gy, gx, out=gx).reshape(gy.shape)
