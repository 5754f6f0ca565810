"""The inputs of modules and losses, inside what is offered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.comparison.rule import Input
from conformance.rows import ModuleRow
from conformance.strategies.arrays import grows
from conformance.strategies.coverage import Strategy
from conformance.strategies.offered import EVERYTHING, offered
from numpyml import nested

_INPUTS: dict[tuple[Any, ...], Strategy[tuple[Input, ...]]] = {}
MOST = 512  # cached strategies


def _inputs(row: ModuleRow, options: dict[str, Any]) -> Strategy[tuple[Input, ...]]:
    """The row's strategy of inputs: to build a strategy takes Hypothesis longer than to draw from it."""
    key = (row.inputs, repr(options), grows(), grows(below=1))
    if key not in _INPUTS:
        if len(_INPUTS) >= MOST:
            _INPUTS.clear()
        _INPUTS[key] = row.inputs(options)
    return _INPUTS[key]


def inputs_of(row: ModuleRow, options: dict[str, Any]) -> Strategy[tuple[Input, ...]]:
    """The inputs that are offered."""
    offer, drawn = offered(), _inputs(row, options)
    if offer is EVERYTHING:
        return drawn

    def fits(inputs: Sequence[Any]) -> bool:
        flat = [x.values for x in nested.leaves(list(inputs))]
        return offer.fits(options, [flat[0].shape], flat)

    return drawn.filter(fits)
