"""References of losses: values and gradients. o: outputs, t: targets."""

from __future__ import annotations

import numpy as np

from conformance.references.arithmetic import Wide, difference, sigmoid, times, total, wide
from conformance.references.kinds import Arrays, Function, Mask, ModuleReference, Options, named
from numpyml.typing import Array


def loss(value: Function, by_output: Function, by_target: Function, *uses: str) -> ModuleReference:
    """An elementwise loss and its two derivatives, each of (o, t, the options it uses), then weighted and reduced."""

    def compute(options: Options, inputs: Arrays, _: Arrays, gy: Array, __: Mask | None) -> dict[str, Array]:
        o, t = inputs.values()
        used = [or_one(options, name) for name in uses]
        weight = or_one(options, "weight")
        y, *partials = (times(weight, f(o, t, *used)) for f in (value, by_output, by_target))
        output, share = reduced(y, wide(y.size), options.get("reduction", "mean"))
        return named(inputs, output, *(gy * share * partial for partial in partials))

    return ModuleReference(compute)


def or_one(options: Options, name: str) -> Array:
    return wide(1 if options.get(name) is None else options[name])


def reduced(y: Array, divisor: Array, reduction: str) -> tuple[Array, Array]:
    """The loss, and the weight of each element in it. A mean over nothing is NaN: 0 / 0."""
    if reduction == "none":
        return y, wide(1)
    share = 1 / divisor if reduction == "mean" else wide(1)
    return total(y) * share, share


def huber(o: Array, t: Array, delta: Array) -> Array:
    d = np.absolute(o - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def huber_by_output(o: Array, t: Array, delta: Array) -> Array:
    return np.clip(o - t, -delta, delta)


def log1p_exp(x: Array) -> Array:
    """log(1 + exp(x)), at any x."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.absolute(x)))


def binary(o: Array, t: Array, pos_weight: Array) -> Array:
    """−w t log σ(o) − (1 − t) log(1 − σ(o))."""
    return times(pos_weight * t, log1p_exp(-o)) + times(1 - t, log1p_exp(o))


def binary_by_output(o: Array, t: Array, pos_weight: Array) -> Array:
    return (1 - t) * sigmoid(o) - pos_weight * t * sigmoid(-o)


def binary_by_target(o: Array, t: Array, pos_weight: Array) -> Array:
    """log(1 − σ) − w log σ, with o as a term of its own: for w = 1 it is −o."""
    return (pos_weight - 1) * np.log1p(np.exp(-np.absolute(o))) - times(np.where(o < 0, pos_weight, 1), o)


def one_hot(indices: Array, classes: int) -> Array:
    """Whether a class is the one of an index: (...) -> (..., classes)."""
    hot: Array = np.expand_dims(indices, -1) == np.arange(classes)
    return hot


def others(x: Array) -> Array:
    """The sum of all others along the last axis: of those before and those after."""
    none = np.zeros_like(x[..., :1])
    before, after = (np.concatenate([none, np.cumsum(y[..., :-1], -1)], -1) for y in (x, x[..., ::-1]))
    return np.asarray(before + after[..., ::-1])


@ModuleReference
def cross_entropy(options: Options, inputs: Arrays, _: Arrays, gy: Array, __: Mask | None) -> dict[str, Array]:
    """−Σ q log p over the classes: p = softmax(o), and q the target probability times the weight of the class.

    The gradient p Σq − q is computed as p·(Σq of the other classes) − q·(Σp of the other classes), without 1 − p.
    """
    o, t = inputs.values()
    axis = min(1, o.ndim - 1)
    logits = np.moveaxis(o, axis, -1)
    rows, classes = logits.shape[:-1], logits.shape[-1]
    weight = np.broadcast_to(or_one(options, "weight"), classes)
    smoothing = Wide(options.get("label_smoothing", 0))
    soft = t.dtype.kind == "f"
    counted = np.ones(rows, bool) if soft else t != options.get("ignore_index", -100)
    target = np.moveaxis(t, axis, -1) if soft else wide(one_hot(np.where(counted, t, 0), classes))
    divisor = wide(counted.size) if soft else total(target[counted] @ weight)
    q = weight * ((1 - smoothing) * target + smoothing / classes) * counted[..., None]

    top = one_hot(logits.argmax(-1), classes)
    d, lost = difference(logits, np.max(logits, -1, keepdims=True))
    d, lost = np.where(top, 0, d), np.where(top, 0, lost)  # 0 also where the largest logit is infinite
    e = np.exp(d) * (1 + lost)
    rest = total(np.where(top, 0, e), -1, keepdims=True)
    p, log_p = e / (1 + rest), d - np.log1p(rest)

    losses = np.where(counted, total(-times(q, log_p), -1), 0)
    output, share = reduced(losses, divisor, options.get("reduction", "mean"))
    share = np.where(counted, gy * share, 0)[..., None]
    by_logit = share * (p * others(q) - q * others(p))
    by_target = share * -times((1 - smoothing) * weight, log_p)
    return named(inputs, output, *(np.moveaxis(g, -1, axis) for g in ([by_logit, by_target] if soft else [by_logit])))
