"""Loss functions, the simplest first: ``loss.forward(outputs, targets)``, then ``loss.backward()``.

Every loss is made of elementwise losses l and a reduction of them:

    'none'  l        'sum'  Σ l        'mean'  Σ l / number of elements (or what the loss itself says)

In the formulas x are the outputs, t the targets, g the gradient of the reduced loss (1 unless one is given).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DataError, DTypeError, OptionError, ShapeError, kind_of
from numpyml.kernels.sums import over_rows
from numpyml.nn.losses.targets import as_outputs, broadcastable, paired, probabilities
from numpyml.nn.module import Module
from numpyml.options import choice, integer, number, positive, weights
from numpyml.typing import Array

__all__ = ["BinaryCrossEntropyWithLogits", "CrossEntropyWithLogits", "Huber", "Loss", "MeanSquaredError"]

REDUCTIONS = ("none", "mean", "sum")


class Loss(Module):
    """What all losses share: the reduction, and a ``backward`` that starts from 1."""

    reduction: str

    def backward(self, *gradients: ArrayLike, input_gradient: bool = True) -> Any:
        """Gradient of the loss with respect to the outputs of the last ``forward`` on arrays.

        Args:
            gradients: where reduction is 'none', the weight of each element's loss, in the loss's shape.
            input_gradient: False skips the work.

        Raises:
            CallOrderError: before a ``forward`` on arrays, or twice after one.
            ShapeError: when reduction is 'none' and no gradient, or one of another shape, is given.
        """
        if not gradients and self._record is not None:
            shape, dtype = self._record[2][0]
            if shape:
                raise ShapeError(
                    f"backward expected a gradient of shape {shape}, one weight for each element's loss, since "
                    f"reduction is {self.reduction!r}; pass one, or choose the reduction 'mean' or 'sum'",
                    self,
                )
            gradients = (dtype.type(1),)
        gx = super().backward(*gradients, input_gradient=input_gradient)
        return gx[0] if isinstance(gx, tuple) else gx


class ElementwiseLoss(Loss):
    """A loss of each output and the target in the same place; 'mean' divides by the number of elements."""

    def reduce(self, losses: Array, dtype: np.dtype[Any]) -> Any:
        """The elementwise losses -> the loss, in the outputs' dtype."""
        losses = losses.astype(dtype, copy=False)  # NumPy 1 widens an array of no axes beside a Python number
        if self.reduction == "none":
            return losses
        total = np.add.reduce(losses, axis=None, dtype=accumulator(dtype))
        return dtype.type(total) if self.reduction == "sum" else divided(total, losses.size, dtype)

    def spread(self, gy: Any, size: int) -> Any:
        """The gradient of the loss -> that of every elementwise loss: one number, where they are equal."""
        return divided(gy, size, gy.dtype) if self.reduction == "mean" else gy


def weighted(x: Array, w: Any) -> Array:
    """x ⊙ w; an infinite x of weight 0 counts for nothing, which is the limit, and not NaN."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        y = np.asarray(x * w)
        if not np.isfinite(np.add.reduce(y, axis=None)):
            y[(w == 0) & np.isinf(x)] = 0
    return y


def divided(total: Any, n: Any, dtype: np.dtype[Any]) -> Any:
    """total / n in dtype, and the NaN that PyTorch gives for the mean of nothing, without a warning."""
    wide = accumulator(dtype).type
    return dtype.type(wide(total) / wide(n)) if n else dtype.type(np.nan)


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Where sums and counts are kept: the dtype itself, but float32 for float16, which ends at 65 504."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


class MeanSquaredError(ElementwiseLoss):
    """Squared distance.

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

    def pullback(self, e: Array, gy: Any, wanted: Sequence[bool] = (True, True)) -> tuple[Array | None, Array | None]:
        gx = e * (2 * self.spread(gy, e.size))
        return gx, -gx if wanted[1] else None


