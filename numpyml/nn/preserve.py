"""Running a model without a trace: its buffers, attributes and random generators are as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from numpyml.random import default_generator

if TYPE_CHECKING:
    from numpyml.nn.module import Module


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
