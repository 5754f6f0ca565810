"""Products of vectors, matrices and tensors, one row each."""

from __future__ import annotations

import numpy as np

from conformance.records import Finding, Refused, Remark
from conformance.references.kinds import multilinear
from conformance.references.products import contraction, matrices, subscripts_of, tensordot_axes
from conformance.rows import FunctionRow, Large
from conformance.strategies.arrays import NASTY
from conformance.strategies.calls import several
from conformance.strategies.products import einsums, products, tensordots

row = FunctionRow
LONE_ZERO = Remark(
    "an array whose only element is 0 is not compared with ∞ or NaN in another: NumPy's dot skips such a factor, and "
    "has 0 where 0 times ∞ is NaN. matmul and Dense have NaN."
)

ROWS = [
    row(np.matmul, lambda t, a, b: t.matmul(a, b), products("matmul"), multilinear(np.matmul, matrices)),
    row(
        np.dot,
        lambda t, a, b: t.tensordot(a, b, ([-1], [max(b.ndim - 2, 0)])) if a.ndim and b.ndim else a * b,
        products("dot"),
        multilinear(np.dot, lambda a, b: contraction([-1], [-2 if b.ndim > 1 else -1])(a, b)),
        differences=(LONE_ZERO,),
    ),
    row(
        np.inner,
        lambda t, a, b: t.inner(a, b),
        products("inner"),
        multilinear(np.inner, contraction([-1], [-1])),
        differences=(LONE_ZERO,),
    ),
    row(
        np.vdot,
        lambda t, a, b: t.dot(a.reshape(-1), b.reshape(-1)),
        several("a b", NASTY),
        multilinear(np.vdot, lambda a, b: "i,i->", flatten=True),
    ),
    row(
        np.outer,
        lambda t, a, b: t.outer(a.reshape(-1), b.reshape(-1)),
        several("a b", NASTY),
        multilinear(np.outer, lambda a, b: "i,j->ij", flatten=True),
        large=(Large(0.5),),  # half the usual size: the result has its square
    ),
    row(
        np.tensordot,
        lambda t, a, b, axes: t.tensordot(a, b, axes),
        tensordots(),
        multilinear(np.tensordot, tensordot_axes),
        differences=(LONE_ZERO,),
    ),
    row(
        np.einsum,
        lambda t, *xs, subscripts, optimize: t.einsum(subscripts, *xs),
        einsums(),
        multilinear(lambda *xs, subscripts, optimize: np.einsum(subscripts, *xs), subscripts_of),
        lambda n, *xs, subscripts, **optimize: n.einsum(subscripts, *xs, **optimize),
        differences=(
            LONE_ZERO,
            Remark(
                "infinite numbers that are repeated by a stride of 0 are not compared: NumPy's einsum adds up the "
                "other factor first, and has ∞ where ∞ − ∞ is NaN."
            ),
            Refused(
                ("option subscripts",),
                "subscripts are a string; NumPy also accepts some other values",
            ),
            Remark(
                "of three operands, numbers of 1e±30 and infinite ones are not compared: each framework multiplies "
                "them in its own order, and a product of two may overflow or underflow in only one of them."
            ),
        ),
        findings=(
            Finding(
                "nothing drawn",
                "einsum_value.py",
                "the product of two of three factors overflows, as in NumPy",
                "float32",
            ),
        ),
    ),
]
