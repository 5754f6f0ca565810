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
from numpyml.nn.preserve import preserved
from numpyml.typing import Array

if TYPE_CHECKING:
    from numpyml.nn.module import Module


class _Row:
    """Output shapes and saved arrays of a layer, over all of its calls."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.saved: dict[int, Array] = {}  # the arrays of its contexts, by their address

    def note(self, y: Any) -> None:
        self.shapes += map(np.shape, nested.leaves(y))


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
    leaves = {
        id(m): (name, m) for name, m in model.named_modules() if _own(m, StateTensor) or not any(m.named_children())
    }
    rows = {key: _Row() for key in leaves}
    if inputs:
        _watch(model, [m for _, m in leaves.values()], rows, inputs)
    body, seen = [], set()
    total_saved = 0
    for key, (name, module) in leaves.items():
        saved = sum(array.nbytes for address, array in rows[key].saved.items() if address not in seen)
        seen |= set(rows[key].saved)
        total_saved += saved
        shapes = ", ".join(map(str, dict.fromkeys(rows[key].shapes))) or "?"
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
    buffers = model.buffers()
    return "\n".join(
        [
            lines[0],
            rule,
            *lines[1:],
            rule,
            f"{count:,} parameters, {trainable:,} of them trainable: {_size(memory)}, and as much for their gradients",
            *([_buffer_line(buffers)] if buffers else []),
            *([f"{_size(total_saved)} saved between forward and backward"] if inputs else []),
        ]
    )


def _own(module: Module, kind: type[StateTensor]) -> list[StateTensor]:
    """The parameters or buffers of the module itself."""
    return list({id(p): p for p in vars(module).values() if isinstance(p, kind)}.values())


def _buffer_line(buffers: list[Array]) -> str:
    return f"{sum(b.size for b in buffers):,} numbers in buffers: {_size(sum(b.nbytes for b in buffers))}"


def _watch(model: Module, leaves: list[Module], rows: dict[int, _Row], inputs: tuple[Any, ...]) -> None:
    """Run the model on the example, with each layer's compute and forward replaced by ones that fill its row."""
    dtype = next((p.dtype for _, p in model.named_parameters()), np.dtype(np.float32))
    arrays = [np.zeros(x, dtype) if isinstance(x, tuple) else x for x in inputs]

    def watch(module: Module) -> None:
        compute, forward, row = module.compute, module.forward, rows[id(module)]

        def watched_compute(*x: Any) -> tuple[Any, Any]:
            y, context = compute(*x)
            for array in _arrays(context):
                row.saved[array.__array_interface__["data"][0]] = array
            row.note(y)
            return y, context

        def watched_forward(*x: Any, **options: Any) -> Any:  # a model on Tensors runs its forward and no compute
            y = forward(*x, **options)
            row.note(y)
            return y

        vars(module).update(compute=watched_compute, forward=watched_forward)

    with preserved(model), no_grad():
        for module in leaves:
            watch(module)
        model.forward(*arrays)


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
