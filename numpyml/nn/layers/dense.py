"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import DTypeLike

from numpyml.errors import ShapeError
from numpyml.kernels.products import as_rows, product
from numpyml.kernels.sums import over_rows
from numpyml.nn import init
from numpyml.nn.module import Module, as_floats
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, generator_or_none, integer
from numpyml.typing import Array


class Dense(Module):
    """Fully connected (linear) layer.

        y = x weightᵀ + bias
        gx = gy weight,   gweight = gyᵀ x,   gbias = Σ gy      the sums run over all axes but the last

    Args:
        in_features: length of the last axis of x, 0 or more.
        out_features: length of the last axis of y, 0 or more.
        bias: whether there is a bias.
        dtype: of the parameters; float32 by default.
        generator: the source of the initial values, U(−1/√in, 1/√in); by default that of ``manual_seed``.

    Shapes: x (..., in_features), y (..., out_features); weight (out_features, in_features), bias (out_features,).
    Raises: ShapeError when the last axis of x is not in_features; DTypeError when x is not floating, or dtype is
        not; OptionError when a size is not an integer of 0 or more, or bias is not True or False.
    PyTorch: nn.Linear.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.in_features = integer(self, "in_features", in_features, 0)
        self.out_features = integer(self, "out_features", out_features, 0)
        self.dtype, self.generator = dtype, generator_or_none(self, "generator", generator)
        self.weight = Parameter(np.zeros((out_features, in_features)), dtype=dtype)
        self.bias = Parameter(np.zeros(out_features), dtype=dtype) if flag(self, "bias", bias) else None
        init.kaiming_uniform_(self.weight.data, sqrt(5), generator)  # the same interval as the bias
        if self.bias is not None:
            k = 1 / sqrt(in_features) if in_features else 0.0
            init.uniform_(self.bias.data, -k, k, generator)

    def compute(self, x: Array) -> tuple[Array, Array]:
        weight = self.weight.data
        x = as_floats(x, weight.dtype, self)
        if not x.ndim or x.shape[-1] != weight.shape[1]:
            remedy = f", or build the layer with in_features={x.shape[-1]}" if x.ndim else ""
            raise ShapeError(
                f"expected {self.in_features} features on the last axis, got x of shape {x.shape}; "
                f"pass features on the last axis{remedy}",
                self,
            )
        y = product(as_rows(x), weight)
        if self.bias is not None:
            y += self.bias.data.reshape(1, -1)  # in place: y was allocated above; a row is added faster to a single row
        return (y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)), x

    def pullback(self, x: Array, gy: Array, needs_input_grad: Sequence[bool] = (True,)) -> Array | None:
        rows = as_rows(gy)
        self.weight.accumulate_product(rows.T, as_rows(x))
        if self.bias is not None:
            self.bias.accumulate(over_rows(rows))
        return (rows @ self.weight.data).reshape(x.shape) if needs_input_grad[0] else None
