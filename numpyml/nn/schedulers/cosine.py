"""Schedules along a cosine. The symbols are those of :mod:`numpyml.nn.schedulers.base`."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.optimizers.groups import set_all
from numpyml.nn.schedulers.base import Scheduler
from numpyml.options import integer, number


class CosineAnnealingLR(Scheduler):
    """Annealing along half a cosine, and back up after its end.

        η = η₁ + (η₀ − η₁) (1 + cos(π t / T)) / 2
        η ← η₁ + (η − η₁) (1 + cos(π t / T)) / (1 + cos(π (t − 1) / T))      the same, from the present rate

    Args:
        optimizer: see :class:`Scheduler`.
        T_max: T, 1 or more.
        eta_min: η₁.

    Source: Loshchilov, Hutter 2017, arXiv:1608.03983. PyTorch: optim.lr_scheduler.CosineAnnealingLR.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803  # PyTorch's name
        self.T_max, self.eta_min = integer(self, "T_max", T_max, 1), number(self, "eta_min", eta_min)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        T, low = self.T_max, self.eta_min  # noqa: N806
        if t == 0:
            return now
        if (t - 1 - T) % (2 * T) == 0:  # at the minimum the recurrence would divide by 0
            return now + (base - low) * (1 - cos(pi / T)) / 2
        return (1 + cos(pi * t / T)) / (1 + cos(pi * (t - 1) / T)) * (now - low) + low


class CosineAnnealingWarmRestarts(Scheduler):
    """Annealing along half a cosine, restarted at the end of each period; periods may grow.

        η = η₁ + (η₀ − η₁) (1 + cos(π t / Tᵢ)) / 2,   Tᵢ₊₁ = T_mult Tᵢ,   t counted from the last restart

    Args:
        optimizer: see :class:`Scheduler`.
        T_0: the first Tᵢ, 1 or more.
        T_mult: an integer of 1 or more.
        eta_min: η₁.

    ``step(epoch)`` sets t, which may be a fraction: epoch + batch / batches.

    Source: Loshchilov, Hutter 2017, arXiv:1608.03983. PyTorch: optim.lr_scheduler.CosineAnnealingWarmRestarts.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:  # noqa: N803
        self.T_0, self.T_mult = integer(self, "T_0", T_0, 1), integer(self, "T_mult", T_mult, 1)
        self.eta_min = number(self, "eta_min", eta_min)
        super().__init__(optimizer)

    def step(self, epoch: float | None = None) -> None:
        """Advance to the next t, or to this one."""
        if epoch is not None:
            self._go_to(number(self, "epoch", epoch), self.base_rates)
        elif self.T_cur + 1 < self.T_i:
            self._anneal(self.last_epoch + 1, self.T_cur + 1, self.T_i)
        else:
            self._anneal(self.last_epoch + 1, (self.T_cur + 1) % self.T_i, self.T_i * self.T_mult)

    def _go_to(self, t: float, present: Sequence[float]) -> None:
        since, period = t, self.T_0
        while self.T_mult > 1 and since >= period:
            since, period = since - period, period * self.T_mult
        self._anneal(int(t), since % period, period)

    def _anneal(self, last_epoch: int, since: float, period: int) -> None:
        """Set the rates ``since`` steps after a restart."""
        low, part = self.eta_min, (1 + cos(pi * since / period)) / 2
        set_all(self._groups(), [{"learning_rate": low + (base - low) * part} for base in self.base_rates])
        self.last_epoch, self.T_cur, self.T_i = last_epoch, since, period
