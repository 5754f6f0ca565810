"""Strategies of matrix and tensor products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.rows import Call
from conformance.strategies.arrays import EXTREME, NASTY, Shape, floats, grows, shapes, side, single
from conformance.strategies.coverage import Draw, among, mark, pick, purposeful


def multiplied(operands: Mapping[str, Input], **options: Any) -> Call:
    """A call with these operands; an array whose only element is 0 is drawn only if all others are finite.

    NumPy's dot skips such a factor, and with it the NaN of 0 times ∞.
    """
    for name, operand in operands.items():
        others = (other.values for key, other in operands.items() if key != name)
        assume(operand.values.size != 1 or single(operand.values).any() or all(np.isfinite(x).all() for x in others))
    return Call(operands, options)


@st.composite
def products(draw: Draw, form: str) -> Call:
    """Two operands of a matrix product: vectors, matrices and batches of them."""
    m, n, k = (draw(side(5, 100)) for _ in range(3))
    batch = (2,) if grows() else draw(shapes(0, 2 if form == "matmul" else 1, 0, 3, name="batch"))
    left = draw(st.sampled_from([(n,), (m, n), (*batch, m, n)]))
    if form == "inner":
        rights: list[Shape] = [(n,), (k, n)]
    else:
        other = tuple(1 if draw(st.booleans()) else b for b in batch)
        rights = [(n,), (n, k), (*other, n, k)]
        mark(["batches broadcast"], ["batches broadcast"] * (other != batch))
    right = draw(st.sampled_from(rights))
    forms = ("a vector", "a matrix", "a batch")
    for name, most, own in (("a", 3, left), ("b", len(rights), right)):
        mark((f"{name}: {form}" for form in forms[:most]), [f"{name}: {forms[min(len(own), 3) - 1]}"])
    operands = {"a": draw(floats(left, NASTY)), "b": draw(floats(right, NASTY))}
    return Call(operands) if form == "matmul" else multiplied(operands)


@st.composite
def tensordots(draw: Draw) -> Call:
    """Two operands and the axes of the sum: a number, or two lists."""
    shared = draw(shapes(1, 2, 1, 4, 64, name="shared"))
    a, b = (*draw(shapes(0, 2, 0, 3, 32, name="left")), *shared), (*shared, *draw(shapes(0, 2, 0, 3, 32, name="right")))
    axes: Any = len(shared)
    ways = ("a number", "lists", "lists in another order", "lists from the back")
    way = pick(draw, "axes: ", purposeful(st.sampled_from(ways), ways, lambda way: [way]))
    if way != "a number":
        axes = ([len(a) - len(shared) + i for i in range(len(shared))], list(range(len(shared))))
    if way == "lists in another order":  # the axes of both operands in any order, those of the sum in another
        moved, shuffled = draw(st.permutations(range(len(a)))), draw(st.permutations(range(len(b))))
        axes = ([moved.index(i) for i in axes[0]], [shuffled.index(i) for i in axes[1]])
        axes = tuple(list(reversed(side)) for side in axes) if draw(st.booleans()) else axes
        a, b = tuple(a[i] for i in moved), tuple(b[i] for i in shuffled)
    elif way == "lists from the back":
        axes = ([i - len(a) for i in axes[0]], [i - len(b) for i in axes[1]])
    crossed = isinstance(axes, tuple) and axes[0] == sorted(axes[0]) and axes[1] != sorted(axes[1])
    mark(["axes: each side in an order of its own"], ["axes: each side in an order of its own"] * crossed)
    return multiplied({"a": draw(floats(a, NASTY)), "b": draw(floats(b, NASTY))}, axes=axes)


EINSUMS = {
    "ij,jk->ik": "ij jk",
    "ij,kj": "ij kj",
    "ki,ij": "ki ij",
    "ji": "ji",
    "kji,li": "kji li",
    "bij,bjk->bik": "bij bjk",
    "i,i->": "i i",
    "i,j->ij": "i j",
    "ij->ji": "ij",
    "ijk->i": "ijk",
    "bhqd,bhkd->bhqk": "bhqd bhkd",
    "ij,ij->i": "ij ij",
    "ij,j,i->": "ij j i",
    "ij,jk,kl->il": "ij jk kl",
}

MODEST = tuple(kind for kind in EXTREME if kind != "wide")


@st.composite
def einsums(draw: Draw) -> Call:
    """Subscripts and operands that fit them."""
    subscripts = pick(draw, "subscripts", among(*sorted(EINSUMS)))
    letters = sorted(set(EINSUMS[subscripts]) - {" "})
    sizes = {letter: draw(side(4, round(65_536 ** (1 / len(letters))))) for letter in letters}
    kinds = NASTY if EINSUMS[subscripts].count(" ") < 2 else MODEST  # see the remark of einsum
    operands = {
        f"x{i}": draw(floats(tuple(sizes[letter] for letter in letters), kinds))
        for i, letters in enumerate(EINSUMS[subscripts].split())
    }
    # NumPy adds up the other factor along an axis with a stride of 0: see the remark of einsum.
    assume(all(x.layout != "broadcast" or np.isfinite(x.values).all() for x in operands.values()))
    return multiplied(operands, subscripts=subscripts, optimize=pick(draw, "optimize", among(False, True)))
