"""Checks of what a loss is given: outputs, targets and weights that fit each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DataError, DTypeError, ShapeError, kind_of
from numpyml.nn.module import Module
from numpyml.typing import Array


def as_outputs(outputs: Array, layer: Module) -> Array:
    """The outputs as they are; an error unless they are floating."""
    if outputs.dtype.kind != "f":
        raise DTypeError(
            f"expected floating outputs, got {kind_of(outputs)}; were outputs and targets swapped? "
            "The outputs come first",
            layer,
        )
    return outputs


def paired(outputs: Array, targets: Array, layer: Module) -> tuple[Array, Array]:
    """Outputs and targets of one shape, the targets in the outputs' dtype."""
    x = as_outputs(outputs, layer)
    if targets.dtype.kind not in "biuf":
        raise DTypeError(f"expected real targets, got {kind_of(targets)}; convert them to numbers first", layer)
    if targets.shape != x.shape:
        raise ShapeError(
            f"expected targets of the outputs' shape {x.shape}, got {targets.shape}; nothing is broadcast here: "
            "reshape the targets",
            layer,
        )
    return x, targets if targets.dtype == x.dtype else targets.astype(x.dtype)


def probabilities(t: Array, layer: Module) -> None:
    """Raise unless every target lies in [0, 1]."""
    if t.size:
        low, high = np.minimum.reduce(t, axis=None), np.maximum.reduce(t, axis=None)
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"expected targets from 0 to 1, got values from {low} to {high}; "
                "were outputs and targets swapped? The outputs come first",
                layer,
            )


def broadcastable(name: str, value: ArrayLike | None, x: Array, layer: Module) -> Array | None:
    """Weights in the dtype of x; an error unless they broadcast to the shape of x."""
    if value is None:
        return None
    array = np.asarray(value, x.dtype)
    if array.ndim > x.ndim or any(n not in (1, m) for n, m in zip(array.shape[::-1], x.shape[::-1], strict=False)):
        raise ShapeError(
            f"expected {name} to broadcast to the outputs' shape {x.shape}, got {array.shape}; "
            "give one weight, or one for each entry of the last axes",
            layer,
        )
    return array
