"""Running a model to look at it: recording its calls, and restoring its state afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from numpyml.nn.drivers import is_program
from numpyml.random import default_generator

if TYPE_CHECKING:
    from numpyml.nn.module import Module

Call = tuple["Module", tuple[Any, ...], Any, Any]


@contextmanager
def preserved(model: Module) -> Iterator[None]:
    """Restore, on leaving, the model's buffers, the attributes of its modules, and every generator it draws from."""
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    buffers = [(buffer, buffer.copy()) for buffer in model.buffers()]
    generators = [default_generator(), *(value for _, own in attributes for value in own.values())]
    states = [(g, g.bit_generator.state) for g in generators if isinstance(g, np.random.Generator)]
    try:
        yield
    finally:
        for module, own in attributes:
            vars(module).clear()
            vars(module).update(own)
        for buffer, values in buffers:
            buffer[...] = values
        for generator, state in states:
            generator.bit_generator.state = state


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
