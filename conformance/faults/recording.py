"""Faults without a record, in evaluation after training, in the random state, and in a second thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml import Tensor, is_recording
from numpyml.autograd import tape
from numpyml.kernels import attention as attention_kernels
from numpyml.kernels import elementwise
from numpyml.nn import activations, drivers, layers, losses, model
from numpyml.nn.layers import attention, multihead_attention


def _unrecorded(change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A compute whose output is changed where nothing is recorded."""

    def wrong(right: Any) -> Any:
        @wraps(right)
        def compute(self: Any, *inputs: Any, **options: Any) -> Any:
            y, context = right(self, *inputs, **options)
            return (y if is_recording() else change(self, y)), context

        return compute

    return wrong


def _off(right: Any) -> Any:
    return lambda self, x: right(self, x) if is_recording() else (x, None)


def _one_mask(right: Any) -> Any:
    return lambda q, k, v, s, biases, mask, o: right(q, k, v, s, biases[:1], mask, o)


def _without_dropout(right: Any) -> Any:
    return lambda q, k, v, s, biases, mask, o: right(q, k, v, s, biases, None, o)


def _without_last(right: Any) -> Any:
    def attend_in_parts(*arguments: Any) -> None:
        right(*arguments)
        y = arguments[-1]
        if y.ndim > 2 and len(y) > 1:
            y[-1] = 0

    return attend_in_parts


def _without_last_block(right: Any) -> Any:
    def blocks(x: Any, y: Any, derivative: Any, n: int) -> Any:
        several = list(right(x, y, derivative, n))
        if derivative is None and len(several) > 1:
            y[...] = 0
            several.pop()
        return several

    return blocks


def _same_array(self: Any, y: Any) -> Any:
    kept = vars(self).setdefault("kept", {}).setdefault((y.shape, y.dtype), np.empty_like(y))
    kept[...] = y
    return kept


def _sum(right: Any) -> Any:
    def reduce(self: Any, values: Any, dtype: Any) -> Any:
        return right(self, values, dtype) if is_recording() else np.add.reduce(values, axis=None, dtype=dtype)

    return reduce


