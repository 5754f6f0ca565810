"""Scaled dot-product attention."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from numpyml.autograd import tape
from numpyml.errors import DTypeError, OptionError, ShapeError, kind_of
from numpyml.kernels.attention import attend, attend_in_parts, attention_gradients, causal_bias
from numpyml.kernels.sums import broadcasts_to, unbroadcast
from numpyml.nn.layers.dropout import new_mask
from numpyml.nn.module import Module, as_floats, as_optional
from numpyml.options import flag, generator_or_none, number
from numpyml.typing import Array


class ScaledDotProductAttention(Module):
    """Each query's mean of the values, weighted by the softmax of its products with their keys.

        O = P V,   P = softmax(S),   S = s Q Kᵀ + M
        gV = Pᵀ gO,   gP = gO Vᵀ,   gS = P ⊙ (gP − Σ P gP),   gQ = s gS K,   gK = s gSᵀ Q,   gM = gS

    Args:
        dropout_p: while training, the probability that a weight in P is dropped; the others are scaled by 1/(1 − p).
        is_causal: whether query i sees the keys 0 to i only.
        scale: s; 1/√E by default.
        enable_gqa: grouped queries: keys and values may have fewer heads, each shared by consecutive heads of queries.
        generator: of the dropout masks; by default the one of ``manual_seed``.

    Shapes: query (..., L, E); key (..., S, E); value (..., S, Ev), leading axes broadcast; O (..., L, Ev). attn_mask
        broadcasts to (..., L, S): booleans, True where a key is seen, or floats, M. A query that sees
        no key gets zeros.
    Raises: ShapeError when shapes do not fit; DTypeError for inputs that are not floating and for other masks;
        OptionError for an option out of range, or a mask together with is_causal.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.functional.scaled_dot_product_attention.
    """

    as_input = staticmethod(as_optional)

    def __init__(
        self,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
        *,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.dropout_p = number(self, "dropout_p", dropout_p, 0, 1)
        self.is_causal = flag(self, "is_causal", is_causal)
        self.scale = None if scale is None else number(self, "scale", scale, -np.inf)
        self.enable_gqa = flag(self, "enable_gqa", enable_gqa)
        self.generator = generator_or_none(self, "generator", generator)

    def compute(self, query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> tuple[Array, Any]:
        Q = as_floats(query, None, self, "query")
        K, V = as_floats(key, Q.dtype, self, "key"), as_floats(value, Q.dtype, self, "value")
        Q, K, V, shared = self._broadcast(Q, K, V)
        scores = (*Q.shape[:-1], K.shape[-2])
        biases = self._biases(attn_mask, scores, Q.dtype)
        mask = dropout_mask(self, self.dropout_p, scores, Q.dtype)
        O = np.empty((*Q.shape[:-1], V.shape[-1]), Q.dtype)
        attended = (attend if tape.is_recording() else attend_in_parts)(Q, K, V, self._scale(Q), biases, mask, O)
        shapes = query.shape, key.shape, value.shape, None if attn_mask is None else attn_mask.shape
        return O, (attended, shared, shapes)

    def pullback(self, context: Any, gO: Array, needs_input_grad: Sequence[bool]) -> tuple[Array | None, ...]:
        attended, shared, (*shapes, mask_shape) = context
        gQ, gK, gV = (np.empty(x.shape, x.dtype) for x in (attended.Q, attended.K, attended.V))
        gS = attention_gradients(attended, gO, None, self._scale(gQ), gQ, gK, gV)
        if shared > 1:
            gK, gV = (
                g.reshape(*g.shape[:-3], g.shape[-3] // shared, shared, *g.shape[-2:]).sum(axis=-3) for g in (gK, gV)
            )
        gxs = [unbroadcast(g, shape) for g, shape in zip((gQ, gK, gV), shapes, strict=True)]
        gM = unbroadcast(gS, mask_shape) if len(needs_input_grad) > 3 and needs_input_grad[3] else None
        return (*gxs, gM)[: len(needs_input_grad)]

    def mask(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A new dropout mask: 1/(1 − p) or 0 for each weight."""
        return new_mask(self.dropout_p, shape, dtype, self.generator)

    def _scale(self, Q: Array) -> float:
        return (1 / sqrt(Q.shape[-1]) if Q.shape[-1] else 1.0) if self.scale is None else self.scale

    def _broadcast(self, Q: Array, K: Array, V: Array) -> tuple[Array, Array, Array, int]:
        """The three with the same leading axes, and how many heads of queries share one of keys."""
        shapes = Q.shape, K.shape, V.shape
        fits = min(Q.ndim, K.ndim, V.ndim) >= 2 and Q.shape[-1] == K.shape[-1] and K.shape[-2] == V.shape[-2]
        shared = 1
        if fits and self.enable_gqa:
            shared = self._queries_per_key(*shapes)
            K, V = (x if shared == 1 else np.repeat(x, shared, -3) for x in (K, V))
        lead = Q.shape[:-2]
        if not lead == K.shape[:-2] == V.shape[:-2]:
            try:
                lead = np.broadcast_shapes(lead, K.shape[:-2], V.shape[:-2])
            except ValueError:
                fits = False
        if not fits:
            raise ShapeError(
                "expected query (..., L, E), key (..., S, E) and value (..., S, Ev) with leading axes that broadcast, "
                f"got {shapes[0]}, {shapes[1]} and {shapes[2]}; {self._remedy(*shapes)}",
                self,
            )
        Q, K, V = (x if x.shape[:-2] == lead else np.broadcast_to(x, lead + x.shape[-2:]) for x in (Q, K, V))
        return Q, K, V, shared

    def _remedy(self, query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...]) -> str:
        """What to do about shapes that do not fit."""
        if min(map(len, (query, key, value))) < 2:
            return "give each an axis for the sequence and one for the features"
        if query[-1] != key[-1]:
            return "give queries and keys the same number of features"
        if key[-2] != value[-2]:
            return "give each key one value"
        fewer = "" if self.enable_gqa else ", or set enable_gqa=True where keys and values have fewer heads"
        return f"give all three the same batch and heads{fewer}"

    def _queries_per_key(self, query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...]) -> int:
        """How many heads of queries share a head of keys and values."""
        heads, of_keys, of_values = (shape[-3] if len(shape) > 2 else 0 for shape in (query, key, value))
        if not (heads and of_keys) or of_keys != of_values or heads % of_keys:
            raise ShapeError(
                "expected keys and values with the same number of heads, and queries with a multiple of it, "
                f"got query {query}, key {key} and value {value}; put the heads on the last axis but two, "
                "or set enable_gqa=False",
                self,
            )
        return heads // of_keys

    def _biases(self, attn_mask: Array | None, scores: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
        """What is added to the scores (..., L, S)."""
        if attn_mask is None:
            return [causal_bias(scores[-2], scores[-1], dtype)] if self.is_causal else []
        if self.is_causal:
            raise OptionError(
                f"expected no attn_mask where is_causal=True, got {kind_of(attn_mask)}; set is_causal=False and "
                "hide the later keys in the mask as well",
                self,
            )
        bias = mask_bias(attn_mask, True, "attn_mask", dtype, self)
        if not broadcasts_to(bias.shape, scores):
            raise ShapeError(
                f"expected attn_mask to broadcast to the scores' shape {scores}, got {attn_mask.shape}; "
                "pass one row for each query and one column for each key, or one for all",
                self,
            )
        return [bias]


def mask_bias(mask: Any, seen: bool, name: str, dtype: np.dtype[Any], layer: Module) -> Array:
    """A mask as a bias of the scores: 0 where a boolean one is ``seen``, −∞ elsewhere; a floating one as it is."""
    if isinstance(mask, (np.ndarray, np.generic)) and not mask.ndim:
        raise ShapeError(f"expected {name} to have axes, got {kind_of(mask)}; pass one entry for each key", layer)
    if not isinstance(mask, np.ndarray):
        raise DTypeError(
            f"expected {name} to be an array or None, got {kind_of(mask)}; pass one entry for each key", layer
        )
    if mask.dtype.kind not in "bf":
        raise DTypeError(
            f"expected {name} to be boolean or floating, got {kind_of(mask)}; convert it to booleans, True where a key "
            f"is {'seen' if seen else 'hidden'}",
            layer,
        )
    if mask.dtype.kind == "f":
        return mask.astype(dtype, copy=False)
    bias: Array = np.where(mask == seen, dtype.type(0), dtype.type(-np.inf))
    return bias


def dropout_mask(layer: Any, p: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """A new dropout mask of the layer, None where it drops nothing."""
    return layer.mask(shape, dtype) if layer.training and p else None
