"""The state that a run of a model changes, to restore it; and a record of the calls in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from numpyml.nn.drivers import is_program
from numpyml.random import default_generator

if TYPE_CHECKING:
    from numpyml.nn.module import Module

Call = tuple["Module", tuple[Any, ...], Any, Any]
Generators = Mapping[str, np.random.Generator]


@contextmanager
def preserved(model: Module) -> Iterator[None]:
    """Restore, on leaving, the model's buffers, the attributes of its modules, and every generator it draws from."""
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    buffers = [(buffer, buffer.copy()) for buffer in model.buffers()]
    generators = generators_of(model)
    states = states_of(generators)
    try:
        yield
    finally:
        for module, own in attributes:
            vars(module).clear()
            vars(module).update(own)
        for buffer, values in buffers:
            buffer[...] = values
        set_states(generators, states)


@contextmanager
def observed(model: Module) -> Iterator[list[Call]]:
    """A context that records every call of a module as it ends: (module, inputs, output, context), inner ones first."""
    calls: list[Call] = []

    def observing(module: Module, name: str, run: Any) -> Any:
        def observing_run(*inputs: Any, **options: Any) -> Any:
            result = run(*inputs, **options)
            y, context = result if name == "compute" else (result, None)
            calls.append((module, inputs, y, context))
            return result

        return observing_run

    replaced: list[tuple[Module, str]] = []
    for module in model.modules():
        # A user-defined forward does not go through compute where another module calls it.
        for name in ("compute", "forward") if is_program(type(module)) else ("compute",):
            if name not in vars(module):
                vars(module)[name] = observing(module, name, getattr(module, name))
                replaced.append((module, name))
    try:
        yield calls
    finally:
        for module, name in replaced:
            del vars(module)[name]


def generators_of(model: Module, data: Any = None) -> Generators:
    """Every generator that the model, or a step on the data, may draw from, keyed by its name in a checkpoint."""
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
