"""The driver of elementwise optimizers: few long passes over memory instead of many short ones.

Parameters of one group that are contiguous in memory, with the same step count, are updated as one flat array. It is
updated block by block, so that all passes over a block but the first find it in cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numpyml.kernels import thresholds
from numpyml.nn.optimizers.groups import Entry, State
from numpyml.nn.parameter import owner_of
from numpyml.nn.storage import are_contiguous, span
from numpyml.typing import Array

if TYPE_CHECKING:
    from numpyml.nn.optimizers.base import Optimizer


class Run:
    """Parameters that are updated together: contiguous in memory, of one group, with the same step count.

    ``options`` are those of the group, ``step`` counts from 1, ``new_state`` names the state arrays that this step is
    the first to use.
    """

    def __init__(self, entries: Sequence[Entry], states: Mapping[int, State]) -> None:
        first, last = entries[0], entries[-1]
        p, g = first.p, first.g
        if len(entries) > 1:
            p, g = span(p, last.p), span(g, last.g)
        elif p.flags.c_contiguous and g.flags.c_contiguous:
            p, g = p.reshape(-1), g.reshape(-1)
        self.options: Mapping[str, Any] = first.group.values_in_use
        self.entries = entries
        self.p = p
        self.g = g
        self.step, arrays = states.get(first.index, (0, {}))
        self.state: dict[str, Array] = {name: np.zeros_like(p) for name in arrays}
        self.new_state: tuple[str, ...] = ()
        for name, array in self.state.items():
            for entry in entries:
                self._part(entry, array)[...] = states[entry.index][1][name]

    def states(self) -> dict[int, State]:
        """Step count and state arrays of each parameter: views of the run's."""
        return {
            entry.index: (self.step, {name: self._part(entry, array) for name, array in self.state.items()})
            for entry in self.entries
        }

    def _part(self, entry: Entry, array: Array) -> Array:
        """One parameter's part of a state array."""
        if self.p.ndim != 1:  # a single parameter that is not contiguous
            return array
        start = (entry.p.ctypes.data - self.p.ctypes.data) // entry.p.itemsize
        return array[start : start + entry.p.size].reshape(entry.p.shape)

    def advance(self, optimizer: Optimizer) -> None:
        """Update every block.

        One thread: NumPy releases the interpreter lock between any two passes, and a second thread spends what it
        gains on waiting for it.
        """
        names = optimizer.state_names(self.options)
        self.new_state = tuple(name for name in names if name not in self.state)
        for name in self.new_state:
            self.state[name] = np.zeros_like(self.p)
        self.step += 1
        if self.p.ndim != 1:  # not contiguous: as it is, in one piece
            optimizer.update(self.p, self.g, self.state, np.empty((2, *self.p.shape), self.p.dtype), self)
            return
        length = min(max(1, self.p.size), thresholds.UPDATED_BLOCK)
        scratch = np.empty((2, length), self.p.dtype)
        for start in range(0, self.p.size, length):
            block = slice(start, start + length)
            p = self.p[block]
            state = {name: array[block] for name, array in self.state.items()}
            optimizer.update(p, self.g[block], state, scratch[:, : p.size], self)


def plan(entries: Sequence[Entry], states: Mapping[int, State]) -> list[Run]:
    """Join what can be updated together."""
    chains: list[list[Entry]] = []
    for entry in entries:
        if chains and _joins(chains[-1][-1], entry, states):
            chains[-1].append(entry)
        else:
            chains.append([entry])
    return [Run(chain, states) for chain in chains]


def _joins(before: Entry, entry: Entry, states: Mapping[int, State]) -> bool:
    """Whether a parameter continues the run of the one before it."""
    return (
        before.group is entry.group
        # Only between whole Parameters is there nothing but padding, which may be written.
        and owner_of(before.p) is not None
        and owner_of(entry.p) is not None
        and are_contiguous(before.p, entry.p)
        and are_contiguous(before.g, entry.g)
        and _age(before, states) == _age(entry, states)
    )


def _age(entry: Entry, states: Mapping[int, State]) -> tuple[int, frozenset[str]]:
    """The step count and the names of the state arrays: parameters of one run have both in common."""
    step, arrays = states.get(entry.index, (0, {}))
    return step, frozenset(arrays)
