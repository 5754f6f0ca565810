"""Learning-rate schedules: after each epoch, or each batch, ``step()`` sets the rate of every parameter group.

η is the rate of a group, η₀ the one it had before its first schedule, t how often ``step`` was called. Where the next
rate is made from the present one, several schedules of one optimizer may be stepped in turn: their factors multiply.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import cos, inf, pi
from typing import Any
from weakref import WeakKeyDictionary

from numpyml.errors import OptionError, StateError
from numpyml.names import ExplainsKeywords
from numpyml.nn.optimizers.base import Optimizer
from numpyml.options import choice, flag, integer, number, positive, require

__all__ = [
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR",
    "OneCycleLR", "ReduceLROnPlateau", "Scheduler", "SequentialLR", "StepLR",
]  # fmt: skip

# The rate of every group before its first schedule: the next schedule of the same optimizer starts from there as well.
_INITIAL: WeakKeyDictionary[Optimizer, list[float]] = WeakKeyDictionary()


class Scheduler(ExplainsKeywords):
    """What all schedules share.

    ``get_last_lr()`` is the present rate of every group; ``state_dict()`` what a later ``load_state_dict`` of a
    schedule made with the same options goes on from. The optimizer's own rates are in its own state dict.

    Args:
        optimizer: whose rates are set; at once to those of t = 0.

    Raises: OptionError for what is no optimizer, and for options out of their range.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        require(isinstance(optimizer, Optimizer), self, "optimizer", optimizer, "an optimizer of numpyml.nn.optimizers")
        self.optimizer = optimizer
        initial = _INITIAL.setdefault(optimizer, [])
        initial += [group["learning_rate"] for group in optimizer.param_groups[len(initial) :]]
        self.base_rates = list(initial)
        self.last_epoch = -1
        self.step()

    def rate(self, base: float, now: float, t: int) -> float:
        """The rate at t of a group that began with ``base`` and has ``now``."""
        raise NotImplementedError

    def step(self) -> None:
        """Go on to the next t."""
        self.last_epoch += 1
        self._set(self.last_epoch)

    def restart(self) -> None:
        """Back to t = 0."""
        self.last_epoch = 0
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["learning_rate"] = base
        self._set(0)

    def _set(self, t: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_rates):
            raise StateError(
                f"{type(self).__name__} expected {len(self.base_rates)} parameter groups, got {len(groups)}; "
                "add groups first, then make the schedule"
            )
        rates = [self.rate(base, g["learning_rate"], t) for base, g in zip(self.base_rates, groups, strict=True)]
        for group, rate in zip(groups, rates, strict=True):
            group["learning_rate"] = rate

    def get_last_lr(self) -> list[float]:
        """The rate of every group."""
        return [group["learning_rate"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes or was chosen, but functions and the optimizer."""
        return {name: value for name, value in vars(self).items() if not callable(value) and name not in _REFERENCES}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; StateError when it is another schedule's."""
        own = self.state_dict()
        if set(state) != set(own):
            raise StateError(
                f"{type(self).__name__} expected a state of {sorted(own)}, got {sorted(state)}; "
                "load what the same schedule's state_dict() gave"
            )
        vars(self).update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.state_dict().items())})"


_REFERENCES = ("optimizer", "schedulers", "functions")


class LambdaLR(Scheduler):
    """Any function of t.

        η = η₀ f(t)

    Args:
        optimizer: see :class:`Scheduler`.
        lr_lambda: f, or a list with one for each group.

    PyTorch: optim.lr_scheduler.LambdaLR.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        groups = len(getattr(optimizer, "param_groups", ()))
        functions = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        ok = len(functions) == groups and all(map(callable, functions))
        require(ok, self, "lr_lambda", lr_lambda, f"a function of t, or {groups} of them")
        self.functions = functions
        super().__init__(optimizer)

    def _set(self, t: int) -> None:
        rates = [base * f(t) for base, f in zip(self.base_rates, self.functions, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["learning_rate"] = rate


class StepLR(Scheduler):
    """A factor every so often.

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
    """A factor at certain times.

        η ← γ η at every t among the milestones; γ² where one stands there twice

    Args:
        optimizer: see :class:`Scheduler`.
        milestones: whole numbers of 0 or more.
        gamma: γ.

    PyTorch: optim.lr_scheduler.MultiStepLR.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones = dict(Counter(integer(self, "milestones", t, 0) for t in milestones))
        self.gamma = number(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, now: float, t: int) -> float:
        return float(now * self.gamma ** self.milestones[t]) if t in self.milestones else now


class ExponentialLR(Scheduler):
    """A factor at every step.

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
    """From one factor to another, in a straight line: a warm-up.

        η = η₀ (a + (b − a) min(t, T) / T)

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


class CosineAnnealingLR(Scheduler):
    """Half a cosine down, and up again.

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
        if (t - 1 - T) % (2 * T) == 0:  # at the lowest point a factor would divide by 0
            return now + (base - low) * (1 - cos(pi / T)) / 2
        return (1 + cos(pi * t / T)) / (1 + cos(pi * (t - 1) / T)) * (now - low) + low


