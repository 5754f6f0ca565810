"""Position encodings."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyml.errors import DataError, DTypeError, ShapeError, kind_of
from numpyml.kernels.position import rotary_tables, sinusoidal_table, swapped_pairs
from numpyml.kernels.sums import broadcasts_to
from numpyml.nn import init
from numpyml.nn.module import Module, as_floats, as_optional
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, generator_or_none, integer, positive, require
from numpyml.typing import Array

__all__ = ["LearnedPositionalEncoding", "RotaryPositionalEmbedding", "SinusoidalPositionalEncoding"]

Positions = slice | Array
LARGEST_ANGLE_LOG2 = 24  # in radians: of larger ones the tables lose digits


class SinusoidalPositionalEncoding(Module):
    """Sines and cosines of the position, added to each vector.

        y = x + P[p],   P[p, 2i] = sin(p ωᵢ),   P[p, 2i + 1] = cos(p ωᵢ),   ωᵢ = 10000^(−2i / d_model)
        gx = gy

    Args:
        d_model: features.
        max_len: number of positions.
        batch_first: whether the batch is the first axis, not the second.

    ``forward(x, positions=None)``: the positions are 0, 1, 2, ... by default. After a cache of ``past`` tokens pass
    ``positions=np.arange(past, past + L)``.

    Shapes: x and y (L, N, d_model), N first if batch_first, or without N; positions integers (L,) or (N, L).
    Raises: ShapeError when x or positions has another shape, or is longer than max_len; DataError for a position of
        max_len or more, or below 0; DTypeError when x is not floating or positions are not integers; OptionError for
        sizes below 1.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    as_input = staticmethod(as_optional)

    def __init__(self, d_model: int, max_len: int = 5000, batch_first: bool = False) -> None:
        self.d_model = integer(self, "d_model", d_model, 1)
        self.max_len = integer(self, "max_len", max_len, 1)
        self.batch_first = flag(self, "batch_first", batch_first)

    def compute(self, x: Array, positions: Array | None = None) -> tuple[Array, None]:
        x = as_floats(x, None, self)
        p = vector_positions(self, x, positions)
        table = sinusoidal_table(self.max_len, self.d_model, x.dtype)
        return x + in_order_of(x, table[p], self.batch_first), None

    def pullback(self, context: None, gy: Array, needs_input_grad: Sequence[bool]) -> Any:
        return gy if len(needs_input_grad) == 1 else (gy, None)


class LearnedPositionalEncoding(Module):
    """A trainable vector for each position, added to the vector there.

        y = x + weight[p]
        gx = gy,   gweight[i] = Σ gy where p = i

    Args:
        d_model: features.
        max_len: number of positions.
        batch_first: whether the batch is the first axis, not the second.
        dtype: of the weight; float32 by default.
        generator: of the initial values, N(0, 0.02²); by default the one of ``manual_seed``.

    ``forward(x, positions=None)``: as for :class:`SinusoidalPositionalEncoding`.

    Shapes: x and y (L, N, d_model), N first if batch_first, or without N; positions integers (L,) or (N, L);
        weight (max_len, d_model), as that of an Embedding of positions.
    Raises: as :class:`SinusoidalPositionalEncoding`.
    Source: Gehring et al. 2017, arXiv:1705.03122; initial values as GPT-2's and BERT's.
    """

    as_input = staticmethod(as_optional)

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
        self.dtype, self.generator = dtype, generator_or_none(self, "generator", generator)
        self.weight = Parameter(np.zeros((max_len, d_model)), dtype=dtype)
        init.normal_(self.weight.data, std=0.02, generator=generator)

    def compute(self, x: Array, positions: Array | None = None) -> tuple[Array, Positions]:
        x = as_floats(x, self.weight.dtype, self)
        p = vector_positions(self, x, positions)
        return x + in_order_of(x, self.weight.data[p], self.batch_first), p

    def pullback(self, p: Positions, gy: Array, needs_input_grad: Sequence[bool]) -> Any:
        if self.weight.requires_grad:
            g = in_order_of(gy, gy, self.batch_first)  # (N, L, d_model) or (L, d_model)
            if g.ndim == 3 and (isinstance(p, slice) or p.ndim == 1):
                g = np.einsum("nle->le", g)
            if not isinstance(p, slice):  # first the sum of this call alone: two equal calls double the gradient
                sums = np.zeros((p.max(initial=-1) + 1, self.d_model), gy.dtype)
                np.add.at(sums, p, g)
                p, g = slice(len(sums)), sums
            self.weight.grad[p] += g
        return gy if len(needs_input_grad) == 1 else (gy, None)