class Huber(ElementwiseLoss):
    """Squared near zero, linear beyond delta: outliers pull with a bounded force.

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

    def pullback(self, e: Array, gy: Any, wanted: Sequence[bool] = (True, True)) -> tuple[Array | None, Array | None]:
        gx = np.clip(e, -self.delta, self.delta) * self.spread(gy, e.size)
        return gx, -gx if wanted[1] else None


class BinaryCrossEntropyWithLogits(ElementwiseLoss):
    """How surprised a yes-or-no forecast is, told by its logit.

        l = w ( (1 − t) s(x) + p t s(−x) ),   s(x) = log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)
        gx = g w ( (1 − t) σ(x) − p t σ(−x) ),   gt = g w ( p s(−x) − s(x) )

    No exponential overflows, hard targets lose no digits however sure the forecast, and x = ±∞ gives the limit.

    Args:
        weight: w, broadcast against x.
        reduction: 'mean', 'sum' or 'none'.
        pos_weight: p, weight of the positive targets, broadcast against x.

    Shapes: x and t any, the same; the loss a scalar, or as x where nothing is reduced.
    Raises: ShapeError when the shapes differ, or a weight does not broadcast to x's; DTypeError when x is not floating
        or t not real; DataError when a target is no probability; OptionError when a weight is negative or not finite,
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
        probabilities(t, self)
        w, p = broadcastable("weight", self.weight, x, self), broadcastable("pos_weight", self.pos_weight, x, self)
        with np.errstate(invalid="ignore", under="ignore"):  # ∞ − ∞ and 0 · ∞, mended below
            e = np.exp(-np.abs(x))
            tail = np.log1p(e)
            if p is None:
                losses = np.maximum(x, 0) - x * t + tail
            else:
                losses = (1 - t) * (np.maximum(x, 0) + tail) + p * t * (np.maximum(-x, 0) + tail)
        if not np.isfinite(np.add.reduce(losses, axis=None)):
            surprised = np.where(x > 0, t < 1, t > 0 if p is None else p * t > 0)
            losses = np.where(np.isinf(x), np.where(surprised, x.dtype.type(np.inf), x.dtype.type(0)), losses)
        if w is not None:
            losses = weighted(losses, w)
        return self.reduce(losses, x.dtype), (x, t, e)

    def pullback(
        self, context: Any, gy: Any, wanted: Sequence[bool] = (True, True)
    ) -> tuple[Array | None, Array | None]:
        x, t, e = context
        w, p = broadcastable("weight", self.weight, x, self), broadcastable("pos_weight", self.pos_weight, x, self)
        g = self.spread(gy, x.size)
        if w is not None:
            g = g * w
        gx = gt = None
        if wanted[0]:
            c = np.copysign(e / (1 + e), x)  # σ(x) = up − c and σ(−x) = 1 − up + c, each to its last digit
            up = ~np.signbit(x)  # at −0, c is negative, too
            gx = ((up - t) - c if p is None else (1 - t) * (up - c) - p * t * (~up + c)) * g
        if wanted[1]:
            # p s(−x) − s(x), in which x stands alone: where p is 1, nothing is left of the logarithms
            gt = weighted(-x if p is None else (p - 1) * np.log1p(e) - weighted(x, np.where(x < 0, p, 1)), g)
        return gx, gt


