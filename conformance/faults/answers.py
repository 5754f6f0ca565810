"""Faults in outputs, gradients and losses: wrong values, dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml import Tensor
from numpyml.autograd.derivatives import products
from numpyml.kernels import erf, thresholds
from numpyml.nn import activations, layers, losses, module


def scaled(factor: float) -> Any:
    """The gradient of the first input, times a factor."""

    def wrong(right: Any) -> Any:
        def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Any = (True, True)) -> Any:
            gx = right(self, context, gy, needs_input_grad)
            if isinstance(gx, tuple):
                return (gx[0] * gx[0].dtype.type(factor), *gx[1:])
            return None if gx is None else gx * gx.dtype.type(factor)

        return pullback

    return wrong


def _without_bias(right: Any) -> Any:
    def pullback(self: Any, x: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        before = None if self.bias is None else np.array(self.bias.grad)
        gx = right(self, x, gy, needs_input_grad)
        if before is not None:
            self.bias.grad[...] = before
        return gx

    return pullback


def _transposed(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        w = self.weight.data
        if w.shape[0] != w.shape[1]:
            return right(self, x)
        saved = np.array(w)
        w[...] = saved.T
        try:
            return right(self, x)
        finally:
            w[...] = saved

    return compute


def _upcast(right: Any) -> Any:
    def compute(self: Any, *inputs: Any) -> Any:
        y, context = right(self, *inputs)
        return (y.astype(np.float64) if y.dtype == np.float32 else y), context

    return compute


def _in_place(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        x *= x > 0
        return right(self, x)

    return compute


def _first_call(right: Any) -> Any:
    def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return right(self, context, gy if self.calls == 1 else gy * 0, needs_input_grad)

    return pullback


def _sum_for_mean(right: Any) -> Any:
    def reduce(self: Any, values: Any, dtype: Any) -> Any:
        return right(self, values, dtype) if self.reduction != "mean" else np.add.reduce(values, axis=None, dtype=dtype)

    return reduce


def _without_targets(right: Any) -> Any:
    def pullback(self: Any, e: Any, gy: Any, needs_input_grad: Any = (True, True)) -> Any:
        return right(self, e, gy, needs_input_grad)[0], None

    return pullback


def _without_input(right: Any) -> Any:
    def backward(self: Any, *gradients: Any, **options: Any) -> None:
        right(self, *gradients, **options)

    return backward


def _where(holds: Any) -> Any:
    """The gradient of the input times 1.5, where a condition holds for the incoming gradient."""

    def wrong(right: Any) -> Any:
        def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
            gx = right(self, context, gy, needs_input_grad)
            return gx * gx.dtype.type(1.5) if gx is not None and holds(self, gy) else gx

        return pullback

    return wrong


def _plain_doubled(right: Any) -> Any:
    def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        y = right(self, ufunc, method, *inputs, **options)
        plain = any(not isinstance(x, Tensor) for x in inputs)
        return y + y if ufunc is np.multiply and plain and isinstance(y, Tensor) else y

    return array_ufunc


def _without_weights(right: Any) -> Any:
    @wraps(right)
    def compute(self: Any, *inputs: Any, **options: Any) -> Any:
        y, context = right(self, *inputs, **options)
        return ((y[0], None) if isinstance(y, tuple) else y), context

    return compute


def _unsigned(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        y, context = right(self, x)
        return y + y.dtype.type(0), context

    return compute


def _first_block(right: Any) -> Any:
    def gelu(x: Any, record: bool) -> Any:
        y, derivative = right(x, record)
        y.reshape(-1)[thresholds.BLOCK_BYTES // x.dtype.itemsize :] = 0
        return y, derivative

    return gelu


def _long_sums(right: Any) -> Any:
    def reduce(self: Any, values: Any, dtype: Any) -> Any:
        y = right(self, values, dtype)
        return y * y.dtype.type(1 + 1e-5) if self.reduction == "sum" and values.size > 1024 else y

    return reduce


def _long_weighted(right: Any) -> Any:
    def weighted_rows(weights: Any, rows: Any) -> Any:
        y = right(weights, rows)
        return y * y.dtype.type(1 + 1e-5) if len(rows) > 256 else y

    return weighted_rows


def wrong_gradient(name: str, owner: Any, wrong: Callable[[Any], Any]) -> Fault:
    """A fault in a component's pullback that its input gradients show."""
    return Fault(name, owner.__name__, "input_gradients", owner, "pullback", wrong)


FAULTS = [
    wrong_gradient("input gradient 1% off", layers.Dense, scaled(1.01)),
    wrong_gradient(
        "input gradient off by 30 units in the last place of float32", activations.Sigmoid, scaled(1 + 4e-6)
    ),
    wrong_gradient("input gradient with the wrong sign", activations.ReLU, scaled(-1)),
    Fault("bias gradient missing", "Dense", "parameter_gradients", layers.Dense, "pullback", _without_bias),
    Fault("weight transposed where it is square", "Dense", "output", layers.Dense, "compute", _transposed),
    Fault("float32 comes out as float64", "Sigmoid", "dtype_kept", activations.Sigmoid, "compute", _upcast),
    Fault("input written to", "ReLU", "inputs_untouched", activations.ReLU, "compute", _in_place),
    Fault("no gradient from the second call", "Sigmoid", "used_twice", activations.Sigmoid, "pullback", _first_call),
    Fault("sum instead of mean", "MeanSquaredError", "output", losses.ElementwiseLoss, "reduce", _sum_for_mean),
    wrong_gradient("gradient of a loss twice as large", losses.Huber, scaled(2)),
    wrong_gradient("class gradients 1e-5 off", losses.CrossEntropyWithLogits, scaled(1 + 1e-5)),
    wrong_gradient("logit gradients 1e-5 off", losses.BinaryCrossEntropyWithLogits, scaled(1 - 1e-5)),
    wrong_gradient("no gradient of the targets", losses.MeanSquaredError, _without_targets),
    Fault(
        "no input gradient from the explicit driver", "ReLU", "drivers_agree", module.Module, "backward", _without_input
    ),
    wrong_gradient(
        "wrong for C-contiguous incoming gradients",
        activations.Sigmoid,
        _where(lambda self, gy: gy.flags.c_contiguous and not gy.flags.f_contiguous),
    ),
    wrong_gradient(
        "wrong for the incoming gradient of a sum, one number",
        activations.Sigmoid,
        _where(lambda self, gy: gy.size > 1 and not any(gy.strides)),
    ),
    Fault(
        "wrong with a frozen weight",
        "LayerNorm",
        "frozen",
        layers.LayerNorm,
        "pullback",
        _where(lambda self, gy: self.weight is not None and not self.weight.requires_grad),
    ),
    Fault("wrong product with an array", "multiply", "output", Tensor, "__array_ufunc__", _plain_doubled),
    Fault("no second output", "MultiheadAttention", "output", layers.MultiheadAttention, "compute", _without_weights),
    Fault("-0 becomes 0", "Tanh", "output", activations.Tanh, "compute", _unsigned),
    Fault("long products 1e-5 off", "outer", "large", products, "weighted_rows", _long_weighted),
    Fault("zeros after the first block", "GELU", "large", erf, "gelu", _first_block),
    Fault("long sums 1e-5 off", "MeanSquaredError", "large", losses.ElementwiseLoss, "reduce", _long_sums),
]
