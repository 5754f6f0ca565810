"""Dropout masks: PyTorch's, injected into a framework, or the framework's own, replayed in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.frameworks import pytorch
from numpyml.typing import Array


def dropout_mask(seed: int, position: int, p: float, shape: tuple[int, ...], dtype: Any) -> Array:
    """The mask that PyTorch's Dropout draws at this position in a model whose masks restart at a seed."""
    import torch

    pytorch.seed(seed % 2**31 + position)
    kind = torch.float64 if np.dtype(dtype).itemsize > 4 else torch.float32
    mask: Array = torch.nn.functional.dropout(torch.ones(shape, dtype=kind), p).numpy()
    return scaled_mask(mask, p, dtype) if np.dtype(dtype).itemsize > 8 else mask  # the scale with all its digits


def scaled_mask(mask: Array, p: float, dtype: Any) -> Array:
    """1/(1 − p) in this dtype where a mask is not 0, else 0."""
    with np.errstate(all="ignore"):
        scale = np.divide(1, np.subtract(1, p, dtype=dtype), dtype=dtype)
    return np.where(mask != 0, scale, np.dtype(dtype).type(0))


def restart_masks(module: Any, seed: int) -> None:
    """Let every Dropout inside a PyTorch module draw the masks of :func:`dropout_mask`."""
    for position, inner in enumerate(pytorch.dropout_modules(module)):

        def restart(_: Any, inputs: tuple[Any, ...], seed: int = seed % 2**31 + position) -> tuple[Any, ...]:
            pytorch.seed(seed)
            return tuple(x.contiguous() for x in inputs)  # masks are drawn in the order in which numbers lie in memory

        inner.register_forward_pre_hook(restart)


def replay_masks(module: Any, masks: Sequence[Array]) -> None:
    """Let every Dropout inside a PyTorch module drop what these masks drop, one mask each."""
    from conformance.twins.replay import Replayed

    for inner, mask in zip(pytorch.dropout_modules(module), masks, strict=True):

        def replay(*inputs: Any, forward: Any = inner.forward, mask: Array = mask, **further: Any) -> Any:
            with Replayed(mask):
                return forward(*inputs, **further)

        inner.forward = replay


def rate_of(peer: Any) -> float:
    """The share that a PyTorch module drops."""
    rate: float = next(getattr(peer, name) for name in ("p", "dropout_p", "dropout") if hasattr(peer, name))
    return rate
