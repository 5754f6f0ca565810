"""Schedules along a cosine. The symbols are those of :mod:`numpyml.nn.schedulers.base`."""

from __future__ import annotations

from math import cos, pi

from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.schedulers.base import Scheduler
from numpyml.options import integer, number


class CosineAnnealingLR(Scheduler):
    """Annealing along half a cosine, and back up after its end.

        η = η₁ + (η₀ − η₁) (1 + cos(π t / T)) / 2

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
        self.T_i, self.T_cur = T_0, 0.0
        super().__init__(optimizer)

    def step(self, epoch: float | None = None) -> None:
        """Advance to the next t, or to this one."""
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            t = number(self, "epoch", 0 if epoch is None else epoch)
            self.last_epoch = int(t)
            self.T_i = self.T_0
            while self.T_mult > 1 and t >= self.T_i:
                t -= self.T_i
                self.T_i *= self.T_mult
            self.T_cur = t % self.T_i
        self._set(self.last_epoch)

    def restart(self) -> None:
        """Return to t = 0."""
        self.step(0)

    def rate(self, base: float, now: float, t: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + cos(pi * self.T_cur / self.T_i)) / 2
