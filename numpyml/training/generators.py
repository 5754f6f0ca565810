"""The random generators of a training: which there are, and their states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpyml.nn.module import Module
from numpyml.random import default_generator

Generators = Mapping[str, np.random.Generator]


def generators_of(model: Module, data: Any) -> Generators:
    """Every generator that a step may draw from, keyed by its name in a checkpoint."""
    generators = {"random/default": default_generator()}
    owners: list[tuple[str, Any]] = list(model.named_modules("model"))
    path = "data"
    while data is not None:  # a loader, its dataset, the dataset that this is a subset of
        owners.append((path, data))
        path, data = f"{path}.dataset", getattr(data, "dataset", None)
    for path, owner in owners:
        for name, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, np.random.Generator):
                generators[f"random/{path}.{name}"] = value
    return generators


def states_of(generators: Generators) -> dict[str, Any]:
    """The state of each generator."""
    return {name: generator.bit_generator.state for name, generator in generators.items()}


def set_states(generators: Generators, states: Mapping[str, Any]) -> None:
    """Set the generators that have a state among these."""
    for name in states.keys() & generators.keys():
        generators[name].bit_generator.state = states[name]