class CrossEntropyWithLogits(Loss):
    """How surprised a forecast over C classes is, told by its logits.

        log p = x − max x − log Σ e^(x − max x)                the sums run over the classes
        l = −Σ q w log p,   q = (1 − ε) [class = t] + ε/C      t a class index
                            q = (1 − ε) t + ε/C                t probabilities
        gx = g (p Σ q w − q w),   gt = −g (1 − ε) w log p

    The mean of class indices weighs each by its class: Σ l / Σ w[t]; the mean of probabilities is Σ l / number of them.
    Logits of ±∞ give the limit, and NaN where there is none: all −∞, or several +∞.

    Args:
        weight: w, one for each class.
        ignore_index: targets of this class index count for nothing.
        reduction: 'mean', 'sum' or 'none'.
        label_smoothing: ε, from 0 to 1.

    Shapes: x (C,), (N, C) or (N, C, d₁, ...); t of integers: x's without C; t of probabilities: x's.
        The loss is a scalar, or one number for each forecast where nothing is reduced.
    Raises: ShapeError when the shapes do not fit; DTypeError when class indices are no integers;
        DataError when one is out of range; OptionError when an option is.
    PyTorch: nn.CrossEntropyLoss.
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight = weights(self, "weight", weight)
        self.ignore_index = integer(self, "ignore_index", ignore_index)
        self.reduction = choice(self, "reduction", reduction, REDUCTIONS)
        self.label_smoothing = number(self, "label_smoothing", label_smoothing, 0, 1)

    def compute(self, outputs: Array, targets: Array) -> tuple[Any, Any]:
        x = as_outputs(outputs, self)
        self._check(x, targets)
        w = None if self.weight is None else np.asarray(self.weight, x.dtype)
        with np.errstate(invalid="ignore", under="ignore"):  # ∞ − ∞
            z = shifted(classes_first(x))  # (C, forecasts)
            p = np.exp(z)
            total = np.add.reduce(p, axis=0, dtype=accumulator(x.dtype))
            p /= total  # in place: allocated two lines up, as z is
            log_total = np.log(total)
        if targets.dtype.kind != "f" and not self.label_smoothing:
            t, ignored = self._indices(targets, len(p))
            at = t, np.arange(t.size)
            losses = log_total - z[at]
            scale = None if w is None else w[t]
            if scale is not None:
                losses = weighted(losses, scale)
            q = log_p = others = None
            unit = 1.0
        else:
            q, unit, ignored = self._distribution(targets, p, w)
            if w is not None:
                q *= w[:, None]
            log_p = z
            log_p -= log_total
            at = q.argmax(axis=0), np.arange(q.shape[1])
            likeliest, q[at] = q[at], 0  # in place: q is new, and restored below
            others = over_rows(q)
            with np.errstate(over="ignore"):
                losses = expected_surprise(q, log_p)  # what is many times as large is added last, and rounded once
                losses += expected_surprise(likeliest[None], log_p[at][None])
                losses *= p.dtype.type(unit)
            q[at], scale = likeliest, likeliest + others
            if unit != 1 and not np.isfinite(losses).all():  # in these units they overflow before they have to
                losses = expected_surprise(q * p.dtype.type(unit), log_p)
        if ignored is not None:
            losses[ignored] = 0
        count = self._count(targets, ignored, w) if self.reduction == "mean" else None
        context = x.shape, p, at, q, unit, log_p, scale, others, ignored, count, targets.dtype.kind == "f"
        if self.reduction == "none":
            return losses.reshape(without_classes(x)).astype(x.dtype, copy=False), context
        loss = np.add.reduce(losses, dtype=accumulator(x.dtype))
        return x.dtype.type(loss) if count is None else divided(loss, count, x.dtype), context

    def pullback(
        self, context: Any, gy: Any, wanted: Sequence[bool] = (True, True)
    ) -> tuple[Array | None, Array | None]:
        shape, p, at, q, unit, log_p, scale, others, ignored, count, probabilistic = context
        g = gy.reshape(-1) if count is None else divided(gy, count, gy.dtype)
        if q is None:
            scaled = g if scale is None else g * scale
            gx = p * scaled
            gx[at] -= scaled
        else:
            gx = p * scale
            gx -= q
            # p Σ q w − q w cancels where p is all but 1: of the likeliest target, p (Σ of the others) − q w (1 − p)
            gx[at] = p[at] * others - q[at] * (1 - p[at])
            gx *= g if unit == 1 else g * gx.dtype.type(unit)
        if ignored is not None:
            gx[:, ignored] = 0
        gt = None
        if wanted[1] and probabilistic:
            w = 1 if self.weight is None else np.asarray(self.weight, p.dtype)[:, None]
            gt = classes_back(weighted(log_p, w * (-g * p.dtype.type(1 - self.label_smoothing))), shape)
        return classes_back(gx, shape), gt

    def _check(self, x: Array, targets: Array) -> None:
        """Raise unless outputs, targets and class weights fit each other."""
        index_shape = without_classes(x)
        classes = 0 if not x.ndim else x.shape[min(1, x.ndim - 1)]
        if not classes:
            raise ShapeError(f"expected outputs of shape (N, C, ...) with at least one class, got {x.shape}", self)
        kind = targets.dtype.kind
        if kind not in "iuf" or (kind == "f" and targets.shape == index_shape):
            raise DTypeError(
                f"expected integer class indices, or probabilities of shape {x.shape}, got {kind_of(targets)}; "
                "convert indices with targets.astype(np.int64)",
                self,
            )
        expected = x.shape if kind == "f" else index_shape
        if targets.shape != expected:
            raise ShapeError(
                f"expected {'probabilities' if kind == 'f' else 'class indices'} of shape {expected} for outputs of "
                f"shape {x.shape}, got {kind_of(targets)}",
                self,
            )
        if kind == "f":
            probabilities(targets, self)
            if self.ignore_index >= 0:
                raise OptionError(
                    f"expected targets to be class indices, since ignore_index={self.ignore_index} names a class, "
                    "got probabilities; leave ignore_index out",
                    self,
                )
        if self.weight is not None and np.shape(self.weight) != (classes,):
            raise ShapeError(
                f"expected weight to have one entry for each of the {classes} classes, got shape "
                f"{np.shape(self.weight)}",
                self,
            )

    def _indices(self, targets: Array, classes: int) -> tuple[Array, Array | None]:
        """Flat class indices (0 where ignored), and the mask of those ignored, if any are."""
        t: Array = targets.reshape(-1)
        if not t.size:
            return t.astype(np.intp), None
        low, high = np.minimum.reduce(t), np.maximum.reduce(t)
        ignored = t == self.ignore_index if low <= self.ignore_index <= high else None
        if ignored is not None and ignored.any():
            t = np.where(ignored, 0, t)
            low, high = np.minimum.reduce(t), np.maximum.reduce(t)
        if low < 0 or high >= classes:
            raise DataError(
                f"expected class indices from 0 to {classes - 1} (or ignore_index={self.ignore_index}), "
                f"got {low if low < 0 else high}; number the classes from 0, or give the outputs one logit for each",
                self,
            )
        return t, ignored

    def _distribution(self, targets: Array, p: Array, w: Array | None) -> tuple[Array, float, Array | None]:
        """The smoothed target distribution (C, forecasts), new, the unit it is told in, and the mask of the forecasts
        ignored, if any are.

        In units of ε/C, q = 1 + t (1 − ε) C/ε: what no target adds to is exact, as is what of it p Σ q − q leaves.
        """
        ignored = None
        if targets.dtype.kind == "f":
            q = classes_first(targets).astype(p.dtype)
        else:
            t, ignored = self._indices(targets, len(p))
            q = np.zeros_like(p)
            q[t, np.arange(t.size)] = 1
        smoothing = self.label_smoothing
        share = smoothing / len(p)
        room = float(np.finfo(p.dtype).max) ** 0.25  # in a smaller unit, sums of weighted targets could leave the range
        unit = share if share * room > (1 if w is None else max(1.0, float(w.max()))) else 1.0
        if smoothing:
            q *= (1 - smoothing) / unit
            q += share / unit
        if ignored is not None:
            q[:, ignored] = 0
        return q, unit, ignored

    def _count(self, targets: Array, ignored: Array | None, w: Array | None) -> Any:
        """What the mean divides by: the number of forecasts, or the sum of their classes' weights."""
        if targets.dtype.kind == "f":
            return targets.size // targets.shape[min(1, targets.ndim - 1)]
        t = targets.reshape(-1)
        counted = t if ignored is None else t[~ignored]
        return counted.size if w is None else np.add.reduce(w[counted], dtype=accumulator(w.dtype))


