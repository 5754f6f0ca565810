"""Reductions of NumPy, one row each."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.frameworks.pytorch import dims, scan, with_axis
from conformance.records import RUNNING_MEAN, Finding, NaNAnswer, NotCompared, Refused, Remark
from conformance.references import reductions as exact
from conformance.references.kinds import linear, one
from conformance.references.kinds import reduction as formula
from conformance.rows import FunctionRow
from conformance.strategies.arrays import NASTY, shapes
from conformance.strategies.axes import axes_of, axis_or_flat
from conformance.strategies.calls import factors, norms, on, spreads
from conformance.strategies.coverage import among

row = FunctionRow
flags = among(False, True)
reduced = on(kinds=NASTY, axis=axes_of, keepdims=flags)
some = on(shapes(0, 4, 1), NASTY, axis=axes_of, keepdims=flags)


def reduction(torch: Any, **options: Any) -> Any:
    return lambda t, a, axis, keepdims: torch(t, a, dim=dims(a, axis), keepdim=keepdims, **options)


def only(options: dict[str, Any]) -> Any:
    """The one value."""
    (value,) = options.values()
    return value


SQUARES = NotCompared(
    "wide", "float32", "Tensors give NumPy's own bits, and NumPy's squares overflow before they are added"
)
SMALL_SQUARES = Remark(
    "numbers whose squares underflow are compared beside ordinary ones: alone, NumPy's own value is 0."
)
MAX, MIN = (formula(f, exact.extreme_partial) for f in (exact.highest, exact.lowest))

# No large arrays for what adds or multiplies: the value is NumPy's own, one by one along most axes, and backwards
# cumsum alone adds up, see tests/autograd/test_sums.py.
ROWS = [
    row(np.sum, reduction(lambda t, a, **o: t.sum(a, **o)), reduced, formula(exact.sum_of, one), large=()),
    row(
        np.nansum,
        reduction(lambda t, a, **o: t.nansum(a, **o)),
        reduced,
        formula(
            lambda x, axes: exact.sum_of(np.where(np.isnan(x), 0, x), axes),
            lambda x, y, axes: ~np.isnan(x),
        ),
        large=(),
    ),
    row(
        np.mean,
        reduction(lambda t, a, **o: t.mean(a, **o)),
        reduced,
        formula(
            lambda x, axes: exact.sum_of(x, axes) / exact.count(x, axes),
            lambda x, y, axes: 1 / exact.count(x, axes),
        ),
        large=(),
    ),
    row(
        np.var,
        lambda t, a, axis, keepdims, **less: t.var(a, dim=dims(a, axis), keepdim=keepdims, correction=only(less)),
        spreads(),
        formula(exact.variance, exact.variance_partial),
        large=(),
        differences=(SQUARES,),
    ),
    row(
        np.std,
        lambda t, a, axis, keepdims, **less: t.std(a, dim=dims(a, axis), keepdim=keepdims, correction=only(less)),
        spreads(),
        formula(exact.deviation, exact.deviation_partial),
        large=(),
        differences=(SQUARES, SMALL_SQUARES),
        findings=(
            Finding("output", "std_value.py", RUNNING_MEAN),
            Finding("gradient", "std_gradient.py", "the mean is rounded before it is subtracted from x"),
        ),
    ),
    row(
        np.prod,
        lambda t, a, axis, keepdims: scan(t.prod, a, axis, keepdims),
        factors(axis=axis_or_flat, keepdims=flags),
        formula(exact.product, exact.product_partial),
        large=(),
        differences=(
            Remark(
                "numbers whose product leaves the range in one order and not in another are not compared: which it is "
                "depends on how NumPy and PyTorch order their loops."
            ),
        ),
        findings=(Finding("gradient", "prod_gradient.py", "the whole product, which is divided by x, is 0, ∞ or NaN"),),
    ),
    row(np.max, reduction(lambda t, a, **o: t.amax(a, **o)), some, MAX),
    row(np.min, reduction(lambda t, a, **o: t.amin(a, **o)), some, MIN),
    row(np.amax, reduction(lambda t, a, **o: t.amax(a, **o)), some, MAX),
    row(np.amin, reduction(lambda t, a, **o: t.amin(a, **o)), some, MIN),
    row(
        np.ptp,
        reduction(lambda t, a, **o: t.amax(a, **o) - t.amin(a, **o)),
        some,
        formula(
            lambda x, axes: exact.highest(x, axes) - exact.lowest(x, axes),
            lambda x, y, axes: (
                exact.shared(x == exact.highest(x, axes), axes) - exact.shared(x == exact.lowest(x, axes), axes)
            ),
        ),
    ),
    row(
        np.cumsum,
        lambda t, a, axis: t.cumsum(*with_axis(a, axis)),
        on(shapes(1, 4, elements=64), axis=axis_or_flat),
        linear(np.cumsum),
        large=(),
        differences=(
            Remark(
                "of 64 numbers at most. NumPy, whose bits Tensors have, adds them up one by one in float32, PyTorch in "
                "float64. The gradient here is added up in float64, too."
            ),
        ),
    ),
    row(
        np.linalg.norm,
        lambda t, x, ord, axis, keepdims: t.linalg.norm(x, ord=ord, dim=axis, keepdim=keepdims),
        norms(),
        formula(exact.norm, exact.norm_partial),
        large=(),
        differences=(
            SQUARES,
            SMALL_SQUARES,
            Refused(
                ("option ord", "option axis", "operand with an axis"),
                "norms made of singular values have no derivative here",
            ),
            NaNAnswer(
                "gradient",
                "a norm is NaN as soon as one element is; PyTorch has 0 there for orders other than 2",
            ),
            Remark(
                "of an order p whose 1/p is rounded, such as 3, numbers of 1e±30 are not compared: NumPy's sum to "
                "the 1/p, of which Tensors have the bits, loses a digit there."
            ),
            Remark("of orders ±inf, the gradient beside NaN is NaN here, 0 in PyTorch."),
            Remark("of orders above 2, the gradient at a zero beside NaN is 0 here, NaN in PyTorch."),
        ),
    ),
]
