"""Reference of scaled dot-product attention: output and gradients."""

from __future__ import annotations

import numpy as np

from conformance.references.arithmetic import Wide, total, wide
from conformance.references.kinds import Arrays, Mask, Options, masked, named
from numpyml.typing import Array


@masked
def attention(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """P = softmax(s QKᵀ + M), y = (P ⊙ D) V, D the mask of dropout.

    The gradient of a score is gSᵢ = Pᵢ Σⱼ Pⱼ (gPᵢ − gPⱼ), which has no 1 − P.
    """
    Q, K, V, *_ = inputs.values()
    shared = Q.shape[-3] // K.shape[-3] if options["enable_gqa"] else 1
    if shared > 1:
        K, V = (np.repeat(x, shared, -3) for x in (K, V))
    s = 1 / np.sqrt(Wide(Q.shape[-1])) if options["scale"] is None else Wide(options["scale"])
    S = s * (Q @ K.swapaxes(-1, -2))
    M = inputs.get("x3", options.get("attn_mask"))
    if options["is_causal"]:
        M = np.tril(np.ones(S.shape[-2:], bool))
    if M is not None:
        S = S + (np.where(M, Wide(0), -Wide(np.inf)) if M.dtype == bool else wide(M))
    largest = S.max(axis=-1, keepdims=True)
    E = np.exp(S - np.where(largest == -np.inf, 0, largest))
    sums = total(E, (-1,), keepdims=True)
    P = E / np.where(sums == 0, 1, sums)
    D = np.ones_like(P) if mask is None else wide(mask(options["dropout_p"], P.shape))
    gP = (gy @ V.swapaxes(-1, -2)) * D
    gS = P * total(P[..., np.newaxis, :] * (gP[..., :, np.newaxis] - gP[..., np.newaxis, :]), (-1,))
    gK, gV = s * (gS.swapaxes(-1, -2) @ Q), (P * D).swapaxes(-1, -2) @ gy
    if shared > 1:
        gK, gV = (
            total(g.reshape(*g.shape[:-3], g.shape[-3] // shared, shared, *g.shape[-2:]), (-3,)) for g in (gK, gV)
        )
    gM = []
    if "x3" in inputs:
        shape = (1,) * (gS.ndim - inputs["x3"].ndim) + inputs["x3"].shape
        broadcast = tuple(i for i, n in enumerate(shape) if n == 1)
        gM = [total(gS, broadcast, keepdims=True).reshape(inputs["x3"].shape)]
    return named(inputs, (P * D) @ V, s * (gS @ K), gK, gV, *gM)
