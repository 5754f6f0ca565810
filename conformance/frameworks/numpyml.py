"""numpyml, as the checks see it: all that they know of the framework under test stands here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from conformance.bound import Array
from conformance.rows import ModuleRow, OptimizerRow
from numpyml import Tensor
from numpyml.errors import NumpymlError
from numpyml.nn import Module

REJECTIONS = (NumpymlError, TypeError)  # what a bad call may raise


class Apply(Module):
    """A container without a forward of its own, its modules applied in turn."""

    def __init__(self, modules: Any) -> None:
        self.modules_in_turn = modules

    def forward(self, x: Any) -> Any:
        for _, module in self.modules_in_turn.named_children():
            x = module(x)
        return x + 0 if isinstance(x, Tensor) and x.node is None else x


def make(row: ModuleRow, options: Mapping[str, Any], dtype: Any) -> Any:
    """The component with these options, its parameters in this dtype. Recipes of modules inside are followed."""
    import inspect

    arguments = {name: _followed(value, dtype) for name, value in options.items()}
    names = inspect.signature(row.ours).parameters
    if "dtype" in names:
        arguments["dtype"] = dtype
    positional = [arguments.pop(name) for name in list(arguments) if name in names and _starred(names[name])]
    module = row.ours(*positional, **arguments)
    return Apply(module) if row.wrap else module


def _starred(parameter: Any) -> bool:
    return bool(parameter.kind == parameter.VAR_POSITIONAL)


def _followed(value: Any, dtype: Any) -> Any:
    if isinstance(value, list) and value and callable(value[0]):
        return [recipe(dtype) for recipe in value]
    if isinstance(value, dict):
        return {name: recipe(dtype) for name, recipe in value.items()}
    return value


def parameters(module: Any) -> dict[str, Array]:
    """The arrays, under PyTorch's names."""
    return {name: parameter.data for name, parameter in module.named_parameters()}


def gradients(module: Any) -> dict[str, Array]:
    """The accumulated gradients, under PyTorch's names."""
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def explicit(module: Any, inputs: Sequence[Array], gy: Array) -> tuple[Array, list[Array | None]]:
    """Output and gradient of the first input (``backward`` of a loss gives no other; a layer's, of every one)."""
    y = module.forward(*inputs)
    gx = module.backward(gy)
    return np.asarray(y), list(gx) if isinstance(gx, tuple) else [gx]


def dynamic(module: Any, inputs: Sequence[Array], gy: Array) -> tuple[Array, list[Array | None]]:
    """Output and gradient of every input, through the tape."""
    tensors = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    y = module(*tensors)
    y.backward(gy)
    return y.data, [x.grad for x in tensors]


def tensor(x: Array) -> Tensor:
    """A leaf that wants a gradient."""
    return Tensor(x, requires_grad=True)


def inject_masks(module: Any, mask: Callable[[int, float, tuple[int, ...], Any], Array]) -> None:
    """Replace the random masks: ``mask`` is told the how-manieth module with masks asks, its p, shape and dtype."""
    place = 0
    for inner in module.modules():
        if hasattr(inner, "mask"):
            inner.mask = lambda shape, dtype, place=place, p=inner.p: mask(place, p, shape, dtype)
            place += 1


def optimizer(row: OptimizerRow, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
    """An optimizer of groups: dicts of ``parameters``, ``gradients`` and options of their own."""
    return row.ours([dict(group) for group in groups], **options)


def state(stepper: Any) -> list[dict[str, Array]]:
    """For every parameter its state arrays, under PyTorch's names."""
    return [{name: np.asarray(value) for name, value in one.items() if name != "step"} for one in stepper.state]
