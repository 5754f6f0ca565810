"""The table of ``model.summary()``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from numpyml import nested
from numpyml.autograd.tape import no_grad
from numpyml.autograd.tensor import Tensor
from numpyml.errors import name_of
from numpyml.nn.parameter import Parameter, StateTensor
from numpyml.nn.preserve import Call, observed, preserved
from numpyml.typing import Array

if TYPE_CHECKING:
    from numpyml.nn.module import Module


def summary(model: Module, *inputs: Any) -> str:
    """A table of the layers: output shape, parameters, and the bytes each saves for the backward.

    Args:
        model: any module.
        inputs: example arrays, or shapes (tuples) to make arrays of zeros of; none: output shapes stay unknown.

    The example is run once, in the mode the model is in and with nothing recorded; afterwards its buffers, the
    attributes of its modules and the random generators are as before. An array that two layers save counts for the
    first. What a model's own ``forward`` records between its layers is not in the table. Parameters shared by several
    layers count once in the total.
    """
    calls = _calls(model, inputs) if inputs else []
    body, seen = [], set()
    total_saved = 0
    for name, module in model.named_modules():
        if any(module.named_children()) and not _own(module, StateTensor):
            continue
        own = [(y, context) for caller, _, y, context in calls if caller is module]
        contexts = {array.__array_interface__["data"][0]: array for _, context in own for array in _arrays(context)}
        saved = sum(array.nbytes for address, array in contexts.items() if address not in seen)
        seen |= set(contexts)
        total_saved += saved
        shapes = ", ".join(map(str, dict.fromkeys(np.shape(leaf) for y, _ in own for leaf in nested.leaves(y)))) or "?"
        body.append(
            (name or "-", name_of(module), shapes, f"{sum(p.size for p in _own(module, Parameter)):,}", _size(saved))
        )
    parameters = [p for _, p in model.named_parameters()]
    trainable = sum(p.size for p in parameters if p.requires_grad)
    header = ("name", "layer", "output shape", "parameters", "saved for backward")
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *body)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    count = sum(p.size for p in parameters)
    memory = sum(p.data.nbytes for p in parameters)
    lines = [lines[0], rule, *lines[1:], rule]
    lines += [
        f"{count:,} parameters, {trainable:,} of them trainable: {_size(memory)}, and as much for their gradients"
    ]
    if buffers := model.buffers():
        nbytes = sum(b.nbytes for b in buffers)
        lines += [f"{sum(b.size for b in buffers):,} numbers in buffers: {_size(nbytes)}"]
    if inputs:
        lines += [f"{_size(total_saved)} saved between forward and backward"]
    return "\n".join(lines)


def _own(module: Module, kind: type[StateTensor]) -> list[StateTensor]:
    """The parameters or buffers of the module itself."""
    return list({id(p): p for p in vars(module).values() if isinstance(p, kind)}.values())


def _calls(model: Module, inputs: tuple[Any, ...]) -> list[Call]:
    """The calls of all modules when the model runs on the example."""
    dtype = next((p.dtype for _, p in model.named_parameters()), np.dtype(np.float32))
    arrays = [np.zeros(x, dtype) if isinstance(x, tuple) else x for x in inputs]
    with preserved(model), no_grad(), observed(model) as calls:
        model.forward(*arrays)
    return calls


def _arrays(context: Any) -> Iterator[Array]:
    """Every array in a context."""
    for leaf in nested.leaves(context):
        if isinstance(leaf, (Tensor, np.ndarray)):
            yield leaf.data if isinstance(leaf, Tensor) else leaf


def _size(nbytes: float) -> str:
    """A number of bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.4g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.4g} GiB"
