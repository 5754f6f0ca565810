"""Normalization layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyml.errors import ShapeError
from numpyml.kernels.sums import over_rows, row_means
from numpyml.nn.module import Module, as_floats
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, integer, number
from numpyml.typing import Array

__all__ = ["LayerNorm", "RMSNorm"]


class _Normalization(Module):
    """The axes that are normalized, and a weight for each of their elements."""

    normalized_shape: int | Sequence[int]
    weight: Parameter | None

    def _axes(self, normalized_shape: Any) -> tuple[int, ...]:
        """``normalized_shape`` as a tuple, checked."""
        several = isinstance(normalized_shape, (tuple, list)) and len(normalized_shape) > 0
        shape = tuple(normalized_shape) if several else (normalized_shape,)
        for n in shape:
            integer(self, "normalized_shape", n, 1)
        return shape

    def _rows(self, x: Array) -> Array:
        """x as (vectors, elements of each); float16, whose squares overflow above 256, as float32."""
        weight = self.weight
        x = as_floats(x, None if weight is None else weight.dtype, self)
        shape = self._axes(self.normalized_shape) if weight is None else weight.shape
        if x.shape[-len(shape) :] != shape:
            raise ShapeError(
                f"expected the last axes of x to be {shape}, got x of shape {x.shape}; "
                "pass features there, or build the layer for that shape",
                self,
            )
        rows = x.reshape(-1, prod(shape))
        return rows.astype(np.float32) if rows.dtype.itemsize == 2 else rows

    def _dtype(self, x: Array) -> np.dtype[Any]:
        return x.dtype if self.weight is None else self.weight.dtype

    def _weighted(self, rows: Array) -> Array:
        """weight ⊙ rows, a new array."""
        return rows.copy() if self.weight is None else rows * self.weight.data.reshape(1, -1)

    def _features(self, y: Array, x: Array) -> Array:
        """The output in the shape of x, in the dtype of the parameters."""
        return y.astype(self._dtype(x), copy=False).reshape(x.shape)

    def _weight_gradient(self, x_hat: Array, rows: Array) -> None:
        if self.weight is not None and self.weight.requires_grad:
            self.weight.accumulate(over_rows(rows * x_hat).reshape(self.weight.shape))


class LayerNorm(_Normalization):
    """Layer normalization: each feature vector gets mean 0 and variance 1, then a weight and a bias.

        x̂ = (x − μ) / √(σ² + ε)                 μ, σ² over the normalized axes, σ² biased
        y = weight ⊙ x̂ + bias
        gx = (h − mean(h) − x̂ mean(h ⊙ x̂)) / √(σ² + ε),   h = weight ⊙ gy

    Args:
        normalized_shape: the lengths of the last axes, which are normalized together; an integer for one axis.
        eps: ε, 0 or more.
        elementwise_affine: whether there is a weight.
        bias: whether there is a bias beside it.
        dtype: of the parameters; float32 by default.

    Shapes: x, y (..., *normalized_shape); weight, bias normalized_shape. The context is x̂ and 1 / √(σ² + ε).
    Raises: ShapeError when the trailing axes of x are not normalized_shape; DTypeError when x is not floating.
    Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450. PyTorch: nn.LayerNorm.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        shape = self._axes(normalized_shape)
        self.normalized_shape = normalized_shape
        self.eps = number(self, "eps", eps)
        self.elementwise_affine = flag(self, "elementwise_affine", elementwise_affine)
        self.dtype = dtype
        self.weight = Parameter(np.ones(shape), dtype=dtype) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape), dtype=dtype) if flag(self, "bias", bias) and elementwise_affine else None

    def argument(self, name: str) -> Any:
        """As of any module; without a weight there is no bias, whatever the argument was."""
        return True if name == "bias" and self.weight is None else super().argument(name)

    def compute(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        rows = self._rows(x)
        with quiet():
            x_hat = rows - row_means(rows)
            scale = 1 / np.sqrt(row_means(x_hat, x_hat) + x_hat.dtype.type(self.eps))
            x_hat *= scale
        y = self._weighted(x_hat)
        if self.bias is not None:
            y += self.bias.data.reshape(1, -1)
        return self._features(y, x), (x_hat, scale)

    def pullback(
        self, context: tuple[Array, Array], gy: Array, needs_input_grad: Sequence[bool] = (True,)
    ) -> Array | None:
        x_hat, scale = context
        rows = gy.reshape(x_hat.shape)
        self._weight_gradient(x_hat, rows)
        if self.bias is not None:
            self.bias.accumulate(over_rows(rows).reshape(self.bias.shape))
        if not needs_input_grad[0]:
            return None
        h = self._weighted(rows)
        with quiet():
            projection = x_hat * row_means(h, x_hat)
            h -= row_means(h)
            h -= projection
            h *= scale
        return h.reshape(gy.shape)


class RMSNorm(_Normalization):
    """Root mean square normalization: each feature vector is divided by its root mean square, then weighted.

        x̂ = x / √(mean(x²) + ε)                 over the normalized axes
        y = weight ⊙ x̂
        gx = (h − x̂ mean(h ⊙ x̂)) / √(mean(x²) + ε),   h = weight ⊙ gy

    Args:
        normalized_shape: the lengths of the last axes, which are normalized together; an integer for one axis.
        eps: ε, 0 or more; None is the machine epsilon of the dtype of x.
        elementwise_affine: whether there is a weight.
        dtype: of the weight; float32 by default.

    Shapes: x, y (..., *normalized_shape); weight normalized_shape. The context is x̂ and 1 / √(mean(x²) + ε).
    Raises: ShapeError when the trailing axes of x are not normalized_shape; DTypeError when x is not floating.
    Source: Zhang, Sennrich 2019, arXiv:1910.07467. PyTorch: nn.RMSNorm.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        shape = self._axes(normalized_shape)
        self.normalized_shape = normalized_shape
        self.eps = None if eps is None else number(self, "eps", eps)
        self.elementwise_affine = flag(self, "elementwise_affine", elementwise_affine)
        self.dtype = dtype
        self.weight = Parameter(np.ones(shape), dtype=dtype) if elementwise_affine else None

    def compute(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        rows = self._rows(x)
        eps = np.finfo(self._dtype(x)).eps if self.eps is None else self.eps
        with quiet():
            scale = 1 / np.sqrt(row_means(rows, rows) + rows.dtype.type(eps))
            x_hat = rows * scale
        y = self._weighted(x_hat)
        return self._features(y, x), (x_hat, scale)

    def pullback(
        self, context: tuple[Array, Array], gy: Array, needs_input_grad: Sequence[bool] = (True,)
    ) -> Array | None:
        x_hat, scale = context
        rows = gy.reshape(x_hat.shape)
        self._weight_gradient(x_hat, rows)
        if not needs_input_grad[0]:
            return None
        h = self._weighted(rows)
        with quiet():
            gx = x_hat * -row_means(h, x_hat)
            gx += h
            gx *= scale
        return gx.reshape(gy.shape)


quiet = partial(np.errstate, over="ignore", invalid="ignore")
"""Where squares overflow the result is 0 or NaN, without a warning, as in PyTorch."""