class RotaryPositionalEmbedding(Module):
    """Each pair of features is rotated by an angle proportional to the position.

        (y_a, y_b) = R(p ωᵢ) (x_a, x_b),   R(θ) = (cos θ, −sin θ; sin θ, cos θ),   ωᵢ = base^(−2i / dim)
        (gx_a, gx_b) = R(−p ωᵢ) (gy_a, gy_b)
        (R(p ω) q) · (R(r ω) k) = q · R((r − p) ω) k        products depend on the distance of the positions alone

    Args:
        dim: features of one head, an even number.
        max_len: number of positions.
        base: of the frequencies ωᵢ, which decrease with i if it is above 1. Below 1 they increase, and no angle may
            exceed 2²⁴.
        interleaved: pair i is (2i, 2i + 1), as in the paper, GPT-J and Llama's own code; else (i, i + dim/2), as in
            GPT-NeoX and the Transformers library. Weights trained with one order need that order.

    ``forward(x, positions=None)``: the positions are 0, 1, 2, ... along the last axis but one by default. After a cache
    of ``past`` tokens pass ``positions=np.arange(past, past + L)``. Apply it to queries and keys once they are split
    into heads, before :class:`ScaledDotProductAttention`.

    Shapes: x and y (..., L, dim); positions integers that broadcast to (..., L).
    Raises: ShapeError when x or positions has another shape, or is longer than max_len; DataError for a position of
        max_len or more, or below 0; DTypeError when x is not floating or positions are not integers; OptionError when
        an option is out of range.
    Source: Su et al. 2021, arXiv:2104.09864.
    """

    as_input = staticmethod(as_optional)

    def __init__(self, dim: int, max_len: int = 5000, base: float = 10000.0, interleaved: bool = True) -> None:
        self.dim = integer(self, "dim", dim, 2)
        require(dim % 2 == 0, self, "dim", dim, "even")
        self.max_len = integer(self, "max_len", max_len, 1)
        self.base = positive(self, "base", base)
        fastest = -(dim - 2) / dim * log2(base)  # log2 of the largest ω above 1, which itself might overflow
        expected = f"1 or more, or so large that no angle, max_len * base ** (-{dim - 2}/{dim}), exceeds 2 ** 24"
        require(fastest <= 0 or fastest + log2(max_len) <= LARGEST_ANGLE_LOG2, self, "base", base, expected)
        self.interleaved = flag(self, "interleaved", interleaved)

    def compute(self, x: Array, positions: Array | None = None) -> tuple[Array, tuple[Array, Array]]:
        x = as_floats(x, None, self)
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ShapeError(
                f"expected x (..., L, {self.dim}), got {x.shape}; split it into heads first, "
                f"or build the layer with dim={x.shape[-1] if x.ndim else 2}",
                self,
            )
        p = checked_positions(self, x.shape[-2], positions, x.shape[:-1])
        tables = rotary_tables(self.max_len, self.dim, float(self.base), self.interleaved, x.dtype)
        c, s = (table[p] for table in tables)
        y = swapped_pairs(x, s, self.interleaved)
        y += x * c
        return y, (c, s)

    def pullback(self, context: tuple[Array, Array], gy: Array, needs_input_grad: Sequence[bool]) -> Any:
        c, s = context
        gx = gy * c
        gx -= swapped_pairs(gy, s, self.interleaved)
        return gx if len(needs_input_grad) == 1 else (gx, None)


def vector_positions(layer: Any, x: Array, positions: Array | None) -> Positions:
    """The positions of x's vectors: a slice from 0 on, or (L,) or (N, L), whichever axis of x the batch is."""
    if x.ndim not in (2, 3) or x.shape[-1] != layer.d_model:
        order = "(N, L, ·)" if layer.batch_first else "(L, N, ·)"
        remedy = "give it an axis for the sequence and at most one for the batch"
        if x.ndim in (2, 3):
            remedy = f"embed it to that width, or build the layer with d_model={x.shape[-1]}"
        raise ShapeError(f"expected x {order} or (L, ·) with {layer.d_model} features, got {x.shape}; {remedy}", layer)
    shape = x.shape[1::-1] if x.ndim == 3 and not layer.batch_first else x.shape[:-1]
    p = checked_positions(layer, shape[-1], positions, shape)
    if not isinstance(p, slice) and p.ndim == 2 and p.shape != shape:
        raise ShapeError(
            f"expected positions {shape[-1:]} or {shape}, got {p.shape}; pass one row for each sequence, "
            "or a single one without the axis of the batch",
            layer,
        )
    return p


def in_order_of(x: Array, rows: Array, batch_first: bool) -> Array:
    """Vectors (L, ·) or (N, L, ·) in the order of x's axes, or the other way round; without N they are for all."""
    if x.ndim == 2 or batch_first:
        return rows
    return rows.swapaxes(0, 1) if rows.ndim == 3 else rows[:, np.newaxis]


def checked_positions(layer: Any, length: int, positions: Array | None, shape: tuple[int, ...]) -> Positions:
    """The positions, which broadcast to the shape, of that length on the last axis, and are below max_len."""
    if length > layer.max_len:
        raise ShapeError(
            f"expected at most max_len={layer.max_len} positions, got a sequence of {length}; cut it, or build the "
            f"layer with max_len={length}",
            layer,
        )
    if positions is None:
        return slice(length)
    if not isinstance(positions, np.ndarray) or positions.dtype.kind not in "iu":
        raise DTypeError(
            f"expected positions to be integers, got {kind_of(positions)}; pass an array such as "
            f"np.arange(past, past + {length})",
            layer,
        )
    if positions.shape[-1:] != (length,) or not broadcasts_to(positions.shape, shape):
        raise ShapeError(
            f"expected positions {(length,)}, or one for each of {shape}, got {positions.shape}; pass one position "
            "for each vector of a sequence",
            layer,
        )
    if positions.size and (positions.min() < 0 or positions.max() >= layer.max_len):
        invalid = positions.min() if positions.min() < 0 else positions.max()
        raise DataError(
            f"expected positions from 0 to {layer.max_len - 1}, got {invalid}; build the layer with a larger max_len, "
            "or drop the oldest tokens",
            layer,
        )
    return positions.astype(np.intp, copy=False)  # sums of unsigned or short ones might overflow
