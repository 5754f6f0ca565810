"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from numpyml.autograd import tape
from numpyml.errors import OptionError, ShapeError
from numpyml.kernels.attention import attend, attend_in_parts, attention_gradients
from numpyml.kernels.products import as_rows, product
from numpyml.kernels.sums import over_rows
from numpyml.nn import init
from numpyml.nn.layers.attention import dropout_mask, mask_bias
from numpyml.nn.layers.dense import Dense
from numpyml.nn.layers.dropout import new_mask
from numpyml.nn.module import Module, as_floats, as_optional
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, generator_or_none, integer, number, require
from numpyml.typing import Array


class MultiheadAttention(Module):
    """Attention in several subspaces at once, each with its own projections.

        Q = query W_qᵀ + b_q,   K = key W_kᵀ + b_k,   V = value W_vᵀ + b_v,   each split into H heads of E/H features
        head = softmax(Q Kᵀ / √(E/H) + M) V
        output = [head₁ ... head_H] W_oᵀ + b_o

    The gradients of one head are those of :class:`ScaledDotProductAttention`, those of a projection those of Dense.

    Args:
        embed_dim: E, of the query and the output.
        num_heads: H, which divides E.
        dropout: while training, the probability that a weight is dropped; the others are scaled by 1/(1 − p).
        bias: whether the projections have biases.
        add_bias_kv: append a trainable key and value to every sequence.
        add_zero_attn: append a key and value of zeros to every sequence.
        kdim, vdim: features of the key and the value; E by default.
        batch_first: whether the batch is the first axis, not the second.
        dtype: of the parameters; float32 by default.
        generator: of initial values and dropout masks; by default the one of ``manual_seed``.

    ``forward(query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, average_attn_weights=True,
    is_causal=False)`` returns the output and the weights: their mean over the heads or, if not average_attn_weights,
    those of each head; None if not need_weights.

    Shapes: query (L, N, E), key (S, N, kdim), value (S, N, vdim), output (L, N, E); N first if batch_first; without N
        also. key_padding_mask (N, S); attn_mask (L, S) or (N·H, L, S): booleans, True where a key is *not* seen, or
        floats to add. A query that sees no key gets the weights 0. is_causal says that attn_mask is causal, and does
        not change it. Weights (N, L, S), or (N, H, L, S) of each head.
    Raises: OptionError when H does not divide E, or for is_causal without attn_mask; ShapeError and DTypeError for
        inputs and masks that do not fit.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.MultiheadAttention.
    """

    as_input = staticmethod(as_optional)

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
        nearest = next(H for H in range(min(num_heads, E), 0, -1) if E % H == 0)
        require(nearest == num_heads, self, "num_heads", num_heads, f"a divisor of embed_dim={E}, such as {nearest}")
        self.dropout = number(self, "dropout", dropout, 0, 1)
        self.bias, self.add_bias_kv = flag(self, "bias", bias), flag(self, "add_bias_kv", add_bias_kv)
        self.add_zero_attn = flag(self, "add_zero_attn", add_zero_attn)
        self.batch_first = flag(self, "batch_first", batch_first)
        self.kdim = None if kdim is None else integer(self, "kdim", kdim, 1)
        self.vdim = None if vdim is None else integer(self, "vdim", vdim, 1)
        self.dtype, self.generator = dtype, generator_or_none(self, "generator", generator)
        widths = self._widths()

        def parameter(*shape: int) -> Parameter:
            return Parameter(np.zeros(shape), dtype=dtype)

        joint = widths == (E, E, E)  # PyTorch's names: one matrix where the three have one shape
        self.in_proj_weight = parameter(3 * E, E) if joint else None
        self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (
            None if joint else parameter(E, width) for width in widths
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
                "expected an attn_mask where is_causal=True, got attn_mask=None; is_causal says that the mask is "
                "causal and makes none: pass attn_mask=np.triu(np.ones((L, L), bool), 1)",
                self,
            )
        xs = self._inputs(query, key, value)
        Q, K, V = map(self._split, self._projected(xs))
        N, H, L, D = Q.shape
        biases = self._biases(attn_mask, key_padding_mask, (N, H, L, K.shape[2]), query.ndim == 3)
        K, V, biases = self._with_added_keys(K, V, biases)
        mask = dropout_mask(self, self.dropout, (N, H, L, K.shape[2]), Q.dtype)
        O = np.empty((*xs[0].shape[:2], self.embed_dim), Q.dtype)
        keep = need_weights or tape.is_recording()
        attended = (attend if keep else attend_in_parts)(Q, K, V, 1 / sqrt(D), biases, mask, self._split(O))
        output, out_context = self.out_proj.compute(O)
        weights: Array | None = None
        if attended is not None and need_weights:
            P = attended.P if mask is None else attended.P * mask
            P = P.mean(axis=1) if average_attn_weights else P.copy()
            weights = P if query.ndim == 3 else P[0]
        context = xs, attended, out_context, query.ndim == 3, average_attn_weights
        return (output.reshape(query.shape), weights), context

    def pullback(
        self, context: Any, gys: Sequence[Array], needs_input_grad: Sequence[bool]
    ) -> tuple[Array | None, ...]:
        xs, attended, out_context, batched, average = context
        (N, H, L, D), keys = attended.Q.shape, attended.K.shape[2]
        E, along = H * D, 1 if self.batch_first else 0
        gO = cast("Array", self.out_proj.pullback(out_context, gys[0].reshape((*xs[0].shape[:2], E))))
        gP = (
            gys[1].reshape(N, 1 if average else H, L, keys) / gys[1].dtype.type(H if average else 1)
            if len(gys) > 1
            else None
        )
        # gQ, gK and gV, side by side where they are equally long, as the projections of one x are
        joint = np.empty((*self._order(N, L), 3 * E), gO.dtype) if keys == L else None
        gs = [np.empty((*self._order(N, n), E), gO.dtype) for n in (L, keys, keys)] if joint is None else thirds(joint)
        attention_gradients(attended, self._split(gO), gP, 1 / sqrt(D), *map(self._split, gs))
        length = xs[1].shape[along]
        for extra, g in ((self.bias_k, gs[1]), (self.bias_v, gs[2])):
            if extra is not None:
                extra.accumulate(g.take(length, along).sum(axis=0).reshape(extra.shape))
        if keys > length:  # without the added keys
            gs = [gs[0], *(g[:, :length] if self.batch_first else g[:length] for g in gs[1:])]
        rows = [as_rows(g) for g in gs]
        if self.in_proj_bias is not None:
            gb = np.concatenate([over_rows(r) for r in rows])
            if keys == length:  # b_k adds the same to all scores of a query: softmax does not change, the gradient is 0
                gb[E : 2 * E] *= 0
            self.in_proj_bias.accumulate(gb)
        if joint is not None and self.in_proj_weight is not None and xs[0] is xs[1] is xs[2]:
            self.in_proj_weight.accumulate_product(as_rows(joint).T, as_rows(xs[0]))
        else:
            for x, r, (weight, part) in zip(xs, rows, self._projections(), strict=True):
                weight.accumulate_product(r.T, as_rows(x), part)
        gxs: list[Array | None] = []
        for x, r, (weight, part), needed in zip(xs, rows, self._projections(), needs_input_grad, strict=False):
            gx = (r @ weight.data[part]).reshape(x.shape) if needed else None
            gxs.append(gx if gx is None or batched else gx.squeeze(1 - along))
        return (*gxs, *[None] * (len(needs_input_grad) - 3))

    def mask(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A new dropout mask: 1/(1 − p) or 0 for each weight."""
        return new_mask(self.dropout, shape, dtype, self.generator)

    def _widths(self) -> tuple[int, int, int]:
        """Features of query, key and value."""
        E = self.embed_dim
        return E, E if self.kdim is None else self.kdim, E if self.vdim is None else self.vdim

    def _inputs(self, query: Array, key: Array, value: Array) -> list[Array]:
        """The three in the parameters' dtype, with a batch axis: (N, L, ·) if batch_first, else (L, N, ·)."""
        dtype = self.out_proj.weight.dtype
        same = query is key is value
        first = as_floats(query, dtype, self, "query")
        others = [first] * 2 if same else [as_floats(key, dtype, self, "key"), as_floats(value, dtype, self, "value")]
        xs = [first, *others]
        self._check_shapes(*xs)
        if query.ndim == 3:
            return xs
        batches = [np.expand_dims(x, 0 if self.batch_first else 1) for x in xs]
        return batches[:1] * 3 if same else batches

    def _check_shapes(self, query: Array, key: Array, value: Array) -> None:
        batch = 0 if self.batch_first else 1
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            remedy = "give all three a batch axis, or none of them"
        elif (query.shape[-1], key.shape[-1], value.shape[-1]) != self._widths():
            remedy = "project them to these widths, or build the layer with another embed_dim, kdim and vdim"
        elif key.shape[:-1] != value.shape[:-1]:
            remedy = "give each key one value"
        elif query.ndim == 3 and query.shape[batch] != key.shape[batch]:
            remedy = f"give all three the same batch size on axis {batch}, or set batch_first={not self.batch_first}"
        else:
            return
        order = "(N, L, ·) or (L, ·)" if self.batch_first else "(L, N, ·) or (L, ·)"
        raise ShapeError(
            f"expected query, key and value {order} with {self._widths()} features, key and value equally long, "
            f"got {query.shape}, {key.shape} and {value.shape}; {remedy}",
            self,
        )

    def _projections(self) -> list[tuple[Parameter, slice]]:
        """The matrices of the three projections: a parameter, and a slice of its rows."""
        if self.in_proj_weight is not None:
            E = self.embed_dim
            return [(self.in_proj_weight, slice(i * E, (i + 1) * E)) for i in range(3)]
        matrices = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return [(weight, slice(None)) for weight in matrices if weight is not None]

    def _projected(self, xs: list[Array]) -> list[Array]:
        """Q, K and V, (·, ·, E); of one x by one matrix they are one product."""
        bias = None if self.in_proj_bias is None else self.in_proj_bias.data
        if self.in_proj_weight is not None and xs[0] is xs[1] is xs[2]:
            return thirds(project(xs[0], self.in_proj_weight.data, bias))
        biases = [None] * 3 if bias is None else thirds(bias)
        return [project(x, W.data[rows], b) for x, (W, rows), b in zip(xs, self._projections(), biases, strict=True)]

    def _order(self, N: int, L: int) -> tuple[int, int]:
        return (N, L) if self.batch_first else (L, N)

    def _split(self, x: Array) -> Array:
        """The heads: a view (N, H, L, E/H) of (N, L, E) or (L, N, E)."""
        heads = x.reshape(*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)
        return heads.transpose((0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def _biases(
        self, attn_mask: Array | None, key_padding_mask: Array | None, scores: tuple[int, ...], batched: bool
    ) -> list[Array]:
        """What is added to the scores (N, H, L, S)."""
        (N, H, L, S), dtype, biases = scores, self.out_proj.weight.dtype, []
        if attn_mask is not None:
            bias = mask_bias(attn_mask, False, "attn_mask", dtype, self)
            if bias.shape not in ((L, S), (N * H, L, S)):
                raise ShapeError(
                    f"expected attn_mask {(L, S)} or {(N * H, L, S)}, got {attn_mask.shape}; pass one row for each "
                    f"query and one column for each key, for all or for each of batch * num_heads = {N * H}",
                    self,
                )
            biases.append(bias if bias.ndim == 2 else bias.reshape(scores))
        if key_padding_mask is not None:
            bias = mask_bias(key_padding_mask, False, "key_padding_mask", dtype, self)
            expected = (N, S) if batched else (S,)
            if bias.shape != expected:
                raise ShapeError(
                    f"expected key_padding_mask {expected}, got {key_padding_mask.shape}; pass one entry for each key"
                    + (" of each sequence, the batch first" if batched else ""),
                    self,
                )
            biases.append(bias.reshape(N, 1, 1, S))
        return biases

    def _with_added_keys(self, K: Array, V: Array, biases: list[Array]) -> tuple[Array, Array, list[Array]]:
        """Keys and values with the trainable and the zero ones appended, which no mask hides."""
        N, H, _, D = K.shape
        added = []
        if self.bias_k is not None and self.bias_v is not None:
            added.append([p.data.reshape(1, H, 1, D).repeat(N, 0) for p in (self.bias_k, self.bias_v)])
        if self.add_zero_attn:
            added.append([np.zeros((N, H, 1, D), K.dtype)] * 2)
        if not added:
            return K, V, biases
        K, V = (np.concatenate([x, *(pair[i] for pair in added)], axis=2) for i, x in enumerate((K, V)))
        return K, V, [np.pad(b, [(0, 0)] * (b.ndim - 1) + [(0, len(added))]) for b in biases]


def project(x: Array, W: Array, b: Array | None) -> Array:
    """x Wᵀ + b, (·, ·, features) -> (·, ·, E)."""
    y = product(as_rows(x), W)
    if b is not None:
        y += b
    return y.reshape(*x.shape[:2], len(W))


def thirds(x: Array) -> list[Array]:
    """Views of the three equal parts of the last axis, of the query, the key and the value."""
    E = x.shape[-1] // 3
    return [x[..., :E], x[..., E : 2 * E], x[..., 2 * E :]]
