"""The adapter of numpyml: all that the checks know of it."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any

import numpy as np

import numpyml
from numpyml import Tensor, names, nested
from numpyml.autograd import tape
from numpyml.errors import NumpymlError
from numpyml.nn import Module, activations, layers, losses, model, optimizers, schedulers
from numpyml.typing import Array

NAME = "numpyml"
REJECTIONS = (NumpymlError,)
NAMESPACE = np
LEAVES_OUT = True


class Apply(Module):
    """A container without a forward of its own, its modules applied in turn."""

    def __init__(self, modules: Any) -> None:
        self.modules_in_turn = modules

    def forward(self, x: Any) -> Any:
        y = x
        for _, module in self.modules_in_turn.named_children():
            y = module(y)
        return y + 0 if y is x else y


# Modules


def make(component: str, options: Mapping[str, Any], dtype: Any) -> Any:
    """Our class under our names."""
    ours = class_of(component)
    parameters = _parameters(ours)
    arguments = {_ours(name): value for name, value in options.items()}
    if "dtype" in parameters:
        arguments["dtype"] = dtype
    starred = [name for name, parameter in parameters.items() if parameter.kind is parameter.VAR_POSITIONAL]
    module = ours(*[arguments.pop(name) for name in starred], **arguments)
    return Apply(module) if ours in (model.ModuleList, model.ModuleDict) else module


HOMES = (layers, activations, losses, model, optimizers, schedulers)


@cache
def _parameters(kind: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind).parameters


@cache
def class_of(component: str) -> Any:
    """Our class for a component of PyTorch's, such as "nn.Linear"."""
    theirs = component.rpartition(".")[2]
    name = names.RENAMED.get(theirs, theirs)
    return next(getattr(home, name) for home in HOMES if name in home.__all__)


def _ours(name: str) -> str:
    return names.OPTIONS.get(name, name)


def forward(module: Any, *inputs: Array, **further: Any) -> Any:
    return nested.map_leaves(np.asarray, module.forward(*inputs, **further))


def backward(module: Any, *gys: Array) -> Sequence[Array | None]:
    """A layer gives the gradient of every input, a loss that of its outputs alone."""
    gx = module.backward(*gys)
    return gx if isinstance(gx, tuple) else [gx]


def dynamic(module: Any, inputs: Sequence[Array], *gys: Array, **further: Any) -> tuple[Any, Sequence[Array | None]]:
    tensors = nested.map_leaves(_tensor, list(inputs))
    y = module(*tensors, **further)
    ys = nested.leaves(y)
    if len(ys) == 1 and gys:
        ys[0].backward(nested.leaves(gys)[0])
    elif gys:  # all at once, as the explicit driver does
        tape.backward(ys, nested.leaves(gys))
    return nested.map_leaves(lambda z: z.data, y), nested.map_leaves(_gradient, tensors)


def used_twice(module: Any, inputs: Sequence[Array], *gys: Array, **further: Any) -> Sequence[Array | None]:
    tensors = nested.map_leaves(_tensor, list(inputs))
    once, again = (nested.leaves(module(*tensors, **further)) for _ in range(2))
    tape.backward([y + z for y, z in zip(once, again, strict=True)], nested.leaves(gys))
    gradients: Sequence[Array | None] = nested.map_leaves(_gradient, tensors)
    return gradients


def _tensor(x: Array) -> Tensor:
    return Tensor(x, requires_grad=x.dtype.kind == "f")


def _gradient(x: Tensor) -> Array | None:
    """The gradient, zeros where backward set none: they are compared, too."""
    return np.zeros_like(x.data) if x.grad is None and x.requires_grad else x.grad


def parameters(module: Any) -> dict[str, Array]:
    return {name: parameter.data for name, parameter in module.named_parameters()}


def gradients(module: Any) -> dict[str, Array]:
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def zero_grad(module: Any) -> None:
    module.zero_grad()


def freeze(module: Any, name: str) -> None:
    dict(module.named_parameters())[name].requires_grad = False


def train(module: Any, mode: bool) -> None:
    module.train(mode)


def modes(module: Any) -> list[bool]:
    return [inner.training for inner in module.modules()]


