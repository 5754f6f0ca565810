"""Tables of sines and cosines for position encodings."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np

from numpyml.typing import Array


@lru_cache(maxsize=32)
def sinusoidal_table(length: int, features: int, dtype: np.dtype[Any]) -> Array:
    """sin(p ωᵢ) in column 2i, cos(p ωᵢ) in 2i + 1, ωᵢ = 10000^(−2i / features): (length, features), read-only."""
    c, s = cosines_and_sines(length, features, 10000.0, dtype)
    table: Array = np.stack([s, c], axis=-1).reshape(length, -1)[:, :features]
    table.flags.writeable = False
    return table


@lru_cache(maxsize=32)
def rotary_tables(length: int, dim: int, base: float, interleaved: bool, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Factors of each feature, cos, and of the other one of its pair, −sin or sin: (length, dim) each, read-only."""
    c, s = cosines_and_sines(length, dim, base, dtype)
    tables = np.empty((2, length, dim), dtype)
    for table, values in zip(tables, ((c, c), (-s, s)), strict=True):
        for half, value in zip(pairs(table, interleaved), values, strict=True):
            half[...] = value
    tables.flags.writeable = False
    return tables[0], tables[1]


@lru_cache(maxsize=32)
def cosines_and_sines(length: int, features: int, base: float, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """cos(p ωᵢ) and sin(p ωᵢ) for all p < length: two tables (length, ⌈features / 2⌉), shared and read-only.

        ωᵢ = base^(−2i / features)

    In float64 p ωᵢ is off by up to p/2 units in the last place of ωᵢ. So ωᵢ is computed in decimals and split in two:
    the product of p < 2²⁹ and the first part, of 24 bits, is exact, and what the sum of both products loses by rounding
    is made up for by a rotation: cos(a + δ) = cos a − δ sin a, sin(a + δ) = sin a + δ cos a.
    """
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(base) ** (Decimal(-2 * i) / features) for i in range((features + 1) // 2)]
        high = np.array([float(np.float32(float(w))) for w in exact])
        low = np.array([float(w - Decimal(h)) for w, h in zip(exact, high.tolist(), strict=True)])
    p = np.arange(length, dtype=np.float64)[:, np.newaxis]
    angle = p * high + p * low
    lost = (p * high - angle) + p * low
    c, s = np.cos(angle), np.sin(angle)
    tables = (c - lost * s).astype(dtype), (s + lost * c).astype(dtype)
    for table in tables:
        table.flags.writeable = False
    return tables


def swapped_pairs(x: Array, s: Array, interleaved: bool) -> Array:
    """Each pair (a, b) becomes (b, a), times s in one pass: passes over parts of rows are slower."""
    y = np.empty(x.shape, x.dtype)
    (a, b), (y_a, y_b) = pairs(x, interleaved), pairs(y, interleaved)
    y_a[...], y_b[...] = b, a
    y *= s
    return y


def pairs(x: Array, interleaved: bool) -> tuple[Array, Array]:
    """Views of the first and of the second feature of all pairs."""
    half = x.shape[-1] // 2
    return (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
