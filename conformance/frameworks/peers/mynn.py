"""The adapter of mynn with mygrad.

They lack what is left out here: a tensor drops its gradient when it enters another graph, so nothing accumulates and
there is no ``zero_grad``; nothing is saved; no mask can be injected into a dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
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

from conformance.frameworks import NotOffered, Offer, make_from
from conformance.frameworks.peers.mygrad import NAMESPACE, differentiate  # noqa: F401  # part of this adapter
from numpyml.typing import Array

NAME = "mygrad with mynn"


MODULES: dict[str, Callable[..., Any]] = {
    "nn.Linear": lambda dtype, in_features, out_features, bias: dense(
        in_features, out_features, bias=bias, weight_kwargs={"dtype": dtype}
    ),
    "nn.Dropout": lambda dtype, p: dropout(p),
    "nn.ReLU": lambda dtype: relu,
    "nn.Sigmoid": lambda dtype: sigmoid,
    "nn.MSELoss": lambda dtype: mean_squared_loss,
    "nn.HuberLoss": lambda dtype, delta: partial(huber_loss, delta=delta),
    "nn.CrossEntropyLoss": lambda dtype, weight, ignore_index: partial(cross_entropy, weight, ignore_index),
}
AXES = {"nn.Linear": 2, "nn.MSELoss": 1, "nn.HuberLoss": 1}  # at least: one is that of the batch
MEAN = {"reduction": ["mean"]}
OFFERS = {
    "": Offer(),  # functions
    "nn.Linear": Offer(axes=range(2, 6)),
    "nn.Dropout": Offer(options={"p": [0.5, 0.0, 0.1, 0.9, 1 / 3]}, training=[True]),
    "nn.MSELoss": Offer(options=MEAN, axes=range(1, 6)),
    "nn.HuberLoss": Offer(options=MEAN, axes=range(1, 6)),
    "nn.CrossEntropyLoss": Offer(
        options={**MEAN, "ignore_index": [-100], "label_smoothing": [0.0]},
        axes=[2],
        where=lambda options, outputs, targets: targets.ndim == 1 and not (targets == -100).any(),
    ),
    "optim.SGD": Offer(options={"dampening": [0], "nesterov": [False], "maximize": [False]}),
    "optim.Adam": Offer(options={"amsgrad": [False], "maximize": [False], "decoupled_weight_decay": [False]}),
}


def cross_entropy(weight: Array | None, ignore_index: int, outputs: Any, targets: Any) -> Any:
    if outputs.ndim != 2 or targets.ndim != 1 or ignore_index in targets:
        raise NotOffered("outputs are (N, C), targets are class indices, none is ignored")
    return softmax_cross_entropy(outputs, targets, weights=None if weight is None else weight.astype(outputs.dtype))


def make(component: str, options: Mapping[str, Any], dtype: Any) -> Any:
    if options.get("p") == 1:
        raise NotOffered("a dropout of everything")
    return SimpleNamespace(call=make_from(MODULES, component, options, dtype), axes=AXES.get(component, 0))


def forward(module: Any, *inputs: Array, **further: Any) -> Array:
    if further or inputs[0].ndim < module.axes:
        raise NotOffered("further arguments, or no batch axis")
    module.inputs = [mygrad.tensor(x) if x.dtype.kind == "f" else x for x in inputs]
    module.output = module.call(*module.inputs)
    return module.output.data


def backward(module: Any, *gys: Array) -> list[Array | None]:
    module.output.backward(*gys)
    return [getattr(x, "grad", None) for x in module.inputs]


def parameters(module: Any) -> dict[str, Array]:
    """mynn's (in, out) and (1, out), seen as PyTorch's (out, in) and (out,)."""
    return {name: t.data.T if name == "weight" else t.data[0] for name, t in tensors(module)}


def gradients(module: Any) -> dict[str, Array]:
    return {name: t.grad.T if name == "weight" else t.grad[0] for name, t in tensors(module)}


def tensors(module: Any) -> Iterable[tuple[str, Any]]:
    return zip(("weight", "bias"), getattr(module.call, "parameters", ()), strict=False)


def train(module: Any, mode: bool) -> None:
    if isinstance(module.call, dropout) and not mode:
        raise NotOffered("there is no evaluation mode of dropout; the other modules have no modes")


def seed(seed: int) -> None:
    np.random.seed(seed)  # noqa: NPY002  # mynn draws from the global generator


def masks(module: Any, shape: tuple[int, ...], dtype: Any) -> list[tuple[float, Array]]:
    drops = isinstance(module.call, dropout)
    return [(module.call.p_dropout, np.asarray(module.call(np.ones(shape, dtype))))] if drops else []


# Optimizers: one of mynn's for each group, beside the gradients that its tensors are to have

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "optim.SGD": lambda params, lr, momentum, weight_decay: SGD(
        params, learning_rate=lr, momentum=momentum, weight_decay=weight_decay
    ),
    "optim.Adam": lambda params, lr, betas, eps, weight_decay: Adam(
        params, learning_rate=lr, beta1=betas[0], beta2=betas[1], eps=eps, weight_decay=weight_decay
    ),
}


def optimizer(component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> list[Any]:
    def stepper(params: Any, grads: Any, **own: Any) -> tuple[Any, Any]:
        parameters = [mygrad.tensor(x, copy=False) for x in params]
        return make_from(OPTIMIZERS, component, {**options, **own}, parameters), grads

    return [stepper(**group) for group in groups]


def step(optimizer: list[Any]) -> None:
    for stepper, grads in optimizer:
        for tensor, g in zip(stepper.params, grads, strict=True):
            tensor.backward(g)
        stepper.step()


def state(optimizer: list[Any]) -> list[dict[str, Array]]:
    return [arrays for own, _ in optimizer for arrays in (moments if isinstance(own, Adam) else velocity)(own)]


def moments(adam: Any) -> list[dict[str, Array]]:
    return [{"exp_avg": m, "exp_avg_sq": v} for m, v in zip(adam.m, adam.v, strict=True)]


def velocity(sgd: Any) -> list[dict[str, Array]]:
    if sgd.momentum and not sgd.learning_rate:
        raise NotOffered("the velocity has the learning rate as a factor, and is lost at 0")
    return [{"momentum_buffer": v / -sgd.learning_rate} for v in sgd.param_moments] or [{}] * len(sgd.params)


CHANGEABLE = {"lr": "learning_rate", "weight_decay": "weight_decay", "eps": "eps"}


def change_option(optimizer: list[Any], group: int, name: str, value: Any) -> None:
    if name not in CHANGEABLE:
        raise NotOffered(f"{name}, which cannot be changed after construction")
    setattr(optimizer[group][0], CHANGEABLE[name], value)
