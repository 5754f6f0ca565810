"""Position encodings: attention sees a set of vectors; what tells it their order is put into the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from math import log2
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyml.errors import DataError, DTypeError, ShapeError, kind_of
from numpyml.nn import init
from numpyml.nn.module import Module, as_floats, as_given
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, integer, positive, require
from numpyml.typing import Array

__all__ = ["LearnedPositionalEncoding", "RotaryPositionalEmbedding", "SinusoidalPositionalEncoding"]


class SinusoidalPositionalEncoding(Module):
    """To each vector, waves of its place: of two neighbouring features a sine and a cosine, ever slower ones.

        y = x + P[p],   P[p, 2i] = sin(p ωᵢ),   P[p, 2i + 1] = cos(p ωᵢ),   ωᵢ = 10000^(−2i / d_model)
        gx = gy

    Args:
        d_model: features.
        max_len: how many places there are.
        batch_first: whether the batch is the first axis, not the second.

    ``forward(x, positions=None)``: the places are 0, 1, 2, ... unless they are given, as for the newest tokens beside
    a cache of ``past`` earlier ones: ``positions=np.arange(past, past + L)``.

    Shapes: x and y (L, N, d_model), N first if batch_first, or without N; positions whole numbers (L,) or (N, L).
    Raises: ShapeError when x or positions has another shape, or is longer than max_len; DataError for a place beyond;
        DTypeError when x is not floating or positions are no whole numbers; OptionError for sizes below 1.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    as_input = staticmethod(as_given)

    def __init__(self, d_model: int, max_len: int = 5000, batch_first: bool = False) -> None:
        self.d_model = integer(self, "d_model", d_model, 1)
        self.max_len = integer(self, "max_len", max_len, 1)
        self.batch_first = flag(self, "batch_first", batch_first)

    def compute(self, x: Array, positions: Array | None = None) -> tuple[Array, None]:
        x = as_floats(x, None, self)
        p = vector_places(self, x, positions)
        return x + batch_like(self, x, sinusoids(self.max_len, self.d_model, x.dtype)[p]), None

    def pullback(self, context: None, gy: Array, wanted: Sequence[bool]) -> Any:
        return gy if len(wanted) == 1 else (gy, None)


