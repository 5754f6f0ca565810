"""Faults in randomness: dropout masks, initial values, seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import numpyml
from conformance.faults.fault import Fault
from numpyml.nn import init, layers


def _in_pairs(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        drawn = right(self, shape, dtype)
        flat = drawn.reshape(-1)
        flat[1::2] = flat[: flat.size - 1 : 2]
        return drawn

    return mask


def _unscaled(right: Any) -> Any:
    return lambda self, shape, dtype: (right(self, shape, dtype) != 0).astype(dtype)


def _coarse(right: Any) -> Any:
    return lambda self, shape, dtype: right(self, shape, np.dtype(np.float32)).astype(dtype)


def _twice(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        last = vars(self).pop("last", None)
        if last is not None and last.shape == shape:
            return last
        self.last = right(self, shape, dtype)
        return self.last

    return mask


def _one_for_all(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        return np.broadcast_to(right(self, shape[1:], dtype), shape).copy()

    return mask


def _in_fours(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        drawn = right(self, shape, dtype)
        blocks = drawn.reshape(-1)[: drawn.size // 4 * 4].reshape(-1, 4)
        blocks[:, 2:] = blocks[:, :2]
        return drawn

    return mask


def _too_wide(right: Any) -> Any:
    def kaiming_uniform_(array: Any, a: float = 0.0, generator: Any = None) -> Any:
        right(array, a, generator)
        array *= array.dtype.type(1.1)
        return array

    return kaiming_uniform_


def _spread(right: Any) -> Any:
    def normal_(array: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
        return right(array, mean, 1.15 * std, generator)

    return normal_


def _equal_rows(right: Any) -> Any:
    def kaiming_uniform_(array: Any, a: float = 0.0, generator: Any = None) -> Any:
        right(array, a, generator)
        array[...] = array[:1]
        return array

    return kaiming_uniform_


def _one_seed(right: Any) -> Any:
    return lambda seed: right(0)


def _unseeded(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        self.generator, own = np.random.default_rng(), self.generator
        try:
            return right(self, shape, dtype)
        finally:
            self.generator = own

    return mask


def wrong_mask(name: str, wrong: Callable[[Any], Any], layer: Any = layers.Dropout) -> Fault:
    """A fault in the masks of a layer that their statistics show."""
    return Fault(name, layer.__name__, "mask_statistics", layer, "mask", wrong)


FAULTS = [
    wrong_mask("neighbouring masks are copies", _in_pairs),
    wrong_mask("masks without their scale", _unscaled),
    wrong_mask("attention's masks without their scale", _unscaled, layers.MultiheadAttention),
    wrong_mask("float64 masks scaled in float32", _coarse),
    wrong_mask("every mask used twice", _twice),
    wrong_mask("one mask for a whole batch", _one_for_all),
    wrong_mask("masks that repeat after two elements", _in_fours),
    Fault("initial weights too large", "Dense", "initial_values", init, "kaiming_uniform_", _too_wide),
    Fault("standard deviation 15% too large", "Embedding", "initial_values", init, "normal_", _spread),
    Fault("equal initial rows", "Dense", "initial_values", init, "kaiming_uniform_", _equal_rows),
    Fault("a seed that is ignored", "Dense", "same_seed", numpyml, "manual_seed", _one_seed),
    Fault("masks that do not depend on the seed", "Dropout", "same_seed", layers.Dropout, "mask", _unseeded),
]
