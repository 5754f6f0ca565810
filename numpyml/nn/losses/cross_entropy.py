"""Cross-entropy between logits and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DataError, DTypeError, OptionError, ShapeError, kind_of
from numpyml.kernels import thresholds
from numpyml.kernels.softmax import cross_entropy_gradient, index_gradient, shifted_columns, sums
from numpyml.kernels.sums import accumulator, over_rows
from numpyml.nn.losses.base import REDUCTIONS, Loss, as_outputs, divided, require_probabilities, weighted
from numpyml.options import choice, integer, number, weights
from numpyml.typing import Array


class CrossEntropyWithLogits(Loss):
    """Cross-entropy between logits and class indices or probabilities.

        log p = x − max x − log Σ e^(x − max x)                the sums run over the classes
        l = −Σ q w log p,   q = (1 − ε) [class = t] + ε/C      t a class index
                            q = (1 − ε) t + ε/C                t probabilities
        gx = g (p Σ q w − q w),   gt = −g (1 − ε) w log p

    The mean over class indices is Σ l / Σ w[t], weighted by their classes; over probabilities it is Σ l / predictions.
    Logits of ±∞ give the limit, and NaN where there is none: all −∞, or several +∞.

    Args:
        weight: w, one for each class.
        ignore_index: targets of this class index do not contribute.
        reduction: 'mean', 'sum' or 'none'.
        label_smoothing: ε, from 0 to 1.

    Shapes: x (C,), (N, C) or (N, C, d₁, ...); t of integers: x's without C; t of probabilities: x's.
        The loss is a scalar, or one for each prediction where nothing is reduced.
    Raises: ShapeError when the shapes do not fit; DTypeError when class indices are not integers;
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
        z = classes_first(x)  # (C, n), n predictions
        hard = targets.dtype.kind != "f"
        t, ignored = self._indices(targets, len(z)) if hard else (None, None)
        at = (t, np.arange(len(t))) if t is not None else None
        with np.errstate(invalid="ignore", under="ignore"):  # ∞ − ∞
            z = shifted_columns(z)
            p = np.exp(z)
            total = np.add.reduce(p, axis=0, dtype=np.float32) if p.itemsize == 2 else sums(p, 0)[0]
            p /= total
            log_total = np.log(total)
        scale = qw = log_p = None
        unit = 1.0  # of q w
        if at is not None and not self.label_smoothing:
            losses = log_total - z[at]
            if w is not None:
                scale = w[t]
                losses = weighted(losses, scale)
        else:
            log_p = z
            log_p -= log_total
            qw, unit = self._distribution(targets, at, p)
            if w is not None:
                qw *= w[:, None]
            terms = weighted(log_p, qw).astype(accumulator(p.dtype), copy=False)
            target: Array | int = 0
            if at is not None:  # its term is much larger than the others: added to each of them, it would lose digits
                target, terms[at] = terms[at], 0
            losses = -(over_rows(terms) + target) * p.dtype.type(unit)
        if ignored is not None:
            losses[ignored] = 0
        count = self._count(targets, ignored, w) if self.reduction == "mean" else None
        context = x.shape, p, at, qw, unit, scale, None if hard else log_p, ignored, count
        if self.reduction == "none":
            return losses.reshape(without_classes(x)).astype(x.dtype, copy=False), context
        loss = np.add.reduce(losses, dtype=accumulator(x.dtype))
        return x.dtype.type(loss) if count is None else divided(loss, count, x.dtype), context

    def pullback(
        self, context: Any, gy: Any, needs_input_grad: Sequence[bool] = (True, True)
    ) -> tuple[Array | None, Array | None]:
        shape, p, at, qw, unit, scale, log_p, ignored, count = context
        g = gy.reshape(-1) if count is None else divided(gy, count, gy.dtype)
        if qw is None:
            gx = index_gradient(p, at, g if scale is None else g * scale)
        else:
            gx = cross_entropy_gradient(p, qw)
            gx *= g * p.dtype.type(unit)
        if ignored is not None:
            gx[:, ignored] = 0
        gt = None
        if needs_input_grad[1] and log_p is not None:
            w = 1 if self.weight is None else np.asarray(self.weight, p.dtype)[:, None]
            gt = classes_back(weighted(log_p, w * (-g * p.dtype.type(1 - self.label_smoothing))), shape)
        return classes_back(gx, shape), gt

    def _check(self, x: Array, targets: Array) -> None:
        """Raise unless outputs, targets and class weights fit each other."""
        index_shape = without_classes(x)
        classes = 0 if not x.ndim else x.shape[min(1, x.ndim - 1)]
        if not classes:
            raise ShapeError(
                f"expected outputs of shape (N, C, ...) with at least one class, got {x.shape}; "
                "pass one logit for each class, on axis 1",
                self,
            )
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
                f"shape {x.shape}, got {kind_of(targets)}; "
                f"pass one for each {'logit' if kind == 'f' else 'prediction'}",
                self,
            )
        if kind == "f":
            require_probabilities(targets, self)
            if self.ignore_index >= 0:
                raise OptionError(
                    f"expected targets to be class indices, since ignore_index={self.ignore_index} names a class, "
                    "got probabilities; leave ignore_index out",
                    self,
                )
        if self.weight is not None and np.shape(self.weight) != (classes,):
            raise ShapeError(
                f"expected weight to have one entry for each of the {classes} classes, got shape "
                f"{np.shape(self.weight)}; build the loss with such weights",
                self,
            )

    def _indices(self, targets: Array, classes: int) -> tuple[Array, Array | None]:
        """Flat class indices (0 where ignored), and the mask of those ignored; None where none is."""
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

    def _distribution(self, targets: Array, at: Any, p: Array) -> tuple[Array, float]:
        """The smoothed target distribution q, (C, n), new, and the unit that it is in.

        The unit is ε/C, so that q = 1 + t (1 − ε) C/ε is exactly 1 for all classes but the target: where p is nearly
        uniform, only the difference of such terms is left in the gradient.
        """
        if at is None:
            q = classes_first(targets).astype(p.dtype)
        else:
            q = np.zeros_like(p)
            q[at] = 1
        smoothing = self.label_smoothing
        in_units = p.itemsize > 2 and smoothing > np.finfo(p.dtype).eps  # float16 has too small a range
        unit = smoothing / len(p) if in_units else 1.0
        if smoothing:
            q *= (1 - smoothing) / unit
            q += smoothing / len(p) / unit
        return q, unit

    def _count(self, targets: Array, ignored: Array | None, w: Array | None) -> Any:
        """The divisor of the mean: the number of predictions, or the sum of their classes' weights."""
        if targets.dtype.kind == "f":
            return targets.size // targets.shape[min(1, targets.ndim - 1)]
        t = targets.reshape(-1)
        counted = t if ignored is None else t[~ignored]
        return counted.size if w is None else np.add.reduce(w[counted], dtype=accumulator(w.dtype))


def without_classes(x: Array) -> tuple[int, ...]:
    """(N, C, d₁, ...) -> (N, d₁, ...), and (C,) -> ()."""
    return x.shape[: x.ndim > 1] + x.shape[2:]


def classes_first(x: Array) -> Array:
    """(N, C, ...) or (C,) -> (C, n); contiguous where classes are few, so that reductions run along whole rows."""
    if x.ndim == 2 and x.shape[1] >= thresholds.CLASSES_LAST:
        return x.T
    moved = x if x.ndim == 1 else x.T if x.ndim == 2 else np.moveaxis(x, 1, 0)
    return np.ascontiguousarray(moved).reshape(len(moved), x.size // len(moved))


def classes_back(z: Array, shape: tuple[int, ...]) -> Array:
    """(C, n) -> an array of ``shape``, (N, C, ...) or (C,)."""
    if len(shape) < 3:
        return z.T.reshape(shape)
    return np.moveaxis(z.reshape(shape[1], shape[0], *shape[2:]), 0, 1)
