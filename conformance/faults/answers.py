"""Wrong numbers: outputs, gradients, losses, and how they come out."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml import Tensor
from numpyml.autograd.derivatives import products
from numpyml.kernels import erf
from numpyml.kernels.elementwise import BLOCK
from numpyml.nn import activations, layers, losses, module


def scaled(factor: float) -> Any:
    """The gradient of the input, off by a factor."""

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


def _from_cache(right: Any) -> Any:
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
    """The gradient of the input half as large again, where this holds of the incoming one."""

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
        y.reshape(-1)[BLOCK // x.dtype.itemsize :] = 0
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


FAULTS = [
    Fault("input gradient 1% off", "Dense", "input_gradients", layers.Dense, "pullback", scaled(1.01)),
    Fault(
        "input gradient off by 30 units in the last place of float32",
        "Sigmoid",
        "input_gradients",
        activations.Sigmoid,
        "pullback",
        scaled(1 + 4e-6),
    ),
    Fault("input gradient with the wrong sign", "ReLU", "input_gradients", activations.ReLU, "pullback", scaled(-1)),
    Fault("bias gradient missing", "Dense", "parameter_gradients", layers.Dense, "pullback", _without_bias),
    Fault("weight transposed where it is square", "Dense", "output", layers.Dense, "compute", _transposed),
    Fault("float32 comes out as float64", "Sigmoid", "dtype_kept", activations.Sigmoid, "compute", _upcast),
    Fault("input written to", "ReLU", "inputs_untouched", activations.ReLU, "compute", _in_place),
    Fault(
        "second use of an instance pulls back nothing",
        "Sigmoid",
        "used_twice",
        activations.Sigmoid,
        "pullback",
        _from_cache,
    ),
    Fault(
        "sum where a mean was asked for", "MeanSquaredError", "output", losses.ElementwiseLoss, "reduce", _sum_for_mean
    ),
    Fault("gradient of a loss twice as large", "Huber", "input_gradients", losses.Huber, "pullback", scaled(2)),
    Fault(
        "class gradients 1e-5 off",
        "CrossEntropyWithLogits",
        "input_gradients",
        losses.CrossEntropyWithLogits,
        "pullback",
        scaled(1 + 1e-5),
    ),
    Fault(
        "logit gradients 1e-5 off",
        "BinaryCrossEntropyWithLogits",
        "input_gradients",
        losses.BinaryCrossEntropyWithLogits,
        "pullback",
        scaled(1 - 1e-5),
    ),
    Fault(
        "no gradient of the targets",
        "MeanSquaredError",
        "input_gradients",
        losses.MeanSquaredError,
        "pullback",
        _without_targets,
    ),
    Fault(
        "no input gradient from the explicit driver", "ReLU", "drivers_agree", module.Module, "backward", _without_input
    ),
    Fault(
        "wrong for incoming gradients that lie in C order",
        "Sigmoid",
        "input_gradients",
        activations.Sigmoid,
        "pullback",
        _where(lambda self, gy: gy.flags.c_contiguous and not gy.flags.f_contiguous),
    ),
    Fault(
        "wrong for the incoming gradient of a sum, one number",
        "Sigmoid",
        "input_gradients",
        activations.Sigmoid,
        "pullback",
        _where(lambda self, gy: gy.size > 1 and not any(gy.strides)),
    ),
    Fault(
        "wrong once the weight is frozen",
        "LayerNorm",
        "frozen",
        layers.LayerNorm,
        "pullback",
        _where(lambda self, gy: self.weight is not None and not self.weight.requires_grad),
    ),
    Fault("wrong by a plain array", "multiply", "function_output", Tensor, "__array_ufunc__", _plain_doubled),
    Fault(
        "no second output",
        "MultiheadAttention",
        "output",
        layers.MultiheadAttention,
        "compute",
        _without_weights,
    ),
    Fault("-0 becomes 0", "Tanh", "output", activations.Tanh, "compute", _unsigned),
    Fault("long products 1e-5 off", "outer", "function_large", products, "weighted_rows", _long_weighted),
    Fault("nothing after the first block", "GELU", "large", erf, "gelu", _first_block),
    Fault("long sums 1e-5 off", "MeanSquaredError", "large", losses.ElementwiseLoss, "reduce", _long_sums),
]
