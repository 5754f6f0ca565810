"""Faults of large arrays alone, and of one precision: blocks, long sums, many rows, classes and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.autograd import table
from numpyml.autograd.derivatives import products as product_derivatives
from numpyml.kernels import attention as attention_kernels
from numpyml.kernels import elementwise, erf, softmax, sums, thresholds
from numpyml.nn import activations, losses, parameter
from numpyml.nn.layers import attention, dense, multihead_attention, normalization
from numpyml.nn.losses import cross_entropy
from numpyml.nn.optimizers import flat

OFF = 1 + 1e-9  # an error that float64 alone can show


def off_where(holds: Callable[..., Any], factor: float = OFF) -> Callable[[Any], Any]:
    """The first result of a function times a factor, where a condition holds for its arguments."""

    def wrong(right: Any) -> Any:
        def function(*arguments: Any, **options: Any) -> Any:
            y = right(*arguments, **options)
            if not holds(*arguments):
                return y
            if isinstance(y, tuple):
                return (y[0] * y[0].dtype.type(factor), *y[1:])
            return y * y.dtype.type(factor)

        return function

    return wrong


def _double(x: Any) -> bool:
    return bool(x.dtype == np.float64)


def _blocks(change: Callable[[Any, int], None]) -> Callable[[Any], Any]:
    """What a block has computed, changed in place, by its number."""

    def wrong(right: Any) -> Any:
        def blocks(*arguments: Any) -> Any:
            for number, parts in enumerate(right(*arguments)):
                yield parts
                change(parts, number)

        return blocks

    return wrong


def _second_block(parts: Any, number: int) -> None:
    if number and _double(parts[1]):
        parts[1][...] *= OFF


def _second_derivative(parts: Any, number: int) -> None:
    if number and parts[2] is not None:
        parts[2][...] *= 1.5


def _last_element(parts: Any, number: int) -> None:
    if number:
        parts[1][-1:] = 0


def _without_last_part(right: Any) -> Any:
    def attend_in_parts(q: Any, k: Any, v: Any, s: float, biases: Any, mask: Any, out: Any) -> None:
        right(q, k, v, s, biases, mask, out)
        if q.ndim > 2 and out.size and len(q) * q[0, ..., 0].size * k.shape[-2] > thresholds.CACHED_SCORES:
            out[-1] = 0

    return attend_in_parts


def _without_key(number: int) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        def attend(q: Any, k: Any, v: Any, s: float, biases: Any, mask: Any, out: Any) -> Any:
            hidden = np.zeros(k.shape[-2], q.dtype)
            hidden[number:] = -np.inf
            return right(q, k, v, s, [*biases, hidden] if len(hidden) > number else biases, mask, out)

        return attend

    return wrong


def _whole_parts(right: Any) -> Any:
    def weighted_rows(weights: Any, rows: Any) -> Any:
        n = len(weights)
        whole = n - n % thresholds.SUMMED_ROWS
        return right(weights[:whole], rows[..., :whole, :]) if n > thresholds.SUMMED_ROWS else right(weights, rows)

    return weighted_rows


def _rounded_scores(right: Any) -> Any:
    """A number that is added to the gradient of all probabilities has no effect but roundings."""

    def attention_gradients(context: Any, by_output: Any, by_weights: Any, *others: Any) -> Any:
        if context.P.shape[-1] > 128:
            by_weights = np.full_like(context.P, 100) if by_weights is None else by_weights + context.P.dtype.type(100)
        return right(context, by_output, by_weights, *others)

    return attention_gradients


def _first_update(right: Any) -> Any:
    def advance(self: Any, optimizer: Any) -> None:
        before = np.array(self.p)
        right(self, optimizer)
        if self.p.ndim == 1:
            self.p[thresholds.UPDATED_BLOCK :] = before[thresholds.UPDATED_BLOCK :]

    return advance


def _overlapping(right: Any) -> Any:
    def allocate(shape: Any, dtype: Any) -> Any:
        data, grad = right(shape, dtype)
        if data.nbytes > thresholds.CHUNK_BYTES and grad.size:
            return data, data
        return data, grad

    return allocate


def _overwritten(right: Any) -> Any:
    def accumulate_product(self: Any, a: Any, b: Any, *part: Any) -> None:
        if self.requires_grad and self.grad.size >= thresholds.SCANNED_GRADIENT:
            self.grad[part[0] if part else slice(None)] = 0
        right(self, a, b, *part)
        if self.requires_grad and self.grad.size >= thresholds.SCANNED_GRADIENT and _double(a):
            self.grad[-1:] *= OFF

    return accumulate_product


FAULTS = [
    Fault("second block in float64 1e-9 off", "Tanh", "sizes", elementwise, "blocks", _blocks(_second_block)),
    Fault(
        "derivative of the second block 1.5 times", "SiLU", "sizes", elementwise, "blocks", _blocks(_second_derivative)
    ),
    Fault("last element of later blocks zero", "GELU", "sizes", erf, "blocks", _blocks(_last_element)),
    Fault(
        "last part of the batch never computed",
        "ScaledDotProductAttention",
        "sizes",
        attention,
        "attend_in_parts",
        _without_last_part,
    ),
    Fault("keys from 129 on dropped", "ScaledDotProductAttention", "large", attention, "attend", _without_key(128)),
    Fault("rows after whole parts dropped", "Sequential", "sizes", sums, "weighted_rows", _whole_parts),
    Fault(
        "sums of more than 100 rows in float64 1e-9 off",
        "outer",
        "large",
        product_derivatives,
        "weighted_rows",
        off_where(lambda w, rows: len(w) > 100 and _double(rows)),
    ),
    Fault(
        "few rows and a large weight in float64",
        "Dense",
        "sizes",
        dense,
        "product",
        off_where(
            lambda rows, w: _double(w) and 2 < len(rows) <= thresholds.FEW_ROWS and w.size >= thresholds.LARGE_WEIGHT
        ),
    ),
    Fault(
        "sums between two axes 1e-9 off",
        "multiply",
        "sizes",
        table,
        "unbroadcast",
        off_where(lambda gx, shape: gx.ndim == 3 and gx.shape[1] >= thresholds.SUMMED_IN_ARRAYS and _double(gx)),
    ),
    Fault(
        "long rows of softmax 1e-9 off",
        "Softmax",
        "sizes",
        softmax,
        "sums",
        off_where(lambda x, axis: x.shape[axis] > thresholds.SUMMED_IN_AXIS and _double(x)),
    ),
    Fault(
        "scores of many queries 1e-9 off",
        "ScaledDotProductAttention",
        "sizes",
        attention_kernels,
        "scaled_transpose",
        off_where(lambda k, s=1.0: _double(k) and thresholds.FEW_QUERIES < 4),
    ),
    Fault(
        "classes in the last axis 1e-9 off",
        "CrossEntropyWithLogits",
        "sizes",
        cross_entropy,
        "classes_first",
        off_where(lambda x: x.ndim == 2 and x.shape[1] >= thresholds.CLASSES_LAST and _double(x)),
    ),
    Fault("blocks after the first not updated", "AdamW", "sizes", flat.Run, "advance", _first_update),
    Fault("gradient of a large parameter is its data", "Dense", "sizes", parameter, "allocate", _overlapping),
    Fault(
        "large gradients in float64 1e-9 off", "Dense", "sizes", parameter.Parameter, "accumulate_product", _overwritten
    ),
    Fault(
        "means of many rows in float64 1e-9 off",
        "LayerNorm",
        "large",
        normalization,
        "row_means",
        off_where(lambda a, b=None: len(a) > 16 and _double(a)),
    ),
    Fault(
        "more than 2,048 elements in float64 1e-9 off",
        "ReLU",
        "large",
        activations.ReLU,
        "compute",
        off_where(lambda self, x: x.size > 1 << 11 and _double(x)),
    ),
    Fault(
        "keys from 129 on dropped from every head",
        "MultiheadAttention",
        "large",
        multihead_attention,
        "attend",
        _without_key(128),
    ),
    Fault(
        "gradients of many keys rounded",
        "MultiheadAttention",
        "large",
        multihead_attention,
        "attention_gradients",
        _rounded_scores,
    ),
    Fault(
        "sums of more than 256 rows in float64 1e-9 off",
        "Dense",
        "large",
        dense,
        "over_rows",
        off_where(lambda rows: rows.shape[-2] > 256 and _double(rows)),
    ),
    Fault(
        "more than 64 classes in float64 1e-9 off",
        "CrossEntropyWithLogits",
        "large",
        losses.CrossEntropyWithLogits,
        "compute",
        off_where(lambda self, x, t: x.ndim > 1 and x.shape[1] > 64 and _double(x)),
    ),
    Fault(
        "sums over more than 1,000 elements in float64 1e-9 off",
        "LogSoftmax",
        "large",
        activations.LogSoftmax,
        "compute",
        off_where(lambda self, x: x.shape[self.dim] > 1_000 and _double(x)),
    ),
    Fault(
        "fewer than 32 features 1e-3 off",
        "LayerNorm",
        "output",
        normalization.LayerNorm,
        "compute",
        off_where(lambda self, x: self.weight is not None and x.shape[-1] == 8, 1.001),
    ),
]
