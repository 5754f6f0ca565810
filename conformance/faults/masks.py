"""Faults that only a component's own masks show, as it draws and uses them in a call: injected masks replace them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.nn import layers
from numpyml.random import default_generator
from numpyml.typing import Array

Change = Callable[[Array, int], Array]


class _Used(np.ndarray[Any, Any]):
    """A mask with which another one multiplies, by the number of the product."""

    change: Change
    uses = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **further: Any) -> Any:
        self.uses += 1
        plain = [self.change(np.array(x), self.uses) if x is self else x for x in inputs]
        return getattr(ufunc, method)(*plain, **further)


def used(change: Change) -> Callable[[Any], Any]:
    """A mask that is drawn rightly, and used wrongly."""

    def wrong(right: Any) -> Any:
        def mask(self: Any, shape: Any, dtype: Any) -> Any:
            drawn = np.asarray(right(self, shape, dtype)).view(_Used)
            drawn.change = change
            return drawn

        return mask

    return wrong


def in_batches(change: Callable[[Array], Array]) -> Callable[[Any], Any]:
    """Masks of four axes, such as those of the heads of a batch, are drawn wrongly."""

    def wrong(right: Any) -> Any:
        def mask(self: Any, shape: Any, dtype: Any) -> Any:
            drawn = right(self, shape, dtype)
            return change(drawn) if drawn.ndim == 4 else drawn

        return mask

    return wrong


def repeated(*index: Any) -> Callable[[Array], Array]:
    """One slice of a mask for all of an axis."""
    return lambda mask: np.broadcast_to(mask[index], mask.shape).copy()


ONE = slice(0, 1)
WITHIN = slice(None)


def _redrawn(right: Any) -> Any:
    def pullback(self: Any, mask: Any, *rest: Any) -> Any:
        return right(self, None if mask is None else self.mask(mask.shape, mask.dtype), *rest)

    return pullback


def _redrawn_weights(right: Any) -> Any:
    def pullback(self: Any, context: Any, *rest: Any) -> Any:
        def again(value: Any) -> Any:
            mask = getattr(value, "mask", None)
            return value if mask is None else value._replace(mask=self.mask(mask.shape, mask.dtype))

        return right(self, tuple(map(again, context)), *rest)

    return pullback


def _drawn_twice(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        if self.training and self.p:
            self.mask(x.shape, x.dtype)
        return right(self, x)

    return compute


def _drawn_in_evaluation(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        if not self.training:
            self.mask(x.shape, x.dtype)
        return right(self, x)

    return compute


def _every_call_the_same(right: Any) -> Any:
    @wraps(right)
    def compute(self: Any, *inputs: Any, **further: Any) -> Any:
        generator = (self.generator or default_generator()).bit_generator
        before = generator.state
        try:
            return right(self, *inputs, **further)
        finally:
            generator.state = before

    return compute


def _every_part_the_same(right: Any) -> Any:
    @wraps(right)
    def forward(self: Any, *inputs: Any, **further: Any) -> Any:
        start = int(default_generator().integers(2**31))
        parts = [inner for inner in self.modules() if hasattr(inner, "mask")]
        for part in parts:
            part.generator = np.random.default_rng(start)
        try:
            return right(self, *inputs, **further)
        finally:
            for part in parts:
                part.generator = None

    return forward


def _periodic(mask: Array) -> Array:
    return np.resize(mask.reshape(-1)[: mask.size // 3], mask.shape)


def _rarer(mask: Array) -> Array:
    return np.where(np.random.default_rng(0).random(mask.shape) < 0.2, mask.max(initial=0), mask).astype(mask.dtype)


def _other_heads(mask: Array, uses: int) -> Array:
    return np.roll(mask, 1, 1 - mask.ndim) if uses > 1 else mask


def wrong(name: str, layer: Any, change: Callable[[Any], Any], attribute: str = "mask") -> Fault:
    return Fault(name, layer.__name__, "own_masks", layer, attribute, change)


def dependent(name: str, layer: Any, change: Callable[[Any], Any], attribute: str = "mask") -> Fault:
    return Fault(name, layer.__name__, "mask_independence", layer, attribute, change)


def per_call(name: str, layer: Any, change: Callable[[Array], Array]) -> Fault:
    return dependent(name, layer, in_batches(change))


DOT, HEADS, ENCODER = layers.ScaledDotProductAttention, layers.MultiheadAttention, layers.TransformerEncoderLayer

FAULTS = [
    wrong("dropout's backward draws a mask of its own", layers.Dropout, _redrawn, "pullback"),
    wrong("attention's backward draws a mask of its own", DOT, _redrawn_weights, "pullback"),
    wrong("the backward of heads draws a mask of its own", HEADS, _redrawn_weights, "pullback"),
    wrong("own masks scaled twice", layers.Dropout, used(lambda mask, _: mask * mask)),
    wrong("own masks used without their scale", layers.Dropout, used(lambda mask, _: (mask != 0).astype(mask.dtype))),
    wrong("own masks scaled twice in attention", DOT, used(lambda mask, _: mask * mask)),
    wrong(
        "own masks used without their scale in the backward alone",
        layers.Dropout,
        used(lambda mask, uses: (mask != 0).astype(mask.dtype) if uses > 1 else mask),
    ),
    wrong("one head's mask used for all", HEADS, used(lambda mask, _: np.broadcast_to(mask[:, :1], mask.shape))),
    wrong("one sample's mask used for all", HEADS, used(lambda mask, _: np.broadcast_to(mask[:1], mask.shape))),
    wrong("the backward uses the mask of another head", HEADS, used(_other_heads)),
    wrong("a mask of one head is broadcast", HEADS, in_batches(lambda mask: mask[:, :1])),
    wrong("a mask of one sample is broadcast", DOT, in_batches(lambda mask: mask[:1])),
    wrong("a second mask is drawn and ignored", layers.Dropout, _drawn_twice, "compute"),
    wrong("a mask is drawn in evaluation", layers.Dropout, _drawn_in_evaluation, "compute"),
    per_call("heads with one mask", HEADS, repeated(WITHIN, ONE)),
    per_call("samples with one mask", HEADS, repeated(ONE)),
    per_call("queries with one mask", DOT, repeated(..., ONE, WITHIN)),
    per_call("keys with one mask", HEADS, repeated(..., ONE)),
    per_call("a head is dropped as a whole", HEADS, repeated(..., ONE, ONE)),
    per_call("a mask in three equal parts", HEADS, _periodic),
    per_call("fewer are dropped in a batch", HEADS, _rarer),
    dependent("every call draws the same mask", layers.Dropout, _every_call_the_same, "compute"),
    dependent("every call of attention draws the same mask", DOT, _every_call_the_same, "compute"),
    dependent("every part of a layer starts at one state", ENCODER, _every_part_the_same, "forward"),
]
