"""Matrix products, tensor contractions and ``einsum``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from numpyml.autograd.table import Shape, binary, composite, derivative
from numpyml.kernels.sums import weighted_rows


def matmul_left(g: Any, b: Any, shape: Shape) -> Any:
    """ga = g bᵀ; a vector stands for a matrix of one row or one column."""
    if len(shape) == 1:
        g = np.expand_dims(g, -1 if b.ndim == 1 else -2)
    elif b.ndim == 1:
        g = np.expand_dims(g, -1)
    if b.ndim == 1:
        return g * b
    ga = g @ np.swapaxes(b, -1, -2)
    return ga[..., 0, :] if len(shape) == 1 else ga


def matmul_right(g: Any, a: Any, shape: Shape) -> Any:
    """gb = aᵀ g"""
    if a.ndim == 1:
        if len(shape) == 1:
            return g * a
        return a[:, None] * np.expand_dims(g, -2)
    if len(shape) == 1:
        return weighted_rows(g.reshape(-1), a.reshape(g.size, a.shape[-1]))
    if len(shape) == 2:  # one matrix for the whole batch: one product instead of a batch of them and a sum
        rows = math.prod(a.shape[:-1])
        return a.reshape(rows, a.shape[-1]).T @ g.reshape(rows, g.shape[-1])
    return np.swapaxes(a, -1, -2) @ g


binary(np.matmul, matmul_left, matmul_right)


def split_axes(axes: Any, left: int, right: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """``np.tensordot``'s axes as four lists: those summed over and those that stay, of each operand."""
    pair = axes if isinstance(axes, (list, tuple, np.ndarray)) else (range(left - axes, left), range(axes))
    summed = [
        [int(i) % n for i in np.atleast_1d(np.asarray(side, int))] for side, n in zip(pair, (left, right), strict=True)
    ]
    free = [[i for i in range(n) if i not in side] for side, n in zip(summed, (left, right), strict=True)]
    return summed[0], summed[1], free[0], free[1]


def tensordot_left(g: Any, b: Any, shape: Shape, axes: Any = 2) -> Any:
    """The gradient contracted with b over b's free axes, its axes put back into a's order."""
    a_summed, b_summed, a_free, b_free = split_axes(axes, len(shape), b.ndim)
    ga = np.tensordot(g, b, (list(range(len(a_free), np.ndim(g))), b_free))
    return ga.transpose(np.argsort(a_free + [a_summed[i] for i in np.argsort(b_summed)]))


def tensordot_right(g: Any, a: Any, shape: Shape, axes: Any = 2) -> Any:
    """The gradient contracted with a over a's free axes, its axes put back into b's order."""
    a_summed, b_summed, a_free, b_free = split_axes(axes, a.ndim, len(shape))
    gb = np.tensordot(a, g, (a_free, list(range(len(a_free)))))
    return gb.transpose(np.argsort([b_summed[i] for i in np.argsort(a_summed)] + b_free))


derivative(np.tensordot, "a b axes", a=tensordot_left, b=tensordot_right)


def contract(a: Any, b: Any, axis: int) -> Any:
    """``np.dot`` and ``np.inner``: a's last axis with this axis of b (its only one, where it is a vector)."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return np.tensordot(a, b, (-1, axis if np.ndim(b) > 1 else -1))


composite(np.dot, "a b !out", lambda a, b: contract(a, b, -2))
composite(np.inner, "a b", lambda a, b: contract(a, b, -1))
composite(np.vdot, "a b", lambda a, b: np.tensordot(np.ravel(a), np.ravel(b), 1))
derivative(
    np.outer,
    "a b !out",
    a=lambda g, b, shape: weighted_rows(np.ravel(b), g.T).reshape(shape),
    b=lambda g, a, shape: weighted_rows(np.ravel(a), g).reshape(shape),
)


def refuse_einsum(subscripts: Any, operands: Any = ()) -> str:
    """Index lists instead of a string, and a diagonal that NumPy would broadcast."""
    if not isinstance(subscripts, str):
        return 'expected its subscripts as a string, such as np.einsum("ij,jk->ik", a, b)'
    terms = subscripts.replace(" ", "").split("->")[0].replace("...", "").split(",")
    for term, x in zip(terms, operands, strict=False):
        if "..." not in subscripts and len(term) == np.ndim(x):
            lengths: dict[str, int] = {}
            if any(lengths.setdefault(label, n) != n for label, n in zip(term, np.shape(x), strict=True)):
                return f"cannot take the diagonal {term!r} of shape {np.shape(x)}, whose axes differ; slice it first"
    return ""


def explicit_labels(subscripts: str, shapes: Sequence[Shape]) -> tuple[list[str], str]:
    """One label per axis of each operand and of the output: no ellipsis, no implicit output."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    unused = "".join(c for c in map(chr, chain(range(65, 91), range(97, 123))) if c not in subscripts)[: max(hidden)]
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        output = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    full = [term.replace("...", unused[len(unused) - n :]) for term, n in zip(terms, hidden, strict=True)]
    return full, output.replace("...", unused)


def einsum(g: Any, subscripts: str, operands: Sequence[Any], shape: Sequence[Shape], positions: Sequence[int]) -> Any:
    """For each operand: the gradient in its position, contracted with the other operands into its labels."""
    terms, output = explicit_labels(subscripts, shape)
    gradients = {}
    for i in positions:
        others = [j for j in range(len(terms)) if j != i]
        known = set(output).union(*(terms[j] for j in others))
        unique = "".join(dict.fromkeys(terms[i]))
        reached = "".join(label for label in unique if label in known)
        formula = ",".join([output, *(terms[j] for j in others)]) + "->" + reached
        gx = np.einsum(formula, g, *(operands[j] for j in others), optimize=bool(others))
        lengths = [shape[i][terms[i].index(label)] for label in unique]
        for axis, (label, n) in enumerate(zip(unique, lengths, strict=True)):
            if label not in known:
                gx = np.expand_dims(gx, axis)  # summed over in the forward call: every element has the same gradient
            elif n == 1:
                gx = gx.sum(axis=axis, keepdims=True)
        gx = np.broadcast_to(gx, lengths)
        if unique != terms[i]:  # a diagonal was taken: einsum gives a writable view of it
            diagonal, gx = gx, np.zeros(shape[i], gx.dtype)
            np.einsum(f"{terms[i]}->{unique}", gx)[...] = diagonal
        gradients[i] = gx
    return gradients


derivative(
    np.einsum,
    "subscripts *operands optimize !out !dtype !order=K !casting=safe",
    refuse_einsum,
    operands=einsum,
)
