"""Layers that bring every feature vector to one size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyml.errors import ShapeError
from numpyml.kernels.sums import over_rows, row_sums
from numpyml.nn.module import Module, as_floats
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, integer, number
from numpyml.typing import Array

__all__ = ["LayerNorm", "RMSNorm"]


class _Normalization(Module):
    """What the two share: the axes that are normalised, and a weight for each element of them."""

    normalized_shape: int | Sequence[int]
    weight: Parameter | None

    def _axes(self, normalized_shape: Any) -> tuple[int, ...]:
        """``normalized_shape`` as a tuple, checked."""
        several = isinstance(normalized_shape, (tuple, list)) and len(normalized_shape) > 0
        for n in normalized_shape if several else (normalized_shape,):
            integer(self, "normalized_shape", n, 1)
        return tuple(normalized_shape) if several else (normalized_shape,)

    def _rows(self, x: Array) -> Array:
        """x as (vectors, elements of each)."""
        weight = self.weight
        x = as_floats(x, None if weight is None else weight.dtype, self)
        shape = self._axes(self.normalized_shape) if weight is None else weight.shape
        if x.shape[-len(shape) :] != shape:
            raise ShapeError(
                f"expected the last axes of x to be {shape}, got x of shape {x.shape}; "
                "pass features there, or build the layer for that shape",
                self,
            )
        return x.reshape(-1, prod(shape))

    def _weighted(self, rows: Array) -> Array:
        return rows if self.weight is None else rows * self.weight.data.reshape(1, -1)

    def _weight_gradient(self, x_hat: Array, rows: Array) -> None:
        if self.weight is not None and self.weight.requires_grad:
            self.weight.accumulate(over_rows(rows * x_hat).reshape(self.weight.shape))


class LayerNorm(_Normalization):
    """Normalise each feature vector, then rescale it.

        x̂ = (x − μ) / √(σ² + ε)                 μ, σ² over the normalised axes, σ² biased
        y = weight ⊙ x̂ + bias
        gx = (h − mean(h) − x̂ mean(h ⊙ x̂)) / √(σ² + ε),   h = weight ⊙ gy

    Args:
        normalized_shape: the lengths of the last axes, which are normalised together; a number for one axis.
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
        """As any module's; without a weight there is no bias, whatever was asked for."""
        return True if name == "bias" and self.weight is None else super().argument(name)

    def compute(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        rows = self._rows(x)
        with quietly():
            x_hat = rows - means(rows)
            scale = one_over_size(x_hat, self.eps)
        x_hat *= scale
        y = self._weighted(x_hat)
        if self.bias is not None:
            y += self.bias.data.reshape(1, -1)  # in place: with a bias there is a weight, and y is new
        return (y.copy() if y is x_hat else y).reshape(x.shape), (x_hat, scale)

    def pullback(self, context: tuple[Array, Array], gy: Array, wanted: Sequence[bool] = (True,)) -> Array | None:
        x_hat, scale = context
        rows = gy.reshape(x_hat.shape)
        self._weight_gradient(x_hat, rows)
        if self.bias is not None:
            self.bias.accumulate(over_rows(rows).reshape(self.bias.shape))
        if not wanted[0]:
            return None
        h = self._weighted(rows)
        with quietly():
            gx = along(x_hat, h, scale)
            h = np.subtract(h, means(h), out=None if h is rows else h)
            h *= scale
            gx += h
        return gx.reshape(gy.shape)


class RMSNorm(_Normalization):
    """Divide each feature vector by its root mean square, then rescale it.

        x̂ = x / √(mean(x²) + ε)                 over the normalised axes
        y = weight ⊙ x̂
        gx = (h − x̂ mean(h ⊙ x̂)) / √(mean(x²) + ε),   h = weight ⊙ gy

    Args:
        normalized_shape: the lengths of the last axes, which are normalised together; a number for one axis.
        eps: ε, 0 or more; None is one unit in the last place of 1, in the dtype of x.
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
        eps = np.finfo(rows.dtype).eps if self.eps is None else self.eps
        with quietly():
            scale = one_over_size(rows, eps)
        x_hat = rows * scale
        y = self._weighted(x_hat)
        return (y.copy() if y is x_hat else y).reshape(x.shape), (x_hat, scale)

    def pullback(self, context: tuple[Array, Array], gy: Array, wanted: Sequence[bool] = (True,)) -> Array | None:
        x_hat, scale = context
        rows = gy.reshape(x_hat.shape)
        self._weight_gradient(x_hat, rows)
        if not wanted[0]:
            return None
        h = self._weighted(rows)
        with quietly():
            gx = along(x_hat, h, scale)
            gx += np.multiply(h, scale, out=None if h is rows else h)
        return gx.reshape(gy.shape)


dots: Callable[[Array, Array], Array] = getattr(np, "vecdot", functools.partial(np.einsum, "ij,ij->i"))
"""Σ a ⊙ b of every row; NumPy 1 has no vecdot."""


quietly = functools.partial(np.errstate, over="ignore", invalid="ignore")
"""Where a sum may overflow: that is mended, or shows in what comes out."""


def means(a: Array, b: Array | None = None) -> Array:
    """The mean of a, or of a ⊙ b, of every row: (n, d) -> (n, 1)."""
    sums = row_sums(a) if b is None else dots(a, b)
    return (sums / a.dtype.type(a.shape[1]))[:, np.newaxis]


def along(x_hat: Array, h: Array, scale: Array) -> Array:
    """−x̂ mean(h ⊙ x̂) scale, new. Of tiny x̂ the first product alone would underflow, of huge h the last overflow."""
    mean = -means(h, x_hat)
    factor = mean * scale
    return x_hat * factor if np.isfinite(factor).all() else x_hat * scale * mean


def one_over_size(rows: Array, eps: Any) -> Array:
    """1 / √(mean of squares + ε) of each row: (n, d) -> (n, 1); where squares overflow, of the row made smaller."""
    squares = means(rows, rows)
    largest = squares.item() if len(squares) == 1 else np.maximum.reduce(squares, axis=None, initial=0)
    if not largest < np.inf:
        largest = np.max(np.abs(rows), axis=1, keepdims=True)
        largest = np.where(np.isfinite(largest) & (largest > 1), largest, 1).astype(rows.dtype)
        squares = means(rows / largest, rows / largest) + rows.dtype.type(eps) / largest / largest
        return 1 / np.sqrt(squares) / largest
    size: Array = 1 / np.sqrt(squares + rows.dtype.type(eps))
    return size
