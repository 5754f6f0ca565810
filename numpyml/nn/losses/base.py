"""The base classes of losses, and the checks and reductions that losses share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DataError, DTypeError, ShapeError, kind_of
from numpyml.kernels.sums import accumulator, broadcasts_to
from numpyml.nn.module import Module
from numpyml.typing import Array

REDUCTIONS = ("none", "mean", "sum")


class Loss(Module):
    """Base class of losses: a reduction, and a ``backward`` that starts from 1.

    A loss of other inputs than outputs and targets names them, in the order of ``compute``, and those that
    ``backward`` returns the gradients of:

        inputs = ("anchor", "positive", "negative")
        differentiable = inputs
    """

    inputs: tuple[str, ...] = ("outputs", "targets")
    differentiable: tuple[str, ...] = ("outputs",)
    reduction: str

    def backward(self, *gradients: ArrayLike, input_gradient: bool = True) -> Any:
        """Gradient of the loss with respect to the outputs of the last ``forward`` on arrays.

        Args:
            gradients: where reduction is 'none', the weight of each element's loss, in the loss's shape.
            input_gradient: False skips the gradient, and returns None.

        Returns:
            The gradient of the differentiable input; a tuple, in their order, where there are several.

        Raises:
            CallOrderError: before a ``forward`` on arrays, or twice after one.
            ShapeError: when reduction is 'none' and no gradient, or one of another shape, is given.
        """
        if not gradients and self._record is not None:
            (shape, dtype), *_ = self._record[0]
            if shape:
                raise ShapeError(
                    f"backward expected a gradient of shape {shape}, one weight for each element's loss, since "
                    f"reduction is {self.reduction!r}; pass one, or choose the reduction 'mean' or 'sum'",
                    self,
                )
            gradients = (dtype.type(1),)
        gxs = super().backward(*gradients, input_gradient=input_gradient)
        if not isinstance(gxs, tuple):
            return gxs
        returned = [gxs[self.inputs.index(name)] for name in self.differentiable]
        return tuple(returned) if len(returned) > 1 else returned[0]


class ElementwiseLoss(Loss):
    """Base class of losses of pairs of an output and a target; 'mean' divides by the number of elements."""

    def reduce(self, losses: Array, dtype: np.dtype[Any]) -> Any:
        """The loss from the elementwise losses, in the outputs' dtype."""
        losses = losses.astype(dtype, copy=False)  # NumPy 1 promotes 0-d arrays beside a Python number
        if self.reduction == "none":
            return losses
        total = np.add.reduce(losses, axis=None, dtype=accumulator(dtype))
        return dtype.type(total) if self.reduction == "sum" else divided(total, losses.size, dtype)

    def spread(self, gy: Any, size: int) -> Any:
        """The gradient of every elementwise loss from that of the loss: a scalar where they are equal."""
        return divided(gy, size, gy.dtype) if self.reduction == "mean" else gy


def weighted(x: Array, w: Any) -> Array:
    """x ⊙ w, and 0 where x is infinite and w is 0: the limit, not NaN."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        y = np.asarray(x * w)
        if not np.isfinite(np.add.reduce(y, axis=None)):
            y[(w == 0) & np.isinf(x)] = 0
    return y


def divided(total: Any, n: Any, dtype: np.dtype[Any]) -> Any:
    """total / n in the dtype, without a warning where n is 0, as in PyTorch: the mean of nothing is NaN."""
    wide = accumulator(dtype).type
    if n:
        return dtype.type(wide(total) / wide(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        return dtype.type(np.divide(total, n))


def as_outputs(outputs: Array, layer: Module) -> Array:
    """The outputs, checked to be floating."""
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


def require_probabilities(t: Array, layer: Module) -> None:
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
    if not broadcasts_to(array.shape, x.shape):
        raise ShapeError(
            f"expected {name} to broadcast to the outputs' shape {x.shape}, got {array.shape}; "
            "give one weight, or one for each entry of the last axes",
            layer,
        )
    return array
