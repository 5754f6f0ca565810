"""A schedule that follows a metric."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.optimizers.groups import set_all
from numpyml.nn.schedulers.base import Scheduler
from numpyml.options import choice, integer, number, require


class ReduceLROnPlateau(Scheduler):
    """Decay by a factor whenever a metric, such as the validation loss, has stopped improving.

        η ← max(factor η, min_lr)       after more than ``patience`` steps without improvement

    Args:
        optimizer: see :class:`Scheduler`.
        mode: 'min' where a smaller metric is better, 'max' where a larger one is.
        factor: below 1.
        patience: number of steps.
        threshold: the smallest improvement that counts, relative to the best value so far in threshold_mode 'rel',
            absolute in 'abs'.
        threshold_mode: 'rel' or 'abs'.
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: the smallest rate; a list has one for each group.
        eps: a change of no more than this is not made.

    ``step(metrics)`` takes the metric. PyTorch: optim.lr_scheduler.ReduceLROnPlateau.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
        threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | Sequence[float] = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        number(self, "factor", factor, 0, 1)
        require(factor < 1, self, "factor", factor, "below 1")
        self.min_rates = self._for_groups(optimizer, "min_lr", min_lr, "a number", partial(number, low=-inf))
        self.mode, self.factor = choice(self, "mode", mode, ("min", "max")), factor
        self.patience, self.cooldown = integer(self, "patience", patience, 0), integer(self, "cooldown", cooldown, 0)
        self.threshold = number(self, "threshold", threshold)
        self.threshold_mode = choice(self, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.eps = number(self, "eps", eps)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        return now

    def _go_to(self, t: int, present: Sequence[float]) -> None:
        super()._go_to(t, present)
        self.best = inf if self.mode == "min" else -inf
        self.waited = self.cooling = 0

    def step(self, metrics: float | None = None) -> None:
        """Take the newest value of the metric."""
        value = self._as_number(metrics)
        better = self._better(value)
        waited, cooling = (0 if better else self.waited + 1), self.cooling
        if cooling:
            waited, cooling = 0, cooling - 1
        if waited > self.patience:
            self._reduce()
            waited, cooling = 0, self.cooldown
        self.waited, self.cooling = waited, cooling
        self.best = value if better else self.best
        self.last_epoch += 1

    def _as_number(self, metrics: Any) -> float:
        value: Any = None
        with suppress(TypeError, ValueError, OverflowError):
            value = float(metrics)
        valid = value is not None and not isinstance(metrics, (str, bytes))
        require(valid, self, "metrics", metrics, "the metric to watch, a number")
        return value

    def _better(self, value: float) -> bool:
        minimize, threshold = self.mode == "min", self.threshold
        if self.threshold_mode == "rel":
            return value < self.best * (1.0 - threshold) if minimize else value > self.best * (threshold + 1.0)
        return value < self.best - threshold if minimize else value > self.best + threshold

    def _reduce(self) -> None:
        groups = self._groups()
        rates = []
        for now, least in zip(self.get_last_lr(), self.min_rates, strict=True):
            rate = max(now * self.factor, least)
            rates.append(rate if now - rate > self.eps else now)
        set_all(groups, [{"learning_rate": rate} for rate in rates])
