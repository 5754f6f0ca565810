"""The base of all learning-rate schedules.

In the formulas of all schedules η is the rate of a group, η₀ its rate before the first schedule, and t the number of
calls of ``step``. Where the next rate is computed from the present one, several schedules of one optimizer may be
stepped in turn: their factors multiply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from numpyml.errors import StateError
from numpyml.names import ExplainsKeywords
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.optimizers.groups import ParameterGroup
from numpyml.options import require

# The rate of every group before its first schedule: the next schedule of the same optimizer starts from it as well.
_INITIAL: WeakKeyDictionary[Optimizer, list[float]] = WeakKeyDictionary()

_REFERENCES = ("optimizer", "schedulers", "functions")  # attributes that are no state


class Scheduler(ExplainsKeywords):
    """The base of all learning-rate schedules.

    ``get_last_lr()`` is the present rate of every group; ``state_dict()`` is what ``load_state_dict`` of a schedule
    with the same options continues from. The rates themselves are in the state dict of the optimizer.

    Args:
        optimizer: the optimizer whose rates are set, at once to those of t = 0.

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
        """The rate at t of a group with the initial rate ``base`` and the present rate ``now``."""
        raise NotImplementedError

    def step(self) -> None:
        """Advance to the next t."""
        self._set(self.last_epoch + 1)
        self.last_epoch += 1

    def restart(self) -> None:
        """Return to t = 0."""
        self.last_epoch = 0
        for group, base in zip(self._groups(), self.base_rates, strict=True):
            group["learning_rate"] = base
        self._set(0)

    def _groups(self) -> list[ParameterGroup]:
        """The optimizer's groups, checked to be as many as at the beginning."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_rates):
            raise StateError(
                f"{type(self).__name__} expected {len(self.base_rates)} parameter groups, got {len(groups)}; "
                "add groups first, then make the schedule"
            )
        return groups

    def _set(self, t: int) -> None:
        groups = self._groups()
        rates = [self.rate(base, g["learning_rate"], t) for base, g in zip(self.base_rates, groups, strict=True)]
        for group, rate in zip(groups, rates, strict=True):
            group["learning_rate"] = rate

    def get_last_lr(self) -> list[float]:
        """The rate of every group."""
        return [group["learning_rate"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Options and state, without functions and the optimizer."""
        return {name: value for name, value in vars(self).items() if not callable(value) and name not in _REFERENCES}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; StateError when it is another schedule's."""
        own = self.state_dict()
        if set(state) != set(own):
            raise StateError(
                f"{type(self).__name__} expected a state of {sorted(own)}, got {sorted(state)}; "
                "load the state_dict() of the same schedule"
            )
        vars(self).update(state)

    def _for_groups(self, optimizer: Any, name: str, value: Any, kind: str) -> list[Any]:
        """The option for each group: one value for all of them, or a list."""
        groups = len(getattr(optimizer, "param_groups", ()))
        values = list(value) if isinstance(value, Iterable) else [value] * groups
        require(len(values) == groups, self, name, value, f"{kind}, or {groups} of them")
        return values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.state_dict().items())})"
