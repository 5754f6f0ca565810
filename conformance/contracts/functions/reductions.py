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


def reduction(name: str) -> Any:
    """PyTorch's reduction of this name, with NumPy's axis and keepdims."""
    return lambda t, a, axis, keepdims: getattr(t, name)(a, dim=dims(a, axis), keepdim=keepdims)


def spread(name: str) -> Any:
    """var or std, with the correction of the degrees of freedom under either of NumPy's names."""
    return lambda t, a, axis, keepdims, **less: getattr(t, name)(
        a, dim=dims(a, axis), keepdim=keepdims, correction=sum(less.values())
    )


SQUARES = NotCompared(
    "wide", "float32", "Tensors give NumPy's own bits, and NumPy's squares overflow before they are added"
)
SMALL_SQUARES = Remark(
    "numbers whose squares underflow are compared only together with others: alone, NumPy's own value is 0."
)
AMAX, AMIN = reduction("amax"), reduction("amin")
MAX, MIN = (formula(f, exact.extreme_partial) for f in (exact.highest, exact.lowest))

# No large arrays for sums and products: the value is NumPy's own, added one by one along most axes. Of the gradients
# only cumsum's is a sum: see tests/autograd/test_sums.py.
ROWS = [
    row(np.sum, reduction("sum"), reduced, formula(exact.sum_of, one), large=()),
    row(
        np.nansum,
        reduction("nansum"),
        reduced,
        formula(
            lambda x, axes: exact.sum_of(np.where(np.isnan(x), 0, x), axes),
            lambda x, y, axes: ~np.isnan(x),
        ),
        large=(),
    ),
    row(
        np.mean,
        reduction("mean"),
        reduced,
        formula(
            lambda x, axes: exact.sum_of(x, axes) / exact.count(x, axes),
            lambda x, y, axes: 1 / exact.count(x, axes),
        ),
        large=(),
    ),
    row(
        np.var,
        spread("var"),
        spreads(),
        formula(exact.variance, exact.variance_partial),
        large=(),
        differences=(SQUARES,),
        findings=(Finding("output", "std_value.py", RUNNING_MEAN),),
    ),
    row(
        np.std,
        spread("std"),
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
                "numbers whose product overflows or underflows in some order are not compared: the order depends on "
                "the loops of NumPy and PyTorch."
            ),
        ),
        findings=(
            Finding("gradient", "prod_gradient.py", "the product of all, which is divided by x, is 0, ∞ or NaN"),
        ),
    ),
    row(np.max, AMAX, some, MAX),
    row(np.min, AMIN, some, MIN),
    row(np.amax, AMAX, some, MAX),
    row(np.amin, AMIN, some, MIN),
    row(
        np.ptp,
        lambda t, a, axis, keepdims: AMAX(t, a, axis, keepdims) - AMIN(t, a, axis, keepdims),
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
                "compared up to 64 numbers. NumPy, whose bits Tensors have, adds one by one in float32, PyTorch in "
                "float64. The gradient in numpyml is also added in float64."
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
                "norms of singular values have no derivative in numpyml",
            ),
            NaNAnswer(
                "gradient",
                "a norm is NaN as soon as one element is; PyTorch has 0 there for orders other than 2",
            ),
            Remark(
                "for an order p whose 1/p is rounded, such as 3, numbers of 1e±30 are not compared: NumPy's power 1/p, "
                "whose bits Tensors have, loses a digit there."
            ),
            Remark("for orders ±inf, the gradients of a vector with NaN are NaN; PyTorch has 0."),
            Remark("for orders above 2, the gradient at a zero in a vector with NaN is 0; PyTorch has NaN."),
        ),
    ),
]
