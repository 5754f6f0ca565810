"""Flatten."""

from __future__ import annotations

from math import prod

from numpyml.errors import DTypeError, ShapeError, kind_of
from numpyml.nn.module import Module
from numpyml.options import integer
from numpyml.typing import Array


class Flatten(Module):
    """Flatten the axes from start_dim to end_dim into one.

        y = x reshaped,   gx = gy reshaped back

    Args:
        start_dim: the first of the axes; negative ones count from the end.
        end_dim: the last of the axes.

    Shapes: x (*before, d₁, ..., dₙ, *after), y (*before, d₁ ⋯ dₙ, *after). y and gx are views of x and gy
        where possible, as in PyTorch.
    Raises: ShapeError when x lacks these axes, or start_dim comes after end_dim; DTypeError when x is not
        of real numbers; OptionError when an option is not an integer.
    PyTorch: nn.Flatten.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = integer(self, "start_dim", start_dim)
        self.end_dim = integer(self, "end_dim", end_dim)

    def compute(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        if x.dtype.kind not in "biuf":
            raise DTypeError(f"expected real numbers, got {kind_of(x)}; convert them: x.astype(np.float32)", self)
        axes = max(x.ndim, 1)  # PyTorch treats a scalar as an array of one axis
        start, end = (dim + axes if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < axes:
            raise ShapeError(
                f"expected x to have the axes from {self.start_dim} to {self.end_dim}, in this order, "
                f"got x of shape {x.shape}; choose start_dim and end_dim among its axes",
                self,
            )
        return x.reshape(*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]), x.shape

    def pullback(self, shape: tuple[int, ...], gy: Array) -> Array:
        return gy.reshape(shape)
