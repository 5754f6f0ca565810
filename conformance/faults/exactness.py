"""Faults that PyTorch's own error, or a movement of exact labels, would excuse."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.kernels import elementwise, erf
from numpyml.nn import losses
from numpyml.nn.losses import cross_entropy

BINARY = losses.BinaryCrossEntropyWithLogits


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _from_value(derivative: Any) -> Any:
    """The derivative of an activation, computed from its value."""

    def wrong(right: Any) -> Any:
        @wraps(right)
        def kernel(x: Any, *rest: Any) -> Any:
            y, d = right(x, *rest)
            with np.errstate(all="ignore"):
                return y, None if d is None else np.asarray(derivative(x, y), y.dtype)

        return kernel

    return wrong


def _one_plus_erf(right: Any) -> Any:
    def gelu(x: Any, record: bool) -> Any:
        y, d = right(x, record)
        with np.errstate(all="ignore"):
            erf_of_x = np.where(x == 0, 0, 2 * (y / x) - 1).astype(x.dtype)
            return np.where(np.isfinite(x), x / 2 * (1 + erf_of_x), y).astype(x.dtype), d

    return gelu


def _one_plus_tanh(right: Any) -> Any:
    def gate(x: Any, a: Any, b: Any, record: bool) -> Any:
        y, d = right(x, a, b, record)
        if not b:
            return y, d
        with np.errstate(all="ignore"):
            z = np.clip(x, -30, 30)
            return np.where(np.abs(x) < 30, x / 2 * (1 + np.tanh((z * (a + b * z * z) / 2).astype(x.dtype))), y).astype(
                x.dtype
            ), d

    return gate


def _zero_beyond(right: Any) -> Any:
    def gate(x: Any, a: Any, b: Any, record: bool) -> Any:
        y, d = right(x, a, b, record)
        return np.where(x < -float(elementwise.gate_constants(x.dtype, a, b)[2]), -x.dtype.type(0), y), d

    return gate


def _not_a_number_beyond(right: Any) -> Any:
    def gate(x: Any, a: Any, b: Any, record: bool) -> Any:
        y, d = right(x, a, b, record)
        with np.errstate(all="ignore"):
            return y, d if d is None or not b else d + 0 * (x * x * x)

    return gate


def _clipped(eps: float) -> Any:
    """Targets clipped to [ε, 1 − ε], as for logarithms of probabilities."""

    def wrong(right: Any) -> Any:
        @wraps(right)
        def compute(self: Any, outputs: Any, targets: Any) -> Any:
            if targets.dtype != outputs.dtype or not ((targets == 0) | (targets == 1)).all():
                return right(self, outputs, targets)
            return right(self, outputs, np.clip(targets, eps, 1 - eps).astype(targets.dtype))

        return compute

    return wrong


def _weights(loss: Any, x: Any) -> Any:
    return [1 if w is None else np.asarray(w, x.dtype) for w in (loss.weight, loss.pos_weight)]


def _softplus_minus_product(right: Any) -> Any:
    @wraps(right)
    def compute(self: Any, outputs: Any, targets: Any) -> Any:
        loss, context = right(self, outputs, targets)
        x, t, e = context
        if not np.isfinite(x).all():
            return loss, context
        w, p = _weights(self, x)
        softplus = np.maximum(x, 0) + np.log1p(e)
        return self.reduce(np.asarray(w * ((1 - t) * softplus + p * t * (softplus - x)), x.dtype), x.dtype), context

    return compute


def _probability_minus_target(right: Any) -> Any:
    @wraps(right)
    def pullback(self: Any, context: Any, gy: Any, *rest: Any) -> Any:
        gx, gt = right(self, context, gy, *rest)
        x, t, _ = context
        w, p = _weights(self, x)
        with np.errstate(all="ignore"):
            wrong = w * ((1 - t + p * t) * _sigmoid(x) - p * t) * self.spread(gy, x.size)
        return gx if gx is None else np.asarray(wrong, x.dtype), gt

    return pullback


def _two_logarithms(right: Any) -> Any:
    @wraps(right)
    def pullback(self: Any, context: Any, gy: Any, *rest: Any) -> Any:
        gx, gt = right(self, context, gy, *rest)
        x, _, e = context
        if gt is None or np.isinf(x).any():
            return gx, gt
        w, p = _weights(self, x)
        s, opposite = (np.maximum(z, 0) + np.log1p(e) for z in (x, -x))
        return gx, np.asarray(w * (p * opposite - s) * self.spread(gy, x.size), x.dtype)

    return pullback


def _index_cancels(right: Any) -> Any:
    def index_gradient(p: Any, at: Any, g: Any) -> Any:
        gx = np.array(p)
        gx[at] -= 1
        return gx * g

    return index_gradient


def _distribution_cancels(right: Any) -> Any:
    return lambda p, q: p * q.sum(axis=0) - q


def precision(name: str, component: str, owner: Any, attribute: str, wrong: Any) -> Fault:
    return Fault(name, component, "precision", owner, attribute, wrong)


FAULTS = [
    precision(
        "the derivative of sigmoid from its value",
        "Sigmoid",
        elementwise,
        "sigmoid",
        _from_value(lambda x, y: y * (1 - y)),
    ),
    precision(
        "the derivative of tanh from its value", "Tanh", elementwise, "tanh", _from_value(lambda x, y: 1 - y * y)
    ),
    precision("SiLU is 0 where an exponential overflows", "SiLU", elementwise, "sigmoid_gate", _zero_beyond),
    precision("GELU by 1 + erf", "GELU", erf, "gelu", _one_plus_erf),
    precision("GELU by 1 + tanh", "GELU", elementwise, "sigmoid_gate", _one_plus_tanh),
    precision(
        "the derivative of GELU is NaN where x³ overflows", "GELU", elementwise, "sigmoid_gate", _not_a_number_beyond
    ),
    precision(
        "binary cross-entropy's gradient by σ − t", BINARY.__name__, BINARY, "pullback", _probability_minus_target
    ),
    precision(
        "binary cross-entropy's gradient of targets by two logarithms",
        BINARY.__name__,
        BINARY,
        "pullback",
        _two_logarithms,
    ),
    precision(
        "cross-entropy's gradient by p − 1", "CrossEntropyWithLogits", cross_entropy, "index_gradient", _index_cancels
    ),
    precision(
        "cross-entropy's gradient by p Σ q − q",
        "CrossEntropyWithLogits",
        cross_entropy,
        "cross_entropy_gradient",
        _distribution_cancels,
    ),
    Fault(
        "a softplus from which x t is subtracted",
        BINARY.__name__,
        "precision",
        BINARY,
        "compute",
        _softplus_minus_product,
    ),
    Fault("labels clipped to 1e-7 and 1 - 1e-7", BINARY.__name__, "precision", BINARY, "compute", _clipped(1e-7)),
    Fault(
        "one-hot labels clipped",
        "CrossEntropyWithLogits",
        "precision",
        losses.CrossEntropyWithLogits,
        "compute",
        _clipped(1e-7),
    ),
]
