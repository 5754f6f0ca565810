"""Regression losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpyml.nn.losses.base import REDUCTIONS, ElementwiseLoss, paired
from numpyml.options import choice, positive
from numpyml.typing import Array


class MeanSquaredError(ElementwiseLoss):
    """Mean squared error.

        l = (x − t)²
        gx = 2 g (x − t),   gt = −gx

    Args:
        reduction: 'mean', 'sum' or 'none'.

    Shapes: x and t any, the same; the loss a scalar, or as x where nothing is reduced.
    Raises: ShapeError when the shapes differ (nothing is broadcast); DTypeError when x is not floating or t not real;
        OptionError when reduction is none of these.
    PyTorch: nn.MSELoss.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = choice(self, "reduction", reduction, REDUCTIONS)

    def compute(self, outputs: Array, targets: Array) -> tuple[Any, Array]:
        x, t = paired(outputs, targets, self)
        e = x - t
        return self.reduce(np.square(e), e.dtype), e

    def pullback(
        self, e: Array, gy: Any, needs_input_grad: Sequence[bool] = (True, True)
    ) -> tuple[Array | None, Array | None]:
        gx = e * (2 * self.spread(gy, e.size))
        return gx, -gx if needs_input_grad[1] else None


class Huber(ElementwiseLoss):
    """Huber loss: squared error near 0, absolute error beyond delta.

        l = ½ e²             where |e| ≤ δ,   e = x − t
        l = δ (|e| − ½ δ)    elsewhere
        gx = g · clip(e, −δ, δ),   gt = −gx

    With c = min(|e|, δ) both cases are l = c (|e| − ½ c).

    Args:
        reduction: 'mean', 'sum' or 'none'.
        delta: where the two meet, above 0.

    Shapes: x and t any, the same; the loss a scalar, or as x where nothing is reduced.
    Raises: ShapeError when the shapes differ; DTypeError when x is not floating or t not real; OptionError when delta
        is not positive or reduction none of these.
    Source: Huber 1964, Ann. Math. Statist. 35. PyTorch: nn.HuberLoss.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction = choice(self, "reduction", reduction, REDUCTIONS)
        self.delta = positive(self, "delta", delta)

    def compute(self, outputs: Array, targets: Array) -> tuple[Any, Array]:
        x, t = paired(outputs, targets, self)
        e = x - t
        a = np.abs(e)
        c = np.minimum(a, self.delta)
        return self.reduce(c * (a - c / 2), e.dtype), e

    def pullback(
        self, e: Array, gy: Any, needs_input_grad: Sequence[bool] = (True, True)
    ) -> tuple[Array | None, Array | None]:
        gx = np.clip(e, -self.delta, self.delta) * self.spread(gy, e.size)
        return gx, -gx if needs_input_grad[1] else None