class LearnedPositionalEncoding(Module):
    """To each vector, a trainable one of its place.

        y = x + weight[p]
        gx = gy,   gweight[i] = Σ gy where p = i

    Args:
        d_model: features.
        max_len: how many places there are.
        batch_first: whether the batch is the first axis, not the second.
        dtype: of the weight; float32 by default.
        generator: where the initial values come from, N(0, 0.02²); by default the one of ``manual_seed``.

    ``forward(x, positions=None)``: as :class:`SinusoidalPositionalEncoding`'s.

    Shapes: x and y (L, N, d_model), N first if batch_first, or without N; positions whole numbers (L,) or (N, L);
        weight (max_len, d_model), as that of an Embedding of places.
    Raises: as :class:`SinusoidalPositionalEncoding`.
    Source: Gehring et al. 2017, arXiv:1705.03122; initial values as GPT-2's and BERT's.
    """

    as_input = staticmethod(as_given)

    def __init__(
        self,
        d_model: int,
        max_len: int,
        batch_first: bool = False,
        *,
        dtype: DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.d_model = integer(self, "d_model", d_model, 1)
        self.max_len = integer(self, "max_len", max_len, 1)
        self.batch_first = flag(self, "batch_first", batch_first)
        self.dtype, self.generator = dtype, generator
        self.weight = Parameter(np.zeros((max_len, d_model)), dtype=dtype)
        init.normal_(self.weight.data, std=0.02, generator=generator)

    def compute(self, x: Array, positions: Array | None = None) -> tuple[Array, Places]:
        x = as_floats(x, self.weight.dtype, self)
        p = vector_places(self, x, positions)
        return x + batch_like(self, x, self.weight.data[p]), p

    def pullback(self, p: Places, gy: Array, wanted: Sequence[bool]) -> Any:
        if self.weight.requires_grad:
            g = batch_like(self, gy, gy)
            if g.ndim == 3 and (isinstance(p, slice) or p.ndim == 1):
                g = np.einsum("nle->le", g)
            if not isinstance(p, slice):
                sums = np.zeros((p.max(initial=-1) + 1, self.d_model), gy.dtype)
                np.add.at(sums, p, g)
                p, g = slice(len(sums)), sums
            self.weight.grad[p] += g
        return gy if len(wanted) == 1 else (gy, None)


class RotaryPositionalEmbedding(Module):
    """Each pair of features is turned by an angle that grows with its place, so that the product of a query and a key
    depends on how far apart they are, and not on where.

        (y_a, y_b) = R(p ωᵢ) (x_a, x_b),   R(θ) = (cos θ, −sin θ; sin θ, cos θ),   ωᵢ = base^(−2i / dim)
        (gx_a, gx_b) = R(−p ωᵢ) (gy_a, gy_b)
        (R(p ω) q) · (R(r ω) k) = q · R((r − p) ω) k

    Args:
        dim: features of one head, an even number.
        max_len: how many places there are.
        base: of the frequencies; the larger it is, the slower turn the later pairs. 1 or more; below it they turn ever
            faster, and no angle may be above 2²⁴.
        interleaved: pair i is (2i, 2i + 1), as in the paper, GPT-J and Llama's own code; else (i, i + dim/2), as in
            GPT-NeoX and the Transformers library. One is the other with the features in another order, which weights
            trained with it have got used to.

    ``forward(x, positions=None)``: the places are 0, 1, 2, ... along the last axis but one, unless they are given, as
    for the newest tokens beside a cache of ``past`` earlier ones: ``positions=np.arange(past, past + L)``. Queries and
    keys are turned once they are cut into heads, before :class:`ScaledDotProductAttention`.

    Shapes: x and y (..., L, dim); positions whole numbers that broadcast to (..., L).
    Raises: ShapeError when x or positions has another shape, or is longer than max_len; DataError for a place beyond;
        DTypeError when x is not floating or positions are no whole numbers; OptionError when an option is out of range.
    Source: Su et al. 2021, arXiv:2104.09864.
    """

    as_input = staticmethod(as_given)

    def __init__(self, dim: int, max_len: int = 5000, base: float = 10000.0, interleaved: bool = True) -> None:
        self.dim = integer(self, "dim", dim, 2)
        require(dim % 2 == 0, self, "dim", dim, "even")
        self.max_len = integer(self, "max_len", max_len, 1)
        self.base = positive(self, "base", base)
        # so that angles keep their digits in the two parts of waves(); log, since the power itself may overflow
        fastest = -(dim - 2) / dim * log2(base)
        expected = (
            f"1 or more, or such that max_len * base ** (-{dim - 2}/{dim}), the largest angle, is at most 2 ** 24"
        )
        require(fastest <= 0 or fastest + log2(max_len) <= 24, self, "base", base, expected)
        self.interleaved = flag(self, "interleaved", interleaved)

    def compute(self, x: Array, positions: Array | None = None) -> tuple[Array, tuple[Array, Array]]:
        x = as_floats(x, None, self)
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ShapeError(f"expected x (..., L, {self.dim}), got {x.shape}; cut it into heads first", self)
        p = places(self, x.shape[-2], positions, x.shape[:-1])
        c, s = (table[p] for table in turns(self.max_len, self.dim, float(self.base), self.interleaved, x.dtype))
        y = self._crossed(x, s)
        y += x * c
        return y, (c, s)

    def pullback(self, context: tuple[Array, Array], gy: Array, wanted: Sequence[bool]) -> Any:
        c, s = context
        gx = gy * c
        gx -= self._crossed(gy, s)
        return gx if len(wanted) == 1 else (gx, None)

    def _crossed(self, x: Array, s: Array) -> Array:
        """Each pair (a, b) becomes (b, a) s; passes over whole arrays, since those over parts of rows are slow."""
        y = np.empty(x.shape, x.dtype)
        (a, b), (y_a, y_b) = pairs(x, self.interleaved), pairs(y, self.interleaved)
        y_a[...], y_b[...] = b, a
        y *= s
        return y


Places = slice | Array


def vector_places(layer: Any, x: Array, positions: Array | None) -> Places:
    """The places of x's vectors, a slice from 0 on or (L,) or (N, L), whichever axis the batch is."""
    if x.ndim not in (2, 3) or x.shape[-1] != layer.d_model:
        order = "(N, L, ·)" if layer.batch_first else "(L, N, ·)"
        raise ShapeError(f"expected x {order} or (L, ·) with {layer.d_model} features, got {x.shape}", layer)
    of_all = x.shape[1::-1] if x.ndim == 3 and not layer.batch_first else x.shape[:-1]
    p = places(layer, of_all[-1], positions, of_all)
    if not isinstance(p, slice) and p.ndim == 2 and p.shape != of_all:
        raise ShapeError(f"expected positions {of_all[-1:]} or {of_all}, got {p.shape}", layer)
    return p


def batch_like(layer: Any, x: Array, rows: Array) -> Array:
    """Vectors (L, ·) or (N, L, ·) in the order of x, or the other way round; without N they are those of all."""
    if x.ndim == 2 or layer.batch_first:
        return rows
    return rows.swapaxes(0, 1) if rows.ndim == 3 else rows[:, np.newaxis]


def places(layer: Any, length: int, positions: Array | None, shape: tuple[int, ...]) -> Places:
    """The positions, checked: they broadcast to the shape, whose last axis is the length, and are below max_len."""
    if length > layer.max_len:
        raise ShapeError(
            f"expected at most {layer.max_len} places, got a sequence of {length}; cut it, or build the layer with "
            f"max_len={length}",
            layer,
        )
    if positions is None:
        return slice(length)
    if not isinstance(positions, np.ndarray) or positions.dtype.kind not in "iu":
        raise DTypeError(f"expected positions to be whole numbers, got {kind_of(positions)}", layer)
    if not positions.ndim or positions.shape[-1] != length or not _broadcasts(positions.shape, shape):
        raise ShapeError(f"expected positions {(length,)}, or one for each of {shape}, got {positions.shape}", layer)
    if positions.size and (positions.min() < 0 or positions.max() >= layer.max_len):
        worst = positions.min() if positions.min() < 0 else positions.max()
        raise DataError(
            f"expected positions from 0 to {layer.max_len - 1}, got {worst}; build the layer with a larger max_len, or "
            "drop the oldest tokens",
            layer,
        )
    return positions.astype(np.intp, copy=False)  # unsigned and small ones cannot be reckoned with


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


@lru_cache(maxsize=32)
def waves(length: int, features: int, base: float, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """cos(p ωᵢ) and sin(p ωᵢ) for all p < length, ωᵢ = base^(−2i / features): two tables (length, ⌈features / 2⌉).

    A float64 ω is half a unit off, and p ω is so p times. So ω comes from decimals, in two parts: the product of p with
    the first, of 24 bits, is exact; what the whole angle loses in rounding turns sine and cosine once more.
    Layers of one kind share a table; it is read-only.
    """
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(base) ** (Decimal(-2 * i) / features) for i in range((features + 1) // 2)]
        first = np.array([float(np.float32(float(w))) for w in exact])
        rest = np.array([float(w - Decimal(high)) for w, high in zip(exact, first.tolist(), strict=True)])
    p = np.arange(length, dtype=np.float64)[:, np.newaxis]
    angle = p * first + p * rest
    lost = (p * first - angle) + p * rest
    c, s = np.cos(angle), np.sin(angle)
    tables = (c - lost * s).astype(dtype), (s + lost * c).astype(dtype)
    for table in tables:
        table.flags.writeable = False
    return tables


@lru_cache(maxsize=32)
def turns(length: int, dim: int, base: float, interleaved: bool, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """What a feature is multiplied by, cos, and its partner in the pair, −sin or sin: (length, dim); read-only."""
    c, s = waves(length, dim, base, dtype)
    tables = np.empty((2, length, dim), dtype)
    for table, values in zip(tables, ((c, c), (-s, s)), strict=True):
        for half, value in zip(pairs(table, interleaved), values, strict=True):
            half[...] = value
    tables.flags.writeable = False
    return tables[0], tables[1]


def pairs(x: Array, interleaved: bool) -> tuple[Array, Array]:
    """Views of the first and of the second feature of all pairs."""
    half = x.shape[-1] // 2
    return (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])


@lru_cache(maxsize=32)
def sinusoids(length: int, features: int, dtype: np.dtype[Any]) -> Array:
    """Sines in the even columns, cosines in the odd ones, (length, features); read-only."""
    c, s = waves(length, features, 10000.0, dtype)
    table: Array = np.stack([s, c], axis=-1).reshape(length, -1)[:, :features]
    table.flags.writeable = False
    return table
