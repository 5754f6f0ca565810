"""Scaled dot-product attention and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from numpyml.kernels import thresholds
from numpyml.kernels.sums import row_sums
from numpyml.typing import Array


class Attended(NamedTuple):
    """What the gradients need. P is kept: to compute it again would cost a product and an exponential."""

    Q: Array
    K: Array
    V: Array
    P: Array
    top: Array  # the flat index of each row's largest score, (..., L, 1)
    mask: Array | None  # of Dropout


def attend(Q: Array, K: Array, V: Array, s: float, biases: Sequence[Array], mask: Array | None, O: Array) -> Attended:
    """Scaled dot-product attention, written into O.

        P = softmax(s Q Kᵀ + Σ biases)
        O = (P ⊙ mask) V

    A query that may see no key gets zeros.

    Shapes: Q (..., L, E), K (..., S, E), V (..., S, Ev), O (..., L, Ev), mask (..., L, S), all with the same leading
        axes; biases broadcast to (..., L, S).
    """
    many = Q.shape[-2] > thresholds.FEW_QUERIES
    P = Q @ scaled_transpose(K, s) if many else (Q * Q.dtype.type(s)) @ K.swapaxes(-1, -2)
    for bias in biases:
        P += bias
    top = softmax_in_place(P, masked=bool(biases))
    np.matmul(P if mask is None else P * mask, V, out=O)
    return Attended(Q, K, V, P, top, mask)


def attention_gradients(
    context: Attended, gO: Array, gP: Array | None, s: float, gQ: Array, gK: Array, gV: Array
) -> Array:
    """The gradients of :func:`attend`, written into gQ, gK and gV; returns gS, that of the scores.

    gV = (P ⊙ mask)ᵀ gO
    gP = (gO Vᵀ + gP) ⊙ mask            on the right the gradient of P ⊙ mask from elsewhere, or None
    gS = P ⊙ (gP − Σ P gP)
    gQ = s gS K,   gK = s gSᵀ Q

    A row of gS adds up to 0. Where its largest P is above 1/2, the element there is minus the sum of the others, so
    that nothing cancels where P is nearly 1.
    """
    Q, K, V, P, top, mask = context
    np.matmul((P if mask is None else P * mask).swapaxes(-1, -2), gO, out=gV)
    gS = gO @ scaled_transpose(V)
    if gP is not None:
        gS += gP
    if mask is not None:
        gS *= mask
    gS -= np.einsum("...s,...s->...", P, gS)[..., np.newaxis]
    gS *= P
    if P.shape[-1] > 1:
        near = top[P.take(top) > 0.5]
        if near.size:
            gS.put(near, 0)
            gS.put(near, -row_sums(gS.reshape(-1, P.shape[-1]))[near // P.shape[-1]])
    np.matmul(gS, K, out=gQ)
    gQ *= gQ.dtype.type(s)
    np.matmul(gS.swapaxes(-1, -2), Q, out=gK)
    gK *= gK.dtype.type(s)
    return gS


def attend_in_parts(
    Q: Array, K: Array, V: Array, s: float, biases: Sequence[Array], mask: Array | None, O: Array
) -> None:
    """:func:`attend` without a context, a part of the batch at a time, so that the scores stay in the cache.

    BLAS may add in another order where the number of matrices differs, so the last bits may differ.
    """
    scores = prod(Q.shape[1:-1]) * K.shape[-2]  # of each element of the batch
    if Q.ndim == 2 or len(Q) * scores <= thresholds.CACHED_SCORES:
        attend(Q, K, V, s, biases, mask, O)
        return
    batch, length = len(Q), max(1, thresholds.CACHED_SCORES // scores)
    for start in range(0, batch, length):
        part = slice(start, start + length)
        of_part = [bias[part] if bias.ndim == Q.ndim and len(bias) == batch else bias for bias in biases]
        attend(Q[part], K[part], V[part], s, of_part, None if mask is None else mask[part], O[part])


def softmax_in_place(S: Array, masked: bool) -> Array:
    """softmax(S) = exp(S − max S) / Σ exp(S − max S) along the last axis; zeros for a row of −∞, if ``masked``.

    Returns: the flat index of each row's maximum, (..., 1).
    """
    keys = S.shape[-1]
    if not keys:
        return np.zeros((*S.shape[:-1], 1), np.intp)
    top = row_argmaxima(S)
    largest = S.take(top)  # argmax and take need half the time that max does
    if masked:
        largest[largest == -np.inf] = 0
    S -= largest
    np.exp(S, out=S)
    total = row_sums(S.reshape(-1, keys)).reshape(largest.shape)
    if masked:
        total[total == 0] = 1
    S /= total
    return top


def row_argmaxima(S: Array) -> Array:
    """The flat index of the maximum of each row, (..., 1)."""
    indices = S.argmax(axis=-1)[..., np.newaxis]
    indices += np.arange(0, S.size, S.shape[-1]).reshape(indices.shape)
    return indices


def scaled_transpose(K: Array, s: float = 1.0) -> Array:
    """s Kᵀ, (..., S, E) -> (..., E, S), contiguous: BLAS multiplies by it twice as fast as by a view."""
    return np.multiply(K.swapaxes(-1, -2), K.dtype.type(s), order="C")


def causal_bias(queries: int, keys: int, dtype: Any) -> Array:
    """Added to scores, it lets query i see the keys 0 to i: 0 there, −∞ beyond. (queries, keys)."""
    return np.triu(np.full((queries, keys), -np.inf, dtype), 1)
