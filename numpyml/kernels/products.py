"""Matrix products of features, which lie on the last axis."""

from __future__ import annotations

from math import prod

import numpy as np

from numpyml.kernels import thresholds
from numpyml.typing import Array


def product(rows: Array, weight: Array) -> Array:
    """rows weightᵀ, a new array: (n, in), (out, in) -> (n, out).

    ``np.dot`` has less call overhead than ``@``, but skips a single factor 0, and with it the NaN of 0 · ∞. A few rows
    times a large weight are computed as (weight rowsᵀ)ᵀ: BLAS would first copy the weight to transpose it.
    """
    if rows.size == 1 or weight.size == 1:
        return np.asarray(rows @ weight.T)
    if 2 < len(rows) <= thresholds.FEW_ROWS and weight.size >= thresholds.LARGE_WEIGHT:
        return np.ascontiguousarray((weight @ rows.T).T)
    y: Array = rows.dot(weight.T)
    return y


def as_rows(x: Array) -> Array:
    """(..., features) -> (rows, features): one large matrix product instead of many small ones."""
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])
