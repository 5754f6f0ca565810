"""mygrad with mynn, as the checks see them.

mynn's layers take batches, its losses are means. A tensor forgets its gradient when it enters another graph, so there
is no accumulation and no ``zero_grad``; nothing knows training from evaluation, and nothing is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import mygrad
import numpy as np
from mygrad.nnet.activations import relu, sigmoid
from mynn.layers.dense import dense
from mynn.losses.cross_entropy import softmax_cross_entropy
from mynn.losses.huber_loss import huber_loss
from mynn.losses.mean_squared_loss import mean_squared_loss
from mynn.optimizers.adam import Adam
from mynn.optimizers.sgd import SGD

from conformance.bound import Array
from conformance.frameworks import NotOffered

NAME = "mygrad with mynn"

# Modules


class Module:
    def __init__(self, call: Callable[..., Any], **tensors: Any) -> None:
        self.call, self.tensors = call, tensors


def make(component: str, options: Mapping[str, Any], dtype: Any) -> Module:
    if options.get("reduction", "mean") != "mean" or options.get("label_smoothing"):
        raise NotOffered(f"{component}({dict(options)})")
    if component == "nn.Linear":
        sizes = options["in_features"], options["out_features"]
        layer = dense(*sizes, bias=options["bias"], weight_kwargs={"dtype": dtype})
        return Module(layer, **dict(zip(("weight", "bias"), layer.parameters, strict=False)))
    if component == "nn.HuberLoss":
        return Module(partial(huber_loss, delta=options["delta"]))
    if component == "nn.CrossEntropyLoss":
        weights = None if options["weight"] is None else np.asarray(options["weight"], dtype)
        return Module(partial(cross_entropy, weights=weights, ignored=options["ignore_index"]))
    plain = {"nn.ReLU": relu, "nn.Sigmoid": sigmoid, "nn.MSELoss": mean_squared_loss}
    if component not in plain:
        raise NotOffered(component)
    return Module(plain[component])


def cross_entropy(outputs: Any, targets: Any, weights: Array | None, ignored: int) -> Any:
    if outputs.ndim != 2 or targets.ndim != 1 or ignored in targets:
        raise NotOffered("outputs are (N, C), targets are class indices, none is ignored")
    return softmax_cross_entropy(outputs, targets, weights=weights)


def forward(module: Module, *inputs: Array) -> Array:
    if module.tensors and inputs[0].ndim < 2:
        raise NotOffered("a batch alone")
    module.inputs = [mygrad.tensor(x) if x.dtype.kind == "f" else x for x in inputs]
    module.output = module.call(*module.inputs)
    return module.output.data


def backward(module: Module, gy: Array) -> list[Array | None]:
    module.output.backward(gy)
    return [getattr(x, "grad", None) for x in module.inputs]


def parameters(module: Module) -> dict[str, Array]:
    """mynn's (in, out) and (1, out) seen as PyTorch's (out, in) and (out,)."""
    return {name: t.data.T if name == "weight" else t.data[0] for name, t in module.tensors.items()}


def gradients(module: Module) -> dict[str, Array]:
    found = {name: np.zeros_like(t.data) if t.grad is None else t.grad for name, t in module.tensors.items()}
    return {name: g.T if name == "weight" else g[0] for name, g in found.items()}


# Functions: two that mygrad has under other argument names


NAMESPACE = SimpleNamespace(
    **{name: getattr(mygrad, name) for name in dir(mygrad)}
    | {"reshape": lambda a, shape: mygrad.reshape(a, shape), "transpose": lambda a, axes: mygrad.transpose(a, axes)}
)


def differentiate(
    function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    tensors = [mygrad.tensor(x) for x in operands]
    try:
        y = mygrad.astensor(function(*tensors))
    except ValueError as refusal:
        if "non-constant" in str(refusal):  # mygrad's word for a function without a derivative
            raise NotOffered(str(refusal)) from refusal
        raise
    y.backward(*gys)  # no function of mygrad's gives more than one array
    return [y.data], [np.zeros_like(x) if t.grad is None else t.grad for x, t in zip(operands, tensors, strict=True)]


# Optimizers: one of mynn's for each group, and the gradients that it is to find in its tensors


def optimizer(component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> list[Any]:
    return [(mynn_optimizer(component, {**options, **group}), group["grads"]) for group in groups]


def mynn_optimizer(component: str, options: Mapping[str, Any]) -> Any:
    lacking = ("dampening", "nesterov", "maximize", "amsgrad", "decoupled_weight_decay")
    if component not in ("optim.SGD", "optim.Adam") or any(options.get(name) for name in lacking):
        raise NotOffered(f"{component}({dict(options)})")
    tensors = [mygrad.tensor(x, copy=False) for x in options["params"]]
    common = {"learning_rate": options["lr"], "weight_decay": options["weight_decay"]}
    if component == "optim.SGD":
        return SGD(tensors, momentum=options["momentum"], **common)
    beta1, beta2 = options["betas"]
    return Adam(tensors, beta1=beta1, beta2=beta2, eps=options["eps"], **common)


def step(optimizer: list[Any]) -> None:
    for stepper, grads in optimizer:
        for tensor, g in zip(stepper.params, grads, strict=True):
            tensor.backward(g)
        stepper.step()


def state(optimizer: list[Any]) -> list[dict[str, Array]]:
    return [found for stepper, _ in optimizer for found in STATES[type(stepper)](stepper)]


# The velocity of mynn's SGD is PyTorch's buffer times -lr.
STATES: dict[type, Callable[[Any], list[dict[str, Array]]]] = {
    SGD: lambda o: [{"momentum_buffer": v / -o.learning_rate} for v in o.param_moments] or [{} for _ in o.params],
    Adam: lambda o: [{"exp_avg": m, "exp_avg_sq": v} for m, v in zip(o.m, o.v, strict=True)],
}


def change_option(optimizer: list[Any], group: int, name: str, value: Any) -> None:
    if name != "lr":
        raise NotOffered(name)
    optimizer[group][0].learning_rate = value
