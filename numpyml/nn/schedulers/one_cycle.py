"""The one-cycle schedule of learning rate and momentum."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from typing import Any

from numpyml.errors import OptionError
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.schedulers.base import Scheduler
from numpyml.options import choice, flag, integer, number, positive, require


class OneCycleLR(Scheduler):
    """One cycle over a whole training: the rate rises to its maximum and falls to a minimum, the momentum the reverse.

        rate      max_lr / div_factor → max_lr → max_lr / div_factor / final_div_factor
        momentum  max_momentum → base_momentum → max_momentum

    Args:
        optimizer: see :class:`Scheduler`.
        max_lr: the largest rate; a list has one for each group.
        total_steps: the number of steps of the training; None: epochs · steps_per_epoch.
        epochs, steps_per_epoch: needed without total_steps only.
        pct_start: the fraction of the steps in which the rate rises.
        anneal_strategy: the curve between these values: 'cos', half a cosine, or 'linear'.
        cycle_momentum: whether to change momentum, or the first of betas.
        base_momentum, max_momentum: its smallest and largest value.
        div_factor, final_div_factor: see above.
        three_phase: fall to the initial rate in as many steps as it rose, and from there to the minimum.

    The step after the last of total_steps keeps its rate; one more is an OptionError.

    Source: Smith, Topin 2017, arXiv:1708.07120. PyTorch: optim.lr_scheduler.OneCycleLR.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float = 0.85,
        max_momentum: float = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False,
    ) -> None:  # fmt: skip
        groups = getattr(optimizer, "param_groups", ())
        if total_steps is None:
            valid = epochs is not None and steps_per_epoch is not None
            require(valid, self, "total_steps", None, "given, or else epochs and steps_per_epoch")
            total_steps = integer(self, "epochs", epochs, 1) * integer(self, "steps_per_epoch", steps_per_epoch, 1)
        self.total_steps = integer(self, "total_steps", total_steps, 1)
        self.max_rates = self._for_groups(optimizer, "max_lr", max_lr, "a number", positive)
        self.pct_start = number(self, "pct_start", pct_start, 0, 1)
        self.anneal_strategy = choice(self, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = flag(self, "cycle_momentum", cycle_momentum)
        self.three_phase = flag(self, "three_phase", three_phase)
        self.base_momentum = number(self, "base_momentum", base_momentum, 0, 1)
        self.max_momentum = number(self, "max_momentum", max_momentum, 0, 1)
        self.div_factor = positive(self, "div_factor", div_factor)
        self.final_div_factor = positive(self, "final_div_factor", final_div_factor)
        valid = not cycle_momentum or all({"momentum", "betas"} & set(group) for group in groups)
        require(valid, self, "cycle_momentum", cycle_momentum, "False: this optimizer has neither momentum nor betas")
        super().__init__(optimizer)

    def _options(self, t: int, present: Sequence[float]) -> list[dict[str, Any]]:
        if t > self.total_steps:
            raise OptionError(
                f"{type(self).__name__} expected at most {self.total_steps} steps, got step {t}; "
                "make it with total_steps of the whole training"
            )
        phase, part = self._phase(t)
        options: list[dict[str, Any]] = []
        for group, largest in zip(self._groups(), self.max_rates, strict=True):
            first = largest / self.div_factor
            last = first / self.final_div_factor
            rates = [(first, largest), (largest, last)]
            if self.three_phase:
                rates = [(first, largest), (largest, first), (first, last)]
            changes: dict[str, Any] = {"learning_rate": self._between(*rates[phase], part)}
            if self.cycle_momentum:
                high, low = self.max_momentum, self.base_momentum
                momentum = self._between(*((high, low), (low, high), (high, high))[phase], part)
                changes |= {"betas": (momentum, *group["betas"][1:])} if "betas" in group else {"momentum": momentum}
            options.append(changes)
        return options

    def _phase(self, t: int) -> tuple[int, float]:
        """The phase that t is in, and the fraction of it that has passed."""
        ends = [float(self.pct_start * self.total_steps) - 1, self.total_steps - 1]
        if self.three_phase:
            ends.insert(1, float(2 * self.pct_start * self.total_steps) - 2)
        starts = [0.0, *ends]
        phase = next((i for i, end in enumerate(ends) if t <= end), len(ends) - 1)
        length = ends[phase] - starts[phase]
        return phase, min((t - starts[phase]) / length, 1.0) if length else 1.0

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (cos(pi * part) + 1)
        return (end - start) * part + start