def without_classes(x: Array) -> tuple[int, ...]:
    """(N, C, d₁, ...) -> (N, d₁, ...), and (C,) -> ()."""
    return x.shape[: x.ndim > 1] + x.shape[2:]


def classes_first(x: Array) -> Array:
    """(N, C, ...) or (C,) -> (C, forecasts); few classes contiguous, so that reductions run along whole rows."""
    if x.ndim == 2 and x.shape[1] >= 64:
        return x.T
    moved = x if x.ndim == 1 else x.T if x.ndim == 2 else np.moveaxis(x, 1, 0)
    return np.ascontiguousarray(moved).reshape(len(moved), x.size // len(moved))


def classes_back(z: Array, shape: tuple[int, ...]) -> Array:
    """(C, forecasts) -> an array of ``shape``, (N, C, ...) or (C,)."""
    if len(shape) < 3:
        return z.T.reshape(shape)
    return np.moveaxis(z.reshape(shape[1], shape[0], *shape[2:]), 0, 1)


def shifted(z: Array) -> Array:
    """z − max z for each column; where the maximum is one +∞, its limit: 0 there and −∞ elsewhere."""
    largest = np.maximum.reduce(z, axis=0)
    difference: Array = z - largest
    if np.isfinite(largest).all():
        return difference
    limit = np.where(np.isposinf(z), z.dtype.type(0), z.dtype.type(-np.inf))
    single = np.isposinf(largest) & (np.isposinf(z).sum(axis=0) == 1)
    return np.where(single, limit, difference)


def expected_surprise(q: Array, log_p: Array) -> Array:
    """−Σ q log p over the classes; a class that cannot be (q = 0) adds nothing, however unlikely its forecast."""
    wide = accumulator(q.dtype)
    with np.errstate(invalid="ignore", under="ignore"):
        losses: Array = -np.add.reduce(q * log_p, axis=0, dtype=wide)
        if np.isnan(losses).any():
            losses = -np.add.reduce(q * np.where(q == 0, log_p.dtype.type(0), log_p), axis=0, dtype=wide)
    return losses
