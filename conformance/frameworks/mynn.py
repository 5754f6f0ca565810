"""mynn on mygrad, as the checks see them.

What is left out, they have not: a tensor forgets its gradient when it enters another graph, so nothing accumulates and
there is no ``zero_grad``; nothing is saved; no mask can be injected into a dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import mygrad
import numpy as np
from mygrad.nnet.activations import relu, sigmoid
from mynn.layers.dense import dense
from mynn.layers.dropout import dropout
from mynn.losses.cross_entropy import softmax_cross_entropy
from mynn.losses.huber_loss import huber_loss
from mynn.losses.mean_squared_loss import mean_squared_loss
from mynn.optimizers.adam import Adam
from mynn.optimizers.sgd import SGD

from conformance.bound import Array
from conformance.frameworks import NotOffered
from conformance.frameworks.mygrad import NAMESPACE, differentiate  # noqa: F401  # its functions come along

NAME = "mygrad with mynn"

# Modules


class Module:
    """What is called, and how many axes what goes in has at least."""

    def __init__(self, call: Callable[..., Any], axes: int) -> None:
        self.call, self.axes = call, axes
        self.tensors = dict(zip(("weight", "bias"), getattr(call, "parameters", ()), strict=False))


def make(component: str, options: Mapping[str, Any], dtype: Any) -> Module:
    if component not in MODULES or options.get("reduction", "mean") != "mean" or options.get("p") == 1:
        raise NotOffered(f"{component}({dict(options)})")
    return Module(*MODULES[component](dtype, **options))


def cross_entropy(dtype: Any, weight: Array | None, ignore_index: int, reduction: str, label_smoothing: float) -> Any:
    def loss(outputs: Any, targets: Any) -> Any:
        if outputs.ndim != 2 or targets.ndim != 1 or ignore_index in targets or label_smoothing:
            raise NotOffered("outputs are (N, C), targets are class indices, none is ignored, none is smoothed")
        return softmax_cross_entropy(outputs, targets, weights=None if weight is None else np.asarray(weight, dtype))

    return loss, 2


MODULES: dict[str, Callable[..., tuple[Callable[..., Any], int]]] = {
    "nn.Linear": lambda dtype, in_features, out_features, bias: (
        dense(in_features, out_features, bias=bias, weight_kwargs={"dtype": dtype}), 2
    ),
    "nn.Dropout": lambda dtype, p: (dropout(p), 0),
    "nn.ReLU": lambda dtype: (relu, 0),
    "nn.Sigmoid": lambda dtype: (sigmoid, 0),
    "nn.MSELoss": lambda dtype, reduction: (mean_squared_loss, 1),
    "nn.HuberLoss": lambda dtype, reduction, delta: (partial(huber_loss, delta=delta), 1),
    "nn.CrossEntropyLoss": cross_entropy,
}  # fmt: skip


def forward(module: Any, *inputs: Array, **further: Any) -> Array:
    if further or inputs[0].ndim < module.axes:
        raise NotOffered("further arguments, or no batch axis")
    module.inputs = [mygrad.tensor(x) if x.dtype.kind == "f" else x for x in inputs]
    module.output = module.call(*module.inputs)
    return module.output.data


def backward(module: Any, *gys: Array) -> list[Array | None]:
    module.output.backward(*gys)
    return [getattr(x, "grad", None) for x in module.inputs]


def parameters(module: Module) -> dict[str, Array]:
    """mynn's (in, out) and (1, out), seen as PyTorch's (out, in) and (out,)."""
    return {name: t.data.T if name == "weight" else t.data[0] for name, t in module.tensors.items()}


def gradients(module: Module) -> dict[str, Array]:
    return {name: t.grad.T if name == "weight" else t.grad[0] for name, t in module.tensors.items()}


def train(module: Module, mode: bool) -> None:
    if isinstance(module.call, dropout) and not mode:
        raise NotOffered("whoever evaluates leaves dropout out; all else is the same")


def seed(seed: int) -> None:
    np.random.seed(seed)  # noqa: NPY002  # from there mynn draws


def masks(module: Module, size: int, dtype: Any) -> list[tuple[float, Array]]:
    dropouts = [module.call] if isinstance(module.call, dropout) else []
    return [(d.p_dropout, np.asarray(d(np.ones(size, dtype)))) for d in dropouts]


# Optimizers: one of mynn's for each group, beside the gradients that its tensors are to have


def optimizer(component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> list[Any]:
    return [(stepper(component, **{**options, **group}), group["grads"]) for group in groups]


def stepper(component: str, params: Any, grads: Any, lr: float, weight_decay: float, **rest: Any) -> Any:
    known = {"optim.SGD": {"momentum"}, "optim.Adam": {"betas", "eps"}}.get(component, set())
    own = {name: rest.pop(name) for name in known}
    if not known or any(rest.values()) or (own.get("momentum") and not lr):  # its velocity holds the rate as a factor
        raise NotOffered(f"{component}({rest}), or momentum with a learning rate of 0, of which nothing is left")
    if "betas" in own:
        own["beta1"], own["beta2"] = own.pop("betas")
    tensors = [mygrad.tensor(x, copy=False) for x in params]
    return (Adam if "eps" in own else SGD)(tensors, learning_rate=lr, weight_decay=weight_decay, **own)


def step(optimizer: list[Any]) -> None:
    for stepper, grads in optimizer:
        for tensor, g in zip(stepper.params, grads, strict=True):
            tensor.backward(g)
        stepper.step()


def state(optimizer: list[Any]) -> list[dict[str, Array]]:
    return [
        found for stepper, _ in optimizer for found in (moments if isinstance(stepper, Adam) else velocity)(stepper)
    ]


def moments(adam: Any) -> list[dict[str, Array]]:
    return [{"exp_avg": m, "exp_avg_sq": v} for m, v in zip(adam.m, adam.v, strict=True)]


def velocity(sgd: Any) -> list[dict[str, Array]]:
    return [{"momentum_buffer": v / -sgd.learning_rate} for v in sgd.param_moments] or [{}] * len(sgd.params)


def change_option(optimizer: list[Any], group: int, name: str, value: Any) -> None:
    setattr(optimizer[group][0], {"lr": "learning_rate"}[name], value)
