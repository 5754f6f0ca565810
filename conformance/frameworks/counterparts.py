"""PyTorch modules for components that PyTorch lacks or has only as functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from conformance.references.position import cosines_and_sines


class ScaledDotProductAttention(nn.Module):
    """``nn.functional.scaled_dot_product_attention`` with its options as constructor arguments."""

    def __init__(
        self, dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False
    ) -> None:
        super().__init__()
        self.dropout_p, self.options = dropout_p, {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}

    def forward(self, query: Any, key: Any, value: Any, attn_mask: Any = None) -> Any:
        p = self.dropout_p if self.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, p, **self.options)


def complex_exponentials(base: float, dim: int, length: int) -> Any:
    """exp(i p base^(−2k / dim)) for p < length and 2k < dim: (length, ⌈dim / 2⌉, 2)."""
    both = np.stack(cosines_and_sines(dim, base, np.arange(length)), axis=-1)
    return torch.from_numpy(both.astype(np.float64))


def add_encoding(x: Any, table: Any, positions: Any, batch_first: bool) -> Any:
    """A row of the table added to each vector: (N, L, E) if batch_first, else (L, N, E), or (L, E)."""
    if x.ndim not in (2, 3):
        raise ValueError(f"x has {x.ndim} axes")
    length_first = x.ndim == 3 and not batch_first
    rows = x.transpose(0, 1) if length_first else x
    length = rows.shape[-2]
    if length > len(table):
        raise IndexError(f"{length} of {len(table)} positions")
    positions = torch.arange(length) if positions is None else positions
    if x.shape[-1] != table.shape[-1] or positions.shape not in ((length,), rows.shape[:-1]):
        raise ValueError(f"x {x.shape}, positions {positions.shape}")
    y = rows + functional.embedding(positions, table)
    return y.transpose(0, 1) if length_first else y


class SinusoidalPositionalEncoding(nn.Module):
    """Sinusoidal positional encoding: sines and cosines of p ω at alternating features."""

    def __init__(self, d_model: int, max_len: int = 5000, batch_first: bool = False) -> None:
        super().__init__()
        self.batch_first = batch_first
        encoding = complex_exponentials(10000, d_model, max_len).flip(-1).flatten(1)[:, :d_model]
        self.register_buffer("encoding", encoding, persistent=False)

    def forward(self, x: Any, positions: Any = None) -> Any:
        return add_encoding(x, self.encoding, positions, self.batch_first)


class LearnedPositionalEncoding(nn.Module):
    """Learned positional encoding: a parameter with a vector for each position."""

    def __init__(self, d_model: int, max_len: int, batch_first: bool = False) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.weight = nn.Parameter(torch.empty(max_len, d_model).normal_(std=0.02))

    def forward(self, x: Any, positions: Any = None) -> Any:
        return add_encoding(x, self.weight, positions, self.batch_first)


class RotaryPositionalEmbedding(nn.Module):
    """Rotary position embedding: each pair of features, as a complex number, is multiplied by exp(i p ω)."""

    def __init__(self, dim: int, max_len: int = 5000, base: float = 10000.0, interleaved: bool = True) -> None:
        super().__init__()
        self.dim, self.interleaved = dim, interleaved
        self.register_buffer("rotations", complex_exponentials(base, dim, max_len), persistent=False)

    def forward(self, x: Any, positions: Any = None) -> Any:
        if x.ndim < 2 or x.shape[-1] != self.dim or x.shape[-2] > len(self.rotations):
            raise ValueError(f"x {x.shape}")
        positions = torch.arange(x.shape[-2]) if positions is None else positions
        if positions.ndim == 0 or positions.shape[-1] != x.shape[-2]:
            raise ValueError(f"positions {positions.shape}")
        positions.expand(x.shape[:-1])  # raises where they do not broadcast
        rows = functional.embedding(positions, self.rotations.flatten(1))
        rotations = torch.view_as_complex(rows.unflatten(-1, (-1, 2)))
        pairs = x.unflatten(-1, (-1, 2)) if self.interleaved else x.unflatten(-1, (2, -1)).transpose(-1, -2)
        y = torch.complex(*pairs.unbind(-1)) * rotations
        return torch.stack([y.real, y.imag], -1 if self.interleaved else -2).flatten(-2)
