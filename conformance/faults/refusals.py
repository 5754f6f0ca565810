"""Faults in validation: invalid calls accepted, valid ones refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml import Tensor
from numpyml.autograd.derivatives import reductions
from numpyml.errors import DTypeError
from numpyml.nn import drivers, init, layers, losses, module, optimizers

LOSS = losses.MeanSquaredError


def _any_options(right: Any) -> Any:
    return classmethod(lambda cls, options: None)


def _any_value(right: Any) -> Any:
    return lambda owner, name, value, *limits: value


def _any_state(right: Any) -> Any:
    def load_state_dict(self: Any, state_dict: Any) -> None:
        for name, parameter in self.named_parameters():
            parameter.data[...] = state_dict.get(name, parameter.data)

    return load_state_dict


def _any_gradient(right: Any) -> Any:
    return lambda gy, shape, dtype, layer: np.resize(np.asarray(gy, dtype), shape)


def _any_tape(right: Any) -> Any:
    def backward(self: Any, gradient: Any = None, **options: Any) -> None:
        right(self, gradient if gradient is None else np.resize(gradient, self.shape), **options)

    return backward


def _unspecific(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        try:
            return right(self, x)
        except Exception as error:
            raise TypeError("unsupported operand type(s)") from error

    return compute


def _one_precision(right: Any) -> Any:
    def compute(self: Any, outputs: Any, targets: Any) -> Any:
        if targets.dtype.kind == "f" and targets.dtype != outputs.dtype:
            raise DTypeError("expected targets of the outputs' precision")
        return right(self, outputs, targets)

    return compute


def _absolute_n(right: Any) -> Any:
    def array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        n = kwargs.get("n", 0)
        return right(self, function, types, args, {**kwargs, "n": abs(n)} if n == -1 else kwargs)

    return array_function


def _without_scalars(right: Any) -> Any:
    def restore_axes(g: Any, axis: Any, keepdims: bool) -> Any:
        return g if axis is None or keepdims else np.expand_dims(g, axis)

    return restore_axes


FAULTS = [
    Fault("options out of range accepted", "SGD", "optimizer_rejections", optimizers.SGD, "validate", _any_options),
    Fault(
        "betas out of range accepted", "Adam", "optimizer_rejections", optimizers.Optimizer, "validate", _any_options
    ),
    Fault("a standard deviation below 0 accepted", "normal_", "initial_rejections", init, "number", _any_value),
    Fault("any state dict accepted", "Dense", "rejections", module.Module, "load_state_dict", _any_state),
    Fault("gradient of another shape accepted", "Dense", "rejections", drivers, "as_gradient", _any_gradient),
    Fault("gradient of another shape accepted by a Tensor", "Dense", "rejections", Tensor, "backward", _any_tape),
    Fault("an unspecific error", "Dense", "rejections", layers.Dense, "compute", _unspecific),
    Fault("targets of another precision refused", LOSS.__name__, "rejections", LOSS, "compute", _one_precision),
    Fault(
        "negative order of differences accepted",
        "diff",
        "function_rejections",
        Tensor,
        "__array_function__",
        _absolute_n,
    ),
    Fault(
        "no backward of a scalar's last axis",
        "sum",
        "function_rejections",
        reductions,
        "restore_axes",
        _without_scalars,
    ),
]
