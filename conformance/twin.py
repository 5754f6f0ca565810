"""The identical PyTorch module or optimizer, made from ours: arguments, weights, and the way back."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conformance import contracts
from conformance.bound import Array
from conformance.errors import Misuse
from conformance.frameworks import numpyml as framework
from conformance.frameworks import pytorch
from conformance.rows import OptimizerRow
from numpyml.nn import Module, model

RENAMED = {"learning_rate": "lr"}
OURS_ALONE = frozenset({"dtype", "generator"})  # arguments that choose precision and randomness, not meaning


def twin(module: Module, dtype: Any = None) -> Any:
    """The identical PyTorch module, with the same weights.

    Args:
        module: any model made of components that have a contract row.
        dtype: of the parameters; by default that of ``module``'s.

    Raises: Misuse when something inside has no row.
    """
    values = module.state_dict()
    chosen = np.dtype(dtype or next((x.dtype for x in values.values()), np.float32))
    made = _built(module, chosen)
    # PyTorch's losses hold their class weights as state, ours as options: those came with the arguments.
    made.load_state_dict(
        {**made.state_dict(), **{name: pytorch.tensor(x.astype(chosen)) for name, x in values.items()}}
    )
    return made.train(module.training)


def _built(module: Module, dtype: np.dtype[Any]) -> Any:
    import torch
    from torch import nn

    if isinstance(module, (model.Sequential, model.ModuleList, model.ModuleDict, framework.Apply)):
        inside = OrderedDict((name, _built(child, dtype)) for name, child in module.named_children())
        if isinstance(module, model.Sequential):
            return nn.Sequential(inside)
        if isinstance(module, model.ModuleList):
            return nn.ModuleList(inside.values())
        return nn.ModuleDict(inside) if isinstance(module, model.ModuleDict) else _apply_class()(inside)
    row = next((row for row in contracts.module_rows() if row.ours is type(module)), None)
    if row is None:
        raise Misuse(f"{type(module).__name__} has no contract row, so its PyTorch twin is not known; add one")
    arguments = {}
    for name in inspect.signature(type(module)).parameters:
        if name not in OURS_ALONE:
            value = module.argument(name)
            arguments[RENAMED.get(name, name)] = pytorch.tensor(value.astype(dtype)) if _is_array(value) else value
    made = pytorch.attribute(row.torch)(**arguments)
    return made.to(torch.float64 if dtype == np.float64 else torch.float32)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _apply_class() -> Any:
    """The twin of the adapter's Apply."""
    from torch import nn

    class Apply(nn.Module):
        def __init__(self, inside: Mapping[str, Any]) -> None:
            super().__init__()
            self.modules_in_turn = inside["modules_in_turn"]

        def forward(self, x: Any) -> Any:
            inner = self.modules_in_turn
            for module in inner.values() if isinstance(inner, nn.ModuleDict) else inner:
                x = module(x)
            return x

    return Apply


def torch_optimizer(row: OptimizerRow, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
    """The identical PyTorch optimizer; the groups hold PyTorch's tensors under ``params``."""
    renamed = [{RENAMED.get(name, name): value for name, value in group.items()} for group in groups]
    return pytorch.attribute(row.torch)(
        renamed, **{RENAMED.get(name, name): value for name, value in options.items()}, foreach=False
    )


def gradients(made: Any) -> dict[str, Array]:
    """The gradients in a PyTorch module, by its names; zeros where it has none."""
    return {
        name: np.zeros(tuple(p.shape), pytorch.array(p).dtype) if p.grad is None else pytorch.array(p.grad)
        for name, p in made.named_parameters()
    }