class CosineAnnealingWarmRestarts(Scheduler):
    """Half a cosine down, then from the top again, each time for longer.

        η = η₁ + (η₀ − η₁) (1 + cos(π t / Tᵢ)) / 2,   Tᵢ₊₁ = T_mult Tᵢ,   t counted from the last restart

    Args:
        optimizer: see :class:`Scheduler`.
        T_0: the first Tᵢ, 1 or more.
        T_mult: a whole number of 1 or more.
        eta_min: η₁.

    ``step(epoch)`` goes to any t, also to a fraction: epoch + batch / batches.

    Source: Loshchilov, Hutter 2017, arXiv:1608.03983. PyTorch: optim.lr_scheduler.CosineAnnealingWarmRestarts.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:  # noqa: N803
        self.T_0, self.T_mult = integer(self, "T_0", T_0, 1), integer(self, "T_mult", T_mult, 1)
        self.eta_min = number(self, "eta_min", eta_min)
        self.T_i, self.T_cur = T_0, 0.0
        super().__init__(optimizer)

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next t, or to this one."""
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
        """Back to t = 0."""
        self.step(0)

    def rate(self, base: float, now: float, t: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + cos(pi * self.T_cur / self.T_i)) / 2


class OneCycleLR(Scheduler):
    """Up to a large rate and down to a tiny one, the momentum the other way round, once in a whole training.

        rate      max_lr / div_factor → max_lr → max_lr / div_factor / final_div_factor
        momentum  max_momentum → base_momentum → max_momentum

    Args:
        optimizer: see :class:`Scheduler`.
        max_lr: the largest rate; a list has one for each group.
        total_steps: of the whole training; or else
        epochs, steps_per_epoch: whose product it is.
        pct_start: the share of the way up.
        anneal_strategy: between these points: 'cos', half a cosine, or 'linear'.
        cycle_momentum: whether to change momentum, or the first of betas.
        base_momentum, max_momentum: its ends.
        div_factor, final_div_factor: above.
        three_phase: down in the time of the way up, as far as where it began, and from there to the end.

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
            known = epochs is not None and steps_per_epoch is not None
            require(known, self, "total_steps", None, "given, or else epochs and steps_per_epoch")
            total_steps = integer(self, "epochs", epochs, 1) * integer(self, "steps_per_epoch", steps_per_epoch, 1)
        self.total_steps = integer(self, "total_steps", total_steps, 1)
        self.max_rates = [max_lr] * len(groups) if isinstance(max_lr, (int, float)) else list(max_lr)
        require(len(self.max_rates) == len(groups), self, "max_lr", max_lr, f"a number, or {len(groups)} of them")
        for rate in self.max_rates:
            positive(self, "max_lr", rate)
        self.pct_start = number(self, "pct_start", pct_start, 0, 1)
        self.anneal_strategy = choice(self, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum, self.three_phase = (
            flag(self, "cycle_momentum", cycle_momentum), flag(self, "three_phase", three_phase)
        )  # fmt: skip
        self.base_momentum = number(self, "base_momentum", base_momentum, 0, 1)
        self.max_momentum = number(self, "max_momentum", max_momentum, 0, 1)
        self.div_factor = positive(self, "div_factor", div_factor)
        self.final_div_factor = positive(self, "final_div_factor", final_div_factor)
        able = not cycle_momentum or all({"momentum", "betas"} & set(group) for group in groups)
        require(able, self, "cycle_momentum", cycle_momentum, "False: this optimizer has neither momentum nor betas")
        super().__init__(optimizer)

    def _set(self, t: int) -> None:
        if t > self.total_steps:
            raise OptionError(f"{type(self).__name__} expected at most {self.total_steps} steps, got step {t}")
        for group, largest in zip(self.optimizer.param_groups, self.max_rates, strict=True):
            first = largest / self.div_factor
            last = first / self.final_div_factor
            momenta = self.max_momentum, self.base_momentum
            rates = [(first, largest), (largest, first), (first, last)] if self.three_phase else [
                (first, largest), (largest, last)
            ]  # fmt: skip
            place, part = self._place(t)
            group["learning_rate"] = self._between(*rates[place], part)
            if self.cycle_momentum:
                ends = (momenta, momenta[::-1], (momenta[0], momenta[0]))[place]
                momentum = self._between(*ends, part)
                changed = {"betas": (momentum, *group["betas"][1:])} if "betas" in group else {"momentum": momentum}
                for name, value in changed.items():
                    group[name] = value

    def _place(self, t: int) -> tuple[int, float]:
        """Which phase t is in, and how far."""
        ends = [float(self.pct_start * self.total_steps) - 1, self.total_steps - 1]
        if self.three_phase:
            ends.insert(1, float(2 * self.pct_start * self.total_steps) - 2)
        starts = [0.0, *ends]
        place = next((i for i, end in enumerate(ends) if t <= end), len(ends) - 1)
        length = ends[place] - starts[place]
        return place, min((t - starts[place]) / length, 1.0) if length else 1.0

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (cos(pi * part) + 1)
        return (end - start) * part + start


class SequentialLR(Scheduler):
    """One schedule after the other.

    Args:
        optimizer: see :class:`Scheduler`.
        schedulers: schedules of this optimizer.
        milestones: the t at which each but the first begins, rising.

    PyTorch: optim.lr_scheduler.SequentialLR.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Scheduler], milestones: Sequence[int]) -> None:
        own = [isinstance(s, Scheduler) and s.optimizer is optimizer for s in schedulers]
        require(bool(own) and all(own), self, "schedulers", schedulers, "schedules of this optimizer")
        plateau = any(isinstance(s, ReduceLROnPlateau) for s in schedulers)
        require(not plateau, self, "schedulers", schedulers, "without ReduceLROnPlateau, whose step needs a figure")
        rising = len(milestones) == len(schedulers) - 1 and list(milestones) == sorted(milestones)
        require(rising, self, "milestones", milestones, f"{len(schedulers) - 1} numbers, rising")
        self.schedulers, self.milestones = list(schedulers), [integer(self, "milestones", t, 0) for t in milestones]
        super().__init__(optimizer)

    def step(self) -> None:
        """Go on to the next t."""
        self.last_epoch += 1
        place = bisect_right(self.milestones, self.last_epoch)
        begins = self.last_epoch == 0 or (place > 0 and self.milestones[place - 1] == self.last_epoch)
        current = self.schedulers[place]
        current.restart() if begins else current.step()

    def restart(self) -> None:
        """Back to t = 0."""
        self.last_epoch = -1
        self.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of the schedules, too."""
        return {**super().state_dict(), "states": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().load_state_dict(state)
        states = vars(self).pop("states")
        for scheduler, inner in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(inner)


class ReduceLROnPlateau(Scheduler):
    """A factor whenever a figure, such as the validation loss, has not become better for a while.

        η ← max(factor η, min_lr)       after more than ``patience`` steps without a better figure

    Args:
        optimizer: see :class:`Scheduler`.
        mode: 'min' where less is better, 'max' where more is.
        factor: below 1.
        patience: whole steps.
        threshold: how much better counts, of the best in threshold_mode 'rel', in itself in 'abs'.
        threshold_mode: 'rel' or 'abs'.
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: the least rate; a list has one for each group.
        eps: a change of no more than this is not made.

    ``step(metrics)`` takes the figure. PyTorch: optim.lr_scheduler.ReduceLROnPlateau.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
        threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | Sequence[float] = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        number(self, "factor", factor, 0, 1)
        require(factor < 1, self, "factor", factor, "below 1")
        groups = len(getattr(optimizer, "param_groups", ()))
        self.min_rates = [min_lr] * groups if isinstance(min_lr, (int, float)) else list(min_lr)
        require(len(self.min_rates) == groups, self, "min_lr", min_lr, f"a number, or {groups} of them")
        self.mode, self.factor = choice(self, "mode", mode, ("min", "max")), factor
        self.patience, self.cooldown = integer(self, "patience", patience, 0), integer(self, "cooldown", cooldown, 0)
        self.threshold = number(self, "threshold", threshold)
        self.threshold_mode = choice(self, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.eps = number(self, "eps", eps)
        self.best = inf if mode == "min" else -inf
        self.waited = self.cooling = 0
        super().__init__(optimizer)

    def step(self, metrics: float | None = None) -> None:
        """Take the newest figure."""
        self.last_epoch += 1
        if metrics is None:
            require(self.last_epoch == 0, self, "metrics", None, "the figure to watch")
            return
        figure = float(metrics)
        better = self._better(figure)
        self.best = figure if better else self.best
        self.waited = 0 if better else self.waited + 1
        if self.cooling:
            self.cooling, self.waited = self.cooling - 1, 0
        if self.waited > self.patience:
            self._reduce()
            self.cooling, self.waited = self.cooldown, 0

    def _better(self, figure: float) -> bool:
        less, by = self.mode == "min", self.threshold
        if self.threshold_mode == "rel":
            return figure < self.best * (1.0 - by) if less else figure > self.best * (by + 1.0)
        return figure < self.best - by if less else figure > self.best + by

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_rates, strict=True):
            rate = max(group["learning_rate"] * self.factor, least)
            if group["learning_rate"] - rate > self.eps:
                group["learning_rate"] = rate
