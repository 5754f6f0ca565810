"""Linear algebra: norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.autograd.derivatives.reductions import restore_axes
from numpyml.autograd.table import derivative


def norm(g: Any, y: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """y = (Σ |x|ᵖ)^(1/p), gx = g sign(x) (|x| / y)ᵖ⁻¹; 0 where a norm has no gradient (at 0); ties of ±inf share."""
    if axis is None and keepdims:
        axis = tuple(range(x.ndim))
    elif axis is not None and not isinstance(axis, tuple):
        axis = int(axis)  # as NumPy does
    g, y = restore_axes(g, axis, keepdims), restore_axes(y, axis, keepdims)
    if ord is None or ord == "fro" or (ord == 2 and not is_of_matrices(x, axis)):
        return np.where(y == 0, 0, x * (g / y))
    sign = np.sign(x)
    if is_of_matrices(x, axis):  # the largest or smallest sum of |x| along rows or columns
        rows, columns = (0, 1) if axis is None else axis
        sums = np.abs(x).sum(axis=rows if abs(ord) == 1 else columns, keepdims=True)
        equal = sums == y
        return np.where(equal, g, 0) / equal.sum(axis=axis and tuple(axis), keepdims=True) * sign
    if ord == 0:
        return np.zeros_like(x)
    if ord == 1:
        return g * sign
    if abs(ord) == np.inf:
        equal = np.abs(x) == y
        return np.where(equal, g * sign, 0) / equal.sum(axis=axis, keepdims=True)
    return np.where((x == 0) | (y == 0), 0, g * sign * (np.abs(x) / y) ** (ord - 1))


def is_of_matrices(x: Any, axis: Any) -> bool:
    """Whether ``np.linalg.norm`` reads these arguments as a norm of matrices."""
    return np.ndim(x) == 2 if axis is None else isinstance(axis, (tuple, list)) and len(axis) == 2


def refuse_norm(x: Any, ord: Any = None, axis: Any = None) -> str:
    """The norms made of singular values have no derivative here."""
    if ord == "nuc" or (ord in (2, -2) and is_of_matrices(x, axis)):
        return f"with ord={ord!r} of a matrix has no derivative here; use 'fro', 1 or inf"
    if np.ndim(ord):
        return f"expected one order, got ord={ord!r}"
    return ""


derivative(np.linalg.norm, "x ord axis keepdims", refuse_norm, x=norm)
