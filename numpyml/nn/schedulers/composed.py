"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.schedulers.base import Scheduler
from numpyml.nn.schedulers.plateau import ReduceLROnPlateau
from numpyml.options import integer, list_or_none, require


class SequentialLR(Scheduler):
    """Several schedules, one after the other.

    Args:
        optimizer: see :class:`Scheduler`.
        schedulers: schedules of this optimizer.
        milestones: the t at which each but the first begins, ascending.

    PyTorch: optim.lr_scheduler.SequentialLR.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Scheduler], milestones: Sequence[int]) -> None:
        members, starts = list_or_none(schedulers), list_or_none(milestones)
        require(members is not None, self, "schedulers", schedulers, "a list")
        require(starts is not None, self, "milestones", milestones, "a list")
        self.schedulers = members or []
        self.milestones = [integer(self, "milestones", t, 0) for t in starts or ()]
        own = [isinstance(s, Scheduler) and s.optimizer is optimizer for s in self.schedulers]
        require(bool(own) and all(own), self, "schedulers", schedulers, "schedules of this optimizer")
        plateau = any(isinstance(s, ReduceLROnPlateau) for s in self.schedulers)
        require(not plateau, self, "schedulers", schedulers, "without ReduceLROnPlateau, whose step needs a metric")
        ascending = len(self.milestones) == len(own) - 1 and self.milestones == sorted(self.milestones)
        require(ascending, self, "milestones", milestones, f"{len(own) - 1} integers, ascending")
        super().__init__(optimizer)

    def _go_to(self, t: int, present: Sequence[float]) -> None:
        i = bisect_right(self.milestones, t)
        begins = t == 0 or (i > 0 and self.milestones[i - 1] == t)
        current = self.schedulers[i]
        current.restart() if begins else current.step()
        self.last_epoch = t

    def state_dict(self) -> dict[str, Any]:
        """Options and state, those of the schedules included."""
        return {**super().state_dict(), "states": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; StateError when it is another schedule's. Nothing is changed then."""
        super().load_state_dict(state)
        states = vars(self).pop("states")
        for scheduler, inner in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(inner)

    def _check_state(self, state: Any) -> None:
        super()._check_state(state)
        for scheduler, inner in zip(self.schedulers, state["states"], strict=True):
            scheduler._check_state(inner)
