"""Schedules that multiply the rate by a factor of t. The symbols are those of :mod:`numpyml.nn.schedulers.base`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.schedulers.base import Scheduler
from numpyml.options import integer, list_or_none, number, positive, require


def _function(owner: object, name: str, value: Any) -> Any:
    require(callable(value), owner, name, value, "a function of t, or a list of them")
    return value


class LambdaLR(Scheduler):
    """The initial rate times a function of t.

        η = η₀ f(t)

    Args:
        optimizer: see :class:`Scheduler`.
        lr_lambda: f, or a list with one for each group.

    PyTorch: optim.lr_scheduler.LambdaLR.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        self.functions = self._for_groups(optimizer, "lr_lambda", lr_lambda, "a function of t", _function)
        super().__init__(optimizer)

    def _options(self, t: int, present: Sequence[float]) -> list[dict[str, Any]]:
        factors = [number(self, "lr_lambda(t)", f(t), -inf) for f in self.functions]
        return [{"learning_rate": base * factor} for base, factor in zip(self.base_rates, factors, strict=True)]


class StepLR(Scheduler):
    """Decay by a factor every ``step_size`` steps.

        η ← γ η at every t that step_size divides

    Args:
        optimizer: see :class:`Scheduler`.
        step_size: 1 or more.
        gamma: γ.

    PyTorch: optim.lr_scheduler.StepLR.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = integer(self, "step_size", step_size, 1), number(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        return now if t == 0 or t % self.step_size else now * self.gamma


class MultiStepLR(Scheduler):
    """Decay by a factor at milestones.

        η ← γ η at every t among the milestones; η ← γ² η where it is listed twice

    Args:
        optimizer: see :class:`Scheduler`.
        milestones: integers of 0 or more.
        gamma: γ.

    PyTorch: optim.lr_scheduler.MultiStepLR.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        items = list_or_none(milestones)
        require(items is not None, self, "milestones", milestones, "a list of integers of 0 or more")
        self.milestones = dict(Counter(integer(self, "milestones", t, 0) for t in items or ()))
        self.gamma = number(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        return float(now * self.gamma ** self.milestones[t]) if t in self.milestones else now


class ExponentialLR(Scheduler):
    """Decay by a factor at every step.

        η ← γ η

    Args:
        optimizer: see :class:`Scheduler`.
        gamma: γ.

    PyTorch: optim.lr_scheduler.ExponentialLR.
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = number(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        return now * self.gamma if t else now


class LinearLR(Scheduler):
    """The initial rate times a factor that changes linearly: a warm-up.

        η = η₀ (a + (b − a) min(t, T) / T)
        η ← η (1 + (b − a) / (a T + (b − a) (t − 1)))      t ≤ T: the same, from the present rate

    Args:
        optimizer: see :class:`Scheduler`.
        start_factor: a, above 0 and up to 1.
        end_factor: b, 0 to 1.
        total_iters: T, 1 or more.

    PyTorch: optim.lr_scheduler.LinearLR.
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        number(self, "start_factor", start_factor, 0, 1)
        self.start_factor = positive(self, "start_factor", start_factor)
        self.end_factor = number(self, "end_factor", end_factor, 0, 1)
        self.total_iters = integer(self, "total_iters", total_iters, 1)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        a, rise = self.start_factor, self.end_factor - self.start_factor
        if t == 0:
            return now * a
        if t > self.total_iters:
            return now
        return max(0.0, now * (1 + rise / (self.total_iters * a + (t - 1) * rise)))  # never below 0 by a rounding
