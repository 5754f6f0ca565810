"""The base of all learning-rate schedules.

In the formulas of all schedules η is the rate of a group, η₀ its rate before the first schedule, and t the number of
calls of ``step``. Where the next rate is computed from the present one, several schedules of one optimizer may be
stepped in turn: their factors multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any
from weakref import WeakKeyDictionary

from numpyml.errors import StateError, kind_of
from numpyml.names import ExplainsKeywords
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.optimizers.groups import ParameterGroup, set_all
from numpyml.options import is_finite, list_or_none, require

# The rate of every group before its first schedule: the next schedule of the same optimizer starts from it as well.
_INITIAL: WeakKeyDictionary[Optimizer, list[float]] = WeakKeyDictionary()

_REFERENCES = ("optimizer", "schedulers", "functions")  # attributes that are no state


class Scheduler(ExplainsKeywords):
    """The base of all learning-rate schedules.

    ``get_last_lr()`` is the present rate of every group; ``state_dict()`` is what ``load_state_dict`` of a schedule
    with the same options continues from. The rates themselves are in the state dict of the optimizer.

    Args:
        optimizer: the optimizer whose rates are set, at once to those of t = 0.

    Raises: OptionError for what is no optimizer, and for options out of their range. An error of any method leaves the
        schedule and the optimizer as they were.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        require(isinstance(optimizer, Optimizer), self, "optimizer", optimizer, "an optimizer of numpyml.nn.optimizers")
        self.optimizer = optimizer
        present = self.get_last_lr()
        initial = _INITIAL.get(optimizer, [])
        self.base_rates = [*initial, *present[len(initial) :]]
        self._go_to(0, present)
        _INITIAL[optimizer] = self.base_rates

    def rate(self, base: float, now: float, t: int) -> float:
        """The rate at t of a group with the initial rate ``base`` and the present rate ``now``."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no rate; write rate(self, base, now, t), which returns the rate at step t"
        )

    def step(self) -> None:
        """Advance to the next t."""
        self._go_to(self.last_epoch + 1, self.get_last_lr())

    def restart(self) -> None:
        """Return to t = 0."""
        self._go_to(0, self.base_rates)

    def _go_to(self, t: int, present: Sequence[float]) -> None:
        """Set every group to the options of t, where the groups have the present rates."""
        groups = self._groups()
        set_all(groups, self._options(t, present))
        self.last_epoch = t

    def _options(self, t: int, present: Sequence[float]) -> list[dict[str, Any]]:
        """The options of every group at t."""
        pairs = zip(self.base_rates, present, strict=True)
        return [{"learning_rate": self.rate(base, now, t)} for base, now in pairs]

    def _groups(self) -> list[ParameterGroup]:
        """The optimizer's groups, checked to be as many as at the beginning."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_rates):
            raise StateError(
                f"{type(self).__name__} expected {len(self.base_rates)} parameter groups, got {len(groups)}; "
                "add groups first, then make the schedule"
            )
        return groups

    def get_last_lr(self) -> list[float]:
        """The rate of every group."""
        return [group["learning_rate"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Options and state, without functions and the optimizer."""
        return {name: value for name, value in vars(self).items() if not callable(value) and name not in _REFERENCES}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; StateError when it is another schedule's. Nothing is changed then."""
        self._check_state(state)
        vars(self).update(state)

    def _check_state(self, state: Any) -> None:
        """Raise a StateError unless the state has the entries of this schedule's, with values of their types."""
        name, own = type(self).__name__, self.state_dict()
        remedy = "load the state_dict() of the same schedule"
        if not isinstance(state, Mapping) or set(state) != set(own):
            got = sorted(map(str, state)) if isinstance(state, Mapping) else kind_of(state)
            raise StateError(f"{name} expected a state of {sorted(own)}, got {got}; {remedy}")
        for key, value in own.items():
            counts = key != "last_epoch" or (isinstance(state[key], Integral) and state[key] >= 0)
            if not (_is_like(state[key], value) and counts):
                raise StateError(
                    f"{name} expected {key!r} of a state to be like {value!r}, got {kind_of(state[key])}; {remedy}"
                )

    def _for_groups(self, optimizer: Any, name: str, value: Any, kind: str, check: Callable[..., Any]) -> list[Any]:
        """The option for each group: one value for all of them, or a list; each is checked."""
        groups = len(getattr(optimizer, "param_groups", ()))
        items = list_or_none(value)
        values = [value] * groups if items is None else items
        require(len(values) == groups, self, name, value, f"{kind}, or {groups} of them")
        return [check(self, name, item) for item in values]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.state_dict().items())})"


def _is_like(value: Any, own: Any) -> bool:
    """Whether a value of a state has the type of the schedule's own: any number for a number, lists of one length."""
    if isinstance(own, Real) and not isinstance(own, bool):
        number = isinstance(value, Real) and not isinstance(value, bool)
        return number and (is_finite(value) or abs(value) == inf)
    if isinstance(own, (list, tuple)):
        same = isinstance(value, (list, tuple)) and len(value) == len(own)
        return same and all(map(_is_like, value, own))
    return isinstance(value, Mapping if isinstance(own, Mapping) else type(own))
