"""Cross-entropy between logits and probabilities of a binary event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpyml.nn.losses.base import REDUCTIONS, ElementwiseLoss, broadcastable, paired, require_probabilities, weighted
from numpyml.options import choice, weights
from numpyml.typing import Array


class BinaryCrossEntropyWithLogits(ElementwiseLoss):
    """Binary cross-entropy between logits and probabilities.

        l = w ( (1 − t) s(x) + p t s(−x) ),   s(x) = log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)
        gx = g w ( (1 − t) σ(x) − p t σ(−x) ),   gt = g w ( p s(−x) − s(x) )

    No exponential overflows, hard targets lose no precision where σ(x) is near 0 or 1, and x = ±∞ gives the limit.

    Args:
        weight: w, broadcast against x.
        reduction: 'mean', 'sum' or 'none'.
        pos_weight: p, weight of the positive targets, broadcast against x.

    Shapes: x and t any, the same; the loss a scalar, or as x where nothing is reduced.
    Raises: ShapeError when the shapes differ, or a weight does not broadcast to x's; DTypeError when x is not floating
        or t not real; DataError when a target is not from 0 to 1; OptionError when a weight is not finite,
        or reduction none of these.
    PyTorch: nn.BCEWithLogitsLoss.
    """

    def __init__(
        self, weight: ArrayLike | None = None, *, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None:
        self.weight = weights(self, "weight", weight)
        self.reduction = choice(self, "reduction", reduction, REDUCTIONS)
        self.pos_weight = weights(self, "pos_weight", pos_weight)

    def compute(self, outputs: Array, targets: Array) -> tuple[Any, Any]:
        x, t = paired(outputs, targets, self)
        require_probabilities(t, self)
        w, p = broadcastable("weight", self.weight, x, self), broadcastable("pos_weight", self.pos_weight, x, self)
        with np.errstate(invalid="ignore", under="ignore"):  # ∞ − ∞ and 0 · ∞, replaced below
            e = np.exp(-np.abs(x))
            tail = np.log1p(e)
            if p is None:  # s(−x) = s(x) − x, so that l = s(x) − t x
                losses = np.maximum(x, 0) - x * t + tail
            else:
                losses = (1 - t) * (np.maximum(x, 0) + tail) + p * t * (np.maximum(-x, 0) + tail)
        if not np.isfinite(np.add.reduce(losses, axis=None)):
            share = np.where(x > 0, 1 - t, t if p is None else p * t).astype(x.dtype, copy=False)
            losses = np.where(np.isinf(x), weighted(np.abs(x), share), losses)
        if w is not None:
            losses = weighted(losses, w)
        return self.reduce(losses, x.dtype), (x, t, e)

    def pullback(
        self, context: Any, gy: Any, needs_input_grad: Sequence[bool] = (True, True)
    ) -> tuple[Array | None, Array | None]:
        x, t, e = context
        w, p = broadcastable("weight", self.weight, x, self), broadcastable("pos_weight", self.pos_weight, x, self)
        g = self.spread(gy, x.size)
        if w is not None:
            g = g * w
        gx = gt = None
        if needs_input_grad[0]:
            c = np.copysign(e / (1 + e), x)  # σ(x) = up − c and σ(−x) = 1 − up + c, each accurate where it is small
            up = ~np.signbit(x)  # at −0, c is negative, too
            gx = ((up - t) - c if p is None else (1 - t) * (up - c) - p * t * (~up + c)) * g
        if needs_input_grad[1]:
            # p s(−x) − s(x) with x by itself: where p is 1, the logarithms cancel
            gt = weighted(-x if p is None else (p - 1) * np.log1p(e) - weighted(x, np.where(x < 0, p, 1)), g)
        return gx, gt
