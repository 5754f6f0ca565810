"""Attention: what a query takes from the values is decided by how well it fits their keys."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import DTypeLike

from numpyml.autograd import tape
from numpyml.errors import DTypeError, OptionError, ShapeError, kind_of
from numpyml.kernels.sums import over_rows, row_sums, unbroadcast
from numpyml.nn import init
from numpyml.nn.layers.dense import Dense, as_rows, product
from numpyml.nn.layers.dropout import new_mask
from numpyml.nn.module import Module, as_floats, as_given
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, integer, number, require
from numpyml.typing import Array

__all__ = ["MultiheadAttention", "ScaledDotProductAttention"]


class Attended(NamedTuple):
    """What the pullback of attention needs. P is kept, not recomputed: it costs a product and an exponential."""

    Q: Array
    K: Array
    V: Array
    P: Array
    mask: Array | None  # of Dropout


def attend(Q: Array, K: Array, V: Array, s: float, biases: Sequence[Array], mask: Array | None, O: Array) -> Attended:
    """P = softmax(s QKᵀ + Σ biases), O = (P ⊙ mask) V, into O. A query that may see no key gets zeros."""
    P = Q @ transposed(K, s) if Q.shape[-2] > 4 else (Q * Q.dtype.type(s)) @ K.swapaxes(-1, -2)
    keys = P.shape[-1]
    if not keys:
        O[...] = 0
        return Attended(Q, K, V, P, mask)
    for bias in biases:
        P += bias
    top = P.argmax(axis=-1)[..., np.newaxis]
    top += np.arange(0, P.size, keys).reshape(top.shape)
    largest = P.take(top)
    if biases:
        largest[largest == -np.inf] = 0
    P -= largest
    np.exp(P, out=P)
    total = row_sums(P.reshape(-1, keys)).reshape(top.shape)
    if biases:
        total[total == 0] = 1
    P /= total
    np.matmul(P if mask is None else P * mask, V, out=O)
    return Attended(Q, K, V, P, mask)


SCORES = 1 << 19  # at a time: as fast as 2¹⁸ and 2²⁰; with fewer the number of calls shows


def attend_alone(Q: Array, K: Array, V: Array, s: float, biases: Sequence[Array], mask: Array | None, O: Array) -> None:
    """O of :func:`attend`, and nothing kept: so much of the batch at a time that the cache holds the scores.

    BLAS may add in another order for another number of them, so that the last bits differ.
    """
    scores = prod(Q.shape[:-1]) * K.shape[-2]
    if scores <= SCORES or Q.ndim == 2:
        attend(Q, K, V, s, biases, mask, O)
        return
    batch = len(Q)
    length = max(1, SCORES * batch // scores)
    for start in range(0, batch, length):
        part = slice(start, start + length)
        few = [bias[part] if bias.ndim == Q.ndim and len(bias) == batch else bias for bias in biases]
        attend(Q[part], K[part], V[part], s, few, None if mask is None else mask[part], O[part])


def transposed(K: Array, s: float = 1.0) -> Array:
    """s Kᵀ, (..., S, E) -> (..., E, S), laid out for BLAS, which multiplies by it twice as fast as by a view.

    Worth it for more than a few rows.
    """
    return np.multiply(K.swapaxes(-1, -2), K.dtype.type(s), order="C")


def unattend(context: Attended, gO: Array, gP: Array | None, s: float, gQ: Array, gK: Array, gV: Array) -> Array:
    """The gradients of Q, K and V, into arrays; returns gS, that of the scores. gP is what the weights get elsewhere.

    gV = (P ⊙ mask)ᵀ gO,   gP = (gO Vᵀ + gP) ⊙ mask,   gS = P ⊙ (gP − Σ P gP),   gQ = s gS K,   gK = s gSᵀ Q
    """
    Q, K, V, P, mask = context
    np.matmul((P if mask is None else P * mask).swapaxes(-1, -2), gO, out=gV)
    gS = gO @ transposed(V)
    if gP is not None:
        gS += gP
    if mask is not None:
        gS *= mask
    gS -= np.einsum("...s,...s->...", P, gS)[..., np.newaxis]
    gS *= P
    np.matmul(gS, K, out=gQ)
    gQ *= gQ.dtype.type(s)
    np.matmul(gS.swapaxes(-1, -2), Q, out=gK)
    gK *= gK.dtype.type(s)
    return gS


def as_bias(
    mask: Array | None, allowed: bool, dtype: Any, shape: tuple[int, ...], name: str, layer: Any
) -> Array | None:
    """A mask as numbers to add to the scores: 0 where a boolean one is ``allowed``, −∞ elsewhere."""
    if mask is None:
        return None
    check_mask(mask, name, layer)
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"expected {name} to broadcast to the scores' shape {shape}, got {mask.shape}", layer)
    if mask.dtype.kind == "f":
        return mask.astype(dtype, copy=False)
    bias: Array = np.where(mask == allowed, dtype.type(0), dtype.type(-np.inf))
    return bias


def check_mask(mask: Any, name: str, layer: Any) -> None:
    """A mask is an array of booleans or floats, not a single one."""
    if isinstance(mask, (np.ndarray, np.generic)) and not mask.ndim:
        raise ShapeError(f"expected {name} to have axes, got {kind_of(mask)}; pass one entry a key", layer)
    if not isinstance(mask, np.ndarray):
        raise DTypeError(f"expected {name} to be an array or None, got {kind_of(mask)}; pass one entry a key", layer)
    if mask.dtype.kind not in "bf":
        raise DTypeError(f"expected {name} to be boolean or floating, got {kind_of(mask)}; convert it", layer)


def causal(queries: int, keys: int, dtype: Any) -> Array:
    """Query i sees the keys 0 to i: 0 there, −∞ beyond. (queries, keys)."""
    return np.triu(np.full((queries, keys), -np.inf, dtype), 1)


class ScaledDotProductAttention(Module):
    """Each query's mean of the values, weighted by how well their keys fit it.

        O = P V,   P = softmax(S),   S = s Q Kᵀ + M
        gV = Pᵀ gO,   gP = gO Vᵀ,   gS = P ⊙ (gP − Σ P gP),   gQ = s gS K,   gK = s gSᵀ Q,   gM = gS

    Args:
        dropout_p: while training, the share of P that is dropped, the rest scaled up.
        is_causal: a query sees no key behind its own place.
        scale: s; 1/√E by default.
        enable_gqa: keys and values may have fewer heads, each shared by as many neighbouring queries' heads.
        generator: where the masks come from; by default the one of ``manual_seed``.

    Shapes: query (..., L, E); key (..., S, E); value (..., S, Ev), leading axes broadcast; O (..., L, Ev). attn_mask
        broadcasts to (..., L, S): booleans, True where a key is seen, or floats, M. Who sees no key gets zeros.
    Raises: ShapeError when shapes do not fit; DTypeError for other masks; OptionError for a mask beside is_causal.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.functional.scaled_dot_product_attention.
    """

    as_input = staticmethod(as_given)

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
        self.generator = generator

    @property
    def dropout(self) -> float:
        """dropout_p, as Dropout and MultiheadAttention call it for what injects masks."""
        return self.dropout_p

    def compute(self, query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> tuple[Array, Any]:
        query = as_floats(query, None, self, "query")
        Q, K, V = query, as_floats(key, query.dtype, self, "key"), as_floats(value, query.dtype, self, "value")
        fits = min(Q.ndim, K.ndim, V.ndim) >= 2 and Q.shape[-1] == K.shape[-1] and K.shape[-2] == V.shape[-2]
        shared = self._shared(Q, K, V) if fits and self.enable_gqa else 1
        if shared > 1:
            K, V = np.repeat(K, shared, -3), np.repeat(V, shared, -3)
        lead = Q.shape[:-2]
        if not lead == K.shape[:-2] == V.shape[:-2]:
            try:
                lead = np.broadcast_shapes(lead, K.shape[:-2], V.shape[:-2])
            except ValueError:
                fits = False
        if not fits:
            raise ShapeError(
                f"expected query (..., L, E), key (..., S, E) and value (..., S, Ev), got {query.shape}, {key.shape} "
                f"and {value.shape}",
                self,
            )
        Q, K, V = (x if x.shape[:-2] == lead else np.broadcast_to(x, lead + x.shape[-2:]) for x in (Q, K, V))
        scores = (*Q.shape[:-1], K.shape[-2])
        require(attn_mask is None or not self.is_causal, self, "attn_mask", attn_mask, "None where is_causal is True")
        bias = as_bias(attn_mask, True, Q.dtype, scores, "attn_mask", self)
        biases = [bias] if bias is not None else [causal(scores[-2], scores[-1], Q.dtype)] if self.is_causal else []
        s = self._scale(Q)
        mask = drawn_mask(self, self.dropout_p, scores, Q.dtype)
        O = np.empty((*Q.shape[:-1], V.shape[-1]), Q.dtype)
        shapes = query.shape, key.shape, value.shape, None if attn_mask is None else attn_mask.shape
        attended = (attend if tape.is_recording() else attend_alone)(Q, K, V, s, biases, mask, O)
        return O, (attended, shared, shapes)

    def pullback(self, context: Any, gO: Array, wanted: Sequence[bool]) -> tuple[Array | None, ...]:
        attended, shared, (*shapes, mask_shape) = context
        gQ, gK, gV = (np.empty(x.shape, x.dtype) for x in (attended.Q, attended.K, attended.V))
        gS = unattend(attended, gO, None, self._scale(gQ), gQ, gK, gV)
        if shared > 1:
            gK, gV = (
                g.reshape(*g.shape[:-3], g.shape[-3] // shared, shared, *g.shape[-2:]).sum(axis=-3) for g in (gK, gV)
            )
        gxs = [unbroadcast(g, shape) for g, shape in zip((gQ, gK, gV), shapes, strict=True)]
        gM = unbroadcast(gS, mask_shape) if len(wanted) > 3 and wanted[3] else None
        return (*gxs, gM)[: len(wanted)]

    def mask(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A new mask of Dropout: 1/(1 − p) where a weight is kept, 0 where it is dropped."""
        return new_mask(self.dropout_p, shape, dtype, self.generator)

    def _scale(self, Q: Array) -> float:
        return (1 / sqrt(Q.shape[-1]) if Q.shape[-1] else 1.0) if self.scale is None else self.scale

    def _shared(self, Q: Array, K: Array, V: Array) -> int:
        """How many of the queries' heads share a head of keys."""
        heads = [x.shape[-3] if x.ndim > 2 else 0 for x in (Q, K, V)]
        if not all(heads) or heads[1] != heads[2] or heads[0] % heads[1]:
            raise ShapeError(
                "expected as many heads of keys as of values, and a multiple of them for the queries, "
                f"got query {Q.shape}, key {K.shape} and value {V.shape}",
                self,
            )
        return int(heads[0] // heads[1])


def drawn_mask(layer: Any, p: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """The layer's mask where it drops anything now."""
    return layer.mask(shape, dtype) if layer.training and p else None


class MultiheadAttention(Module):
    """Attention in several subspaces at once, each with projections of its own.

        Q = query W_qᵀ + b_q,   K = key W_kᵀ + b_k,   V = value W_vᵀ + b_v,   each cut into H heads of E/H features
        head = softmax(Q Kᵀ / √(E/H) + M) V
        output = [head₁ ... head_H] W_oᵀ + b_o

    The gradients of one head are those of :class:`ScaledDotProductAttention`, those of a projection those of Dense.

    Args:
        embed_dim: E, of the query and the output.
        num_heads: H, which divides E.
        dropout: while training, the share of the weights that is dropped, the rest scaled up.
        bias: whether the projections have biases.
        add_bias_kv: one key and value more at the end of every sequence, both trainable.
        add_zero_attn: one key and value more, of zeros.
        kdim, vdim: features of the key and the value; E by default.
        batch_first: whether the batch is the first axis, not the second.
        dtype: of the parameters; float32 by default.
        generator: where initial values and masks come from; by default the one of ``manual_seed``.

    ``forward(query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, average_attn_weights=True,
    is_causal=False)`` gives the output and the weights, their mean over the heads unless told otherwise; None in their
    place where they are not needed.

    Shapes: query (L, N, E), key (S, N, kdim), value (S, N, vdim), output (L, N, E); N first if batch_first; without N
        also. key_padding_mask (N, S); attn_mask (L, S) or (N·H, L, S): booleans, True where a key is *not* seen, or
        floats to add. A query that sees no key gets the weights 0. is_causal says that attn_mask is causal; it is used
        as it is. Weights (N, L, S), or (N, H, L, S) of each head.
    Raises: OptionError when H does not divide E; ShapeError and DTypeError for inputs and masks that do not fit.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.MultiheadAttention.
    """

    as_input = staticmethod(as_given)

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        dtype: DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        E = self.embed_dim = integer(self, "embed_dim", embed_dim, 1)
        self.num_heads = integer(self, "num_heads", num_heads, 1)
        require(E % num_heads == 0, self, "num_heads", num_heads, f"a divisor of embed_dim={E}")
        self.dropout = number(self, "dropout", dropout, 0, 1)
        self.bias, self.add_bias_kv = flag(self, "bias", bias), flag(self, "add_bias_kv", add_bias_kv)
        self.add_zero_attn = flag(self, "add_zero_attn", add_zero_attn)
        self.batch_first = flag(self, "batch_first", batch_first)
        self.kdim = None if kdim is None else integer(self, "kdim", kdim, 1)
        self.vdim = None if vdim is None else integer(self, "vdim", vdim, 1)
        self.dtype, self.generator = dtype, generator
        widths = (E, E if kdim is None else kdim, E if vdim is None else vdim)

        def parameter(*shape: int) -> Parameter:
            return Parameter(np.zeros(shape), dtype=dtype)

        together = widths == (E, E, E)  # PyTorch's names: one matrix where the three have one shape
        self.in_proj_weight = parameter(3 * E, E) if together else None
        self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (
            None if together else parameter(E, width) for width in widths
        )
        self.in_proj_bias = parameter(3 * E) if bias else None
        self.bias_k, self.bias_v = (parameter(1, 1, E) if add_bias_kv else None for _ in "kv")
        self.out_proj = Dense(E, E, bias, dtype=dtype, generator=generator)
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight.data, generator=generator)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.normal_(extra.data, std=1 / sqrt(E), generator=generator)
        if self.out_proj.bias is not None:
            self.out_proj.bias.data = np.zeros(E)

    def compute(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[tuple[Array, Array | None], Any]:
        flag(self, "need_weights", need_weights)
        flag(self, "average_attn_weights", average_attn_weights)
        if flag(self, "is_causal", is_causal) and attn_mask is None:
            raise OptionError(
                f"expected is_causal to be False where no mask is given, got {kind_of(is_causal)}; it says that the "
                "mask is causal, and makes none",
                self,
            )
        xs = self._inputs(query, key, value)
        Q, K, V = map(self._heads_first, self._projected(xs))  # (N, H, L or S, E/H)
        N, H, L, D = Q.shape
        masks = self._masks(attn_mask, key_padding_mask, (N, H, L, K.shape[2]), query.ndim == 3)
        K, V, masks = self._with_added_keys(K, V, masks)
        dropped = drawn_mask(self, self.dropout, (N, H, L, K.shape[2]), Q.dtype)
        joined = np.empty((*xs[0].shape[:2], self.embed_dim), Q.dtype)
        kept = need_weights or tape.is_recording()
        attended = (attend if kept else attend_alone)(Q, K, V, 1 / sqrt(D), masks, dropped, self._heads_first(joined))
        output, out_context = self.out_proj.compute(joined)
        weights: Array | None = None
        if attended is not None and need_weights:
            P = attended.P if dropped is None else attended.P * dropped
            P = P.mean(axis=1) if average_attn_weights else P.copy()
            weights = P if query.ndim == 3 else P[0]
        context = xs, attended, out_context, query.ndim == 3, average_attn_weights
        return (output.reshape(query.shape), weights), context

    def pullback(self, context: Any, gys: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array | None, ...]:
        xs, attended, out_context, batched, average = context
        (N, H, L, D), keys = attended.Q.shape, attended.K.shape[2]
        g_joined = cast("Array", self.out_proj.pullback(out_context, gys[0].reshape((*xs[0].shape[:2], H * D))))
        gP = (
            gys[1].reshape(N, 1 if average else H, L, keys) / gys[1].dtype.type(H if average else 1)
            if len(gys) > 1
            else None
        )
        dtype, E, along = attended.P.dtype, H * D, 1 if self.batch_first else 0
        together = keys == L
        if together:  # side by side, as the three projections of one x are
            joined = np.empty((*self._order(N, L), 3 * E), dtype)
            gs = thirds(joined)
        else:
            gs = [np.empty((*self._order(N, n), E), dtype) for n in (L, keys, keys)]
        unattend(attended, self._heads_first(g_joined), gP, 1 / sqrt(D), *map(self._heads_first, gs))
        length = xs[1].shape[along]
        for extra, g in ((self.bias_k, gs[1]), (self.bias_v, gs[2])):
            if extra is not None:
                extra.accumulate(g.take(length, along).sum(axis=0).reshape(extra.shape))
        if keys > length:  # without the added keys
            gs = [gs[0], *(g[:, :length] if self.batch_first else g[:length] for g in gs[1:])]
        rows = [as_rows(g) for g in gs]
        if self.in_proj_bias is not None:
            gb = np.concatenate([over_rows(r) for r in rows])
            if keys == length:  # b_k adds the same to all scores of a query, and softmax does not see it
                gb[E : 2 * E] *= 0
            self.in_proj_bias.accumulate(gb)
        if together and self.in_proj_weight is not None and xs[0] is xs[1] is xs[2]:
            self.in_proj_weight.accumulate_product(as_rows(joined).T, as_rows(xs[0]))
        else:
            for x, r, (weight, part) in zip(xs, rows, self._projections(), strict=True):
                weight.accumulate_product(r.T, as_rows(x), part)
        gxs: list[Array | None] = []
        for x, r, (weight, part), is_wanted in zip(xs, rows, self._projections(), wanted, strict=False):
            gx = (r @ weight.data[part]).reshape(x.shape) if is_wanted else None
            gxs.append(gx if gx is None or batched else gx[0] if self.batch_first else gx[:, 0])
        return (*gxs, *[None] * (len(wanted) - 3))

    def mask(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A new mask of Dropout: 1/(1 − p) where a weight is kept, 0 where it is dropped."""
        return new_mask(self.dropout, shape, dtype, self.generator)

    def _inputs(self, query: Array, key: Array, value: Array) -> list[Array]:
        """The three in the parameters' dtype, with a batch axis: (N, L, ·) if batch_first, else (L, N, ·)."""
        dtype = self.out_proj.weight.dtype
        E = self.embed_dim
        widths = (E, E if self.kdim is None else self.kdim, E if self.vdim is None else self.vdim)
        same = query is key is value
        first = as_floats(query, dtype, self, "query")
        others = [first] * 2 if same else [as_floats(key, dtype, self, "key"), as_floats(value, dtype, self, "value")]
        xs = [first, *others]
        batch = None if query.ndim != 3 else 0 if self.batch_first else 1
        fits = query.ndim in (2, 3) and all(x.ndim == query.ndim for x in xs)
        fits = fits and all(x.shape[-1] == width for x, width in zip(xs, widths, strict=True))
        fits = fits and key.shape[:-1] == value.shape[:-1] and (batch is None or key.shape[batch] == query.shape[batch])
        if not fits:
            order = "(N, L, ·) or (L, ·)" if self.batch_first else "(L, N, ·) or (L, ·)"
            raise ShapeError(
                f"expected query, key and value {order} with {widths} features, key and value equally long, "
                f"got {query.shape}, {key.shape} and {value.shape}",
                self,
            )
        if batch is not None:
            return xs
        batches = [x[None] if self.batch_first else x[:, None] for x in xs]
        return batches[:1] * 3 if same else batches

    def _projections(self) -> list[tuple[Parameter, slice]]:
        """The three projections' matrices: a parameter, and which of its rows."""
        if self.in_proj_weight is not None:
            return [(self.in_proj_weight, part) for part in self._parts()]
        matrices = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return [(weight, slice(None)) for weight in matrices if weight is not None]

    def _parts(self) -> list[slice]:
        E = self.embed_dim
        return [slice(i * E, (i + 1) * E) for i in range(3)]

    def _projected(self, xs: list[Array]) -> list[Array]:
        """Q, K and V, (·, ·, E); where all three are made of one x by one matrix, by one product."""
        bias = None if self.in_proj_bias is None else self.in_proj_bias.data
        if self.in_proj_weight is not None and xs[0] is xs[1] is xs[2]:
            return thirds(project(xs[0], self.in_proj_weight.data, bias))
        projections = zip(xs, self._projections(), self._parts(), strict=True)
        return [project(x, W.data[rows], None if bias is None else bias[part]) for x, (W, rows), part in projections]

    def _order(self, N: int, L: int) -> tuple[int, int]:
        return (N, L) if self.batch_first else (L, N)

    def _heads_first(self, x: Array) -> Array:
        """A view (N, H, L, E/H) of (N, L, E) or (L, N, E)."""
        parts = x.reshape(*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)
        return parts.transpose((0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def _masks(
        self, attn_mask: Array | None, key_padding_mask: Array | None, scores: tuple[int, ...], batched: bool
    ) -> list[Array]:
        """What is added to the scores (N, H, L, S)."""
        (N, H, L, S), dtype, masks = scores, self.out_proj.weight.dtype, []
        if attn_mask is not None:
            check_mask(attn_mask, "attn_mask", self)
            if attn_mask.shape not in ((L, S), (N * H, L, S)):
                raise ShapeError(f"expected attn_mask {(L, S)} or {(N * H, L, S)}, got {attn_mask.shape}", self)
            shaped = attn_mask if attn_mask.ndim == 2 else attn_mask.reshape(scores)
            masks.append(as_bias(shaped, False, dtype, scores, "attn_mask", self))
        if key_padding_mask is not None:
            check_mask(key_padding_mask, "key_padding_mask", self)
            if key_padding_mask.shape != ((N, S) if batched else (S,)):
                expected = (N, S) if batched else (S,)
                raise ShapeError(f"expected key_padding_mask {expected}, got {key_padding_mask.shape}", self)
            shaped = key_padding_mask.reshape(N, 1, 1, S)
            masks.append(as_bias(shaped, False, dtype, scores, "key_padding_mask", self))
        return [mask for mask in masks if mask is not None]

    def _with_added_keys(self, K: Array, V: Array, masks: list[Array]) -> tuple[Array, Array, list[Array]]:
        """Keys and values with the trainable one and the zeros at their end, which no mask hides."""
        N, H, _, D = K.shape
        added = []
        if self.bias_k is not None and self.bias_v is not None:
            added.append([p.data.reshape(1, H, 1, D).repeat(N, 0) for p in (self.bias_k, self.bias_v)])
        if self.add_zero_attn:
            added.append([np.zeros((N, H, 1, D), K.dtype)] * 2)
        if not added:
            return K, V, masks
        K, V = (np.concatenate([x, *(pair[i] for pair in added)], axis=2) for i, x in enumerate((K, V)))
        return K, V, [np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, len(added))]) for mask in masks]


def project(x: Array, W: Array, b: Array | None) -> Array:
    """x Wᵀ + b, (·, ·, features) -> (·, ·, E)."""
    y = product(as_rows(x), W)
    if b is not None:
        y += b
    return y.reshape(*x.shape[:2], len(W))


def thirds(x: Array) -> list[Array]:
    """Views of what stands side by side on the last axis for the query, the key and the value."""
    E = x.shape[-1] // 3
    return [x[..., :E], x[..., E : 2 * E], x[..., 2 * E :]]