def state_dict(module: Any) -> dict[str, Array]:
    state: dict[str, Array] = module.state_dict()
    return state


def load_state_dict(module: Any, state: Mapping[str, Array]) -> None:
    module.load_state_dict(state)


def copies(module: Any) -> Mapping[str, Any]:
    return {"deepcopy": copy.deepcopy(module), "pickle": pickle.loads(pickle.dumps(module))}


def seed(seed: int) -> None:
    numpyml.manual_seed(seed)


def inject_masks(module: Any, mask: Callable[[int, float, tuple[int, ...], Any], Array]) -> None:
    for index, inner in enumerate(_dropping(module)):
        inner.mask = partial(mask, index, _rate(inner))


def masks(module: Any, shape: tuple[int, ...], dtype: Any) -> list[tuple[float, Array]]:
    return [(_rate(inner), np.asarray(inner.mask(shape, np.dtype(dtype)))) for inner in _dropping(module)]


def recorded_masks(module: Any) -> Sequence[list[Array]]:
    return [_record(inner) for inner in _dropping(module)]


def _record(inner: Any) -> list[Array]:
    own, drawn = inner.mask, []

    def mask(shape: tuple[int, ...], dtype: Any) -> Array:
        new: Array = own(shape, dtype)
        drawn.append(np.array(new))
        return new

    inner.mask = mask
    return drawn


def _rate(inner: Any) -> float:
    return next(float(getattr(inner, name)) for name in ("dropout_p", "dropout", "p") if hasattr(inner, name))


def _dropping(module: Any) -> list[Any]:
    return [inner for inner in module.modules() if hasattr(inner, "mask")]


# Recording


def no_grad() -> AbstractContextManager[None]:
    return numpyml.no_grad()


# Functions


def differentiate(
    function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array], times: int = 1
) -> tuple[list[Array], list[Array]]:
    """``times`` backwards through one graph, whose gradients add up."""
    tensors = [Tensor(x, requires_grad=True) for x in operands]
    ys = function(*tensors)
    ys = list(ys) if isinstance(ys, (list, tuple)) else [ys]
    for y, gy in zip(ys, gys, strict=True):
        leaf = y.requires_grad and numpyml.is_recording()  # an operand itself
        for _ in range(times if y.node is not None or leaf else 0):
            y.backward(gy, retain_graph=True)
    return [y.data for y in ys], [np.zeros_like(x.data) if x.grad is None else x.grad for x in tensors]


# Optimizers


def optimizer(component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
    ours = [{"gradients" if name == "grads" else _ours(name): x for name, x in group.items()} for group in groups]
    return class_of(component)(ours, **{_ours(name): value for name, value in options.items()})


def step(optimizer: Any) -> None:
    optimizer.step()


def state(optimizer: Any) -> list[dict[str, Array]]:
    return [{name: np.asarray(value) for name, value in one.items() if name != "step"} for one in optimizer.state]


def change_option(optimizer: Any, group: int, name: str, value: Any) -> None:
    optimizer.param_groups[group][_ours(name)] = value


def save(stepper: Any) -> Any:
    return stepper.state_dict()


def restore(stepper: Any, saved: Any) -> None:
    stepper.load_state_dict(saved)


def optimizer_state_dict(optimizer: Any) -> Mapping[str, Any]:
    saved = optimizer.state_dict()
    groups = [
        {names.PYTORCH_OPTIONS.get(name, name): x for name, x in group.items()} for group in saved["param_groups"]
    ]
    return {**saved, "param_groups": groups}


def zero_gradients(optimizer: Any) -> None:
    optimizer.zero_grad()


# Schedules


def scheduler(component: str, optimizer: Any, options: Mapping[str, Any]) -> Any:
    return class_of(component)(optimizer, **options)


def scheduler_step(scheduler: Any, metric: float | None = None) -> None:
    scheduler.step() if metric is None else scheduler.step(metric)


def rates(optimizer: Any) -> list[dict[str, Any]]:
    names = {"lr": "learning_rate", "momentum": "momentum", "betas": "betas"}
    return [{name: group[ours] for name, ours in names.items() if ours in group} for group in optimizer.param_groups]
