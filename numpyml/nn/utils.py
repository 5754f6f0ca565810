"""Clipping of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from numbers import Real

import numpy as np

from numpyml.errors import DataError, DTypeError, kind_of
from numpyml.options import flag, list_or_none, number, positive
from numpyml.typing import Array

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(
    gradients: Iterable[Array], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients in place so that their total norm is at most ``max_norm``; return the norm before.

        n = (Σ |g|ᵖ)^(1/p) over all elements,   g ← g min(1, max_norm / (n + 1e-6))

    Args:
        gradients: arrays: ``model.gradients()``.
        max_norm: 0 or more; inf changes nothing, and returns the norm.
        norm_type: p above 0, or inf for the largest element.
        error_if_nonfinite: whether an infinite or NaN norm is a DataError, nothing changed; else it is applied.

    Source: Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063. PyTorch: nn.utils.clip_grad_norm_.
    """
    if max_norm != np.inf:
        number("clip_grad_norm_", "max_norm", max_norm)
    infinite = isinstance(norm_type, Real) and norm_type == np.inf
    p = norm_type if infinite else positive("clip_grad_norm_", "norm_type", norm_type)
    gs = _checked("clip_grad_norm_", gradients)
    total = _norm(gs, p)
    if flag("clip_grad_norm_", "error_if_nonfinite", error_if_nonfinite) and not np.isfinite(total):
        raise DataError(f"clip_grad_norm_ expected finite gradients, got a norm of {total}; look for NaN or overflow")
    factor = max_norm / (total + 1e-6)
    if not factor >= 1:  # NaN too
        with np.errstate(invalid="ignore"):
            for g in gs:
                np.multiply(g, g.dtype.type(factor), out=g)
    return total


def _checked(call: str, gradients: Iterable[Array]) -> list[Array]:
    """The gradients as a list, checked to be writable floating arrays."""
    gs = list_or_none(gradients)
    for g in [gradients] if gs is None else gs:
        if not isinstance(g, np.ndarray) or g.dtype.kind != "f" or not g.flags.writeable:
            raise DTypeError(
                f"{call} expected writable floating arrays as gradients, got {kind_of(g)}; pass model.gradients()"
            )
    return gs or []


def _norm(gs: list[Array], p: float) -> float:
    """(Σ |g|ᵖ)^(1/p) over all elements of all arrays; half precision is summed in float32."""
    gs = [g.astype(np.float32) if g.dtype.itemsize == 2 else g for g in gs]
    if p == 2:
        with np.errstate(all="ignore"):
            squares = sum(float(np.dot(flat, flat)) for flat in (g.reshape(-1) for g in gs))
        if 1e-12 < squares < np.inf:  # no overflow, and underflow is negligible beside the sum
            return sqrt(squares)
    largest = float(np.max([np.abs(g).max(initial=0) for g in gs])) if gs else 0.0
    if not 0 < largest < np.inf or p == np.inf:
        return largest
    # elements are divided by the largest, so that no power overflows
    return largest * float(np.sum([np.sum((np.abs(g) / largest) ** p, dtype=np.float64) for g in gs]) ** (1 / p))


def clip_grad_value_(gradients: Iterable[Array], clip_value: float) -> None:
    """Clip every element of every gradient to [−clip_value, clip_value], in place; NaN stays NaN.

    Args:
        gradients: arrays: ``model.gradients()``.
        clip_value: 0 or more.

    PyTorch: nn.utils.clip_grad_value_.
    """
    limit = number("clip_grad_value_", "clip_value", clip_value)
    for g in _checked("clip_grad_value_", gradients):
        np.clip(g, -limit, limit, out=g)