def _without_last_layer(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        if not is_recording():
            for layer in self.layers[:-1]:
                x = layer.compute(x)[0]
            return x, None
        return right(self, x)

    return compute


def _inaccurate(right: Any) -> Any:
    def apply(function: Any, args: Any, kwargs: Any = {}) -> Any:  # noqa: B006  # it is not written to
        y = right.__func__(function, args, kwargs)
        off = isinstance(y, Tensor) and y.dtype.kind == "f" and not is_recording()
        return Tensor(y.data * y.dtype.type(1 + 1e-6)) if off else y

    return staticmethod(apply)


def _ends_all(right: Any) -> Any:
    @contextmanager
    def recording(on: bool = True) -> Any:
        with right(on):
            yield
        tape._mode.recording = True

    return recording


def _no_finally(right: Any) -> Any:
    return lambda self, error, *of: None if error else right(self, error, *of)


def _recording(right: Any) -> Any:
    """Calls are recorded, whatever the block says."""

    def call(*args: Any, **options: Any) -> Any:
        with tape.recording():
            return right(*args, **options)

    return call


def _recording_static(right: Any) -> Any:
    return staticmethod(_recording(right.__func__))


def _last_of_training(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        y, context = right(self, x)
        if self.training:
            self.last = y
        elif hasattr(self, "last") and self.last.shape == y.shape:
            y = self.last
        return y, context

    return compute


def _first_mode(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        self.first = getattr(self, "first", self.training)
        now, self.training = self.training, self.first
        try:
            return right(self, x)
        finally:
            self.training = now

    return compute


def _untrained_after_evaluation(right: Any) -> Any:
    def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        self.evaluated = getattr(self, "evaluated", False) or not self.training
        before = np.array(self.weight.grad)
        gx = right(self, context, gy, needs_input_grad)
        if self.training and self.evaluated:
            self.weight.grad[...] = before
        return gx

    return pullback


def _more_draws(holds: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """A mask is drawn that nobody uses."""

    def wrong(right: Any) -> Any:
        @wraps(right)
        def compute(self: Any, x: Any, *inputs: Any, **options: Any) -> Any:
            if holds(self):
                self.mask(x.shape, x.dtype)
            return right(self, x, *inputs, **options)

        return compute

    return wrong


def _one_scratch(right: Any) -> Any:
    arrays: dict[Any, Any] = {}

    def softmax_in_place(x: Any, masked: bool) -> Any:
        scratch = arrays.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))
        scratch[...] = x
        result = right(scratch, masked)
        x[...] = scratch
        return result

    return softmax_in_place


def _one_context(right: Any) -> Any:
    arrays: dict[Any, Any] = {}

    def compute(self: Any, x: Any) -> Any:
        y, derivative = right(self, x)
        if derivative is None:
            return y, None
        context = arrays.setdefault((x.shape, x.dtype), derivative)
        context[...] = derivative
        return y, context

    return compute


def _on_self(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        self.x = x
        y, context = right(self, x)
        if self.x is not x and self.x.shape == x.shape:
            y, context = right(self, self.x)
        return y, context

    return compute


def _shared(right: Any) -> Any:
    return SimpleNamespace(recording=True)


DRAWS_UNRECORDED = _more_draws(lambda layer: layer.training and layer.dropout_p > 0 and not is_recording())

FAULTS = [
    Fault("no dropout without a record", "Dropout", "without_record", layers.Dropout, "compute", _off),
    Fault(
        "second mask ignored without a record",
        "TransformerEncoderLayer",
        "without_record",
        multihead_attention,
        "attend_in_parts",
        _one_mask,
    ),
    Fault(
        "no dropout of attention without a record",
        "ScaledDotProductAttention",
        "without_record",
        attention,
        "attend_in_parts",
        _without_dropout,
    ),
    Fault(
        "last part of a batch not computed without a record",
        "ScaledDotProductAttention",
        "without_record",
        attention,
        "attend_in_parts",
        _without_last,
    ),
    Fault(
        "last block not computed without a record",
        "Tanh",
        "large_without_record",
        elementwise,
        "blocks",
        _without_last_block,
    ),
    Fault(
        "one array for all outputs without a record",
        "Dense",
        "without_record",
        layers.Dense,
        "compute",
        _unrecorded(_same_array),
    ),
    Fault(
        "float64 without a record",
        "RMSNorm",
        "without_record",
        layers.RMSNorm,
        "compute",
        _unrecorded(lambda self, y: y.astype(np.float64)),
    ),
    Fault(
        "weights dropped without a record",
        "MultiheadAttention",
        "without_record",
        layers.MultiheadAttention,
        "compute",
        _unrecorded(lambda self, y: (y[0], None)),
    ),
    Fault("sum without a record", "MeanSquaredError", "without_record", losses.ElementwiseLoss, "reduce", _sum),
    Fault(
        "no last layer without a record",
        "Sequential",
        "without_record",
        model.Sequential,
        "compute",
        _without_last_layer,
    ),
    Fault("1e-6 off without a record", "exp", "without_record", Tensor, "_apply", _inaccurate),
    Fault("an inner no_grad ends the outer one", "Dense", "recording", tape, "recording", _ends_all),
    Fault("an exception leaves nothing recorded", "ReLU", "recording", tape.NoGrad, "__exit__", _no_finally),
    Fault("threads share what is recorded", "Dense", "recording", tape, "_mode", _shared),
    Fault("arrays are recorded inside no_grad", "LayerNorm", "recording", drivers, "_keep", _recording),
    Fault("layers are recorded inside no_grad", "GELU", "recording", drivers, "_dynamic", _recording),
    Fault("functions are recorded inside no_grad", "tanh", "recording", Tensor, "_apply", _recording_static),
    Fault(
        "evaluation returns what training computed",
        "LayerNorm",
        "evaluation",
        layers.LayerNorm,
        "compute",
        _last_of_training,
    ),
    Fault("the first mode stays", "Dropout", "evaluation", layers.Dropout, "compute", _first_mode),
    Fault(
        "no weight gradient once it was evaluated",
        "Dense",
        "evaluation",
        layers.Dense,
        "pullback",
        _untrained_after_evaluation,
    ),
    Fault(
        "evaluation draws a mask",
        "Dropout",
        "random_state",
        layers.Dropout,
        "compute",
        _more_draws(lambda layer: not layer.training),
    ),
    Fault(
        "another mask without a record",
        "ScaledDotProductAttention",
        "random_state",
        layers.ScaledDotProductAttention,
        "compute",
        DRAWS_UNRECORDED,
    ),
    Fault(
        "threads share a scratch array",
        "ScaledDotProductAttention",
        "threads",
        attention_kernels,
        "softmax_in_place",
        _one_scratch,
    ),
    Fault("a call's input is kept on the layer", "LayerNorm", "threads", layers.LayerNorm, "compute", _on_self),
    Fault("threads share a context", "SiLU", "threads", activations.SiLU, "compute", _one_context),
]
