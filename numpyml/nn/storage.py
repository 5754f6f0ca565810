"""Memory of parameters: contiguous, each gradient at the same offset of a buffer of its own.

Parameters allocated one after the other are contiguous in memory, so an optimizer updates a whole model in a few
passes over one long array instead of a few calls for every parameter. Nothing else depends on it.
"""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

from numpyml.kernels import thresholds
from numpyml.typing import Array

_ALIGNMENT = 64  # bytes: a cache line, and a register of AVX-512


class _Chunk:
    """Two buffers of one length, allocated from the front."""

    def __init__(self, nbytes: int) -> None:
        self.buffers = [_aligned_zeros(nbytes), _aligned_zeros(nbytes)]
        self.size = nbytes
        self.used = 0


_current: dict[np.dtype[Any], _Chunk] = {}
_lock = threading.Lock()


def _aligned_zeros(nbytes: int) -> Array:
    buffer = np.zeros(nbytes + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + nbytes]


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Two arrays of zeros, for a parameter and its gradient."""
    nbytes = prod(shape) * dtype.itemsize
    padded = -(-nbytes // _ALIGNMENT) * _ALIGNMENT
    with _lock:
        chunk = _current.get(dtype)
        if chunk is None or chunk.used + padded > chunk.size:
            chunk = _current[dtype] = _Chunk(max(padded, thresholds.CHUNK_BYTES))
        start, chunk.used = chunk.used, chunk.used + padded
    data, grad = (b[start : start + nbytes].view(dtype).reshape(shape) for b in chunk.buffers)
    return data, grad


def start_chunks() -> None:
    """Let the next parameter of each dtype start a new chunk."""
    with _lock:
        _current.clear()


def are_contiguous(a: Array, b: Array) -> bool:
    """Whether b directly follows a in memory; both have to be arrays that ``allocate`` returned, not views of them."""
    return (
        a.base is not None
        and a.base is b.base
        and a.dtype == b.dtype
        and b.ctypes.data == a.ctypes.data + -(-a.nbytes // _ALIGNMENT) * _ALIGNMENT
    )


def span(first: Array, last: Array) -> Array:
    """One flat view from ``first`` to ``last``, padding included; the arrays in between are contiguous."""
    base: Any = first.base
    start = first.ctypes.data - base.ctypes.data
    stop = last.ctypes.data + last.nbytes - base.ctypes.data
    flat: Array = base[start:stop].view(first.dtype)
    return flat
