"""The driver of all other optimizers: one update for each parameter, in its own shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpyml.nn.optimizers.groups import Entry, State

if TYPE_CHECKING:
    from numpyml.nn.optimizers.base import Optimizer


class Single:
    """One parameter, its gradient, its state and the options of its group."""

    def __init__(self, entry: Entry, states: Mapping[int, State]) -> None:
        step, arrays = states.get(entry.index, (0, {}))
        self.index = entry.index
        self.p = entry.p
        self.g = entry.g
        self.options: Mapping[str, Any] = entry.group.values_in_use
        self.state: dict[str, Any] = {"step": step, **arrays}

    def states(self) -> dict[int, State]:
        """Step count and state arrays."""
        arrays = dict(self.state)
        return {self.index: (arrays.pop("step"), arrays)}

    def advance(self, optimizer: Optimizer) -> None:
        """Update the parameter."""
        if any(name not in self.state for name in optimizer.state_names(self.options)):
            self.state = {**optimizer.initial_state(self.p, self.options), **self.state}
        self.state["step"] += 1
        optimizer.update(self.p, self.g, self.state, self.options)


def plan(entries: Sequence[Entry], states: Mapping[int, State]) -> list[Single]:
    """Each parameter alone."""
    return [Single(entry, states) for entry in entries]
