"""Elementwise work of many passes, a block at a time: what the cache holds is not fetched from memory at every pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpyml.autograd import tape
from numpyml.typing import Array

__all__ = ["blockwise"]

Kernel = Callable[..., None]
BLOCK = 1 << 18  # bytes of each array: the fastest of 64 KiB to 512 KiB where a core has 1 MiB of its own


def blockwise(kernel: Kernel, x: Array, room: int) -> tuple[Array, Array | None]:
    """y and its slope, of a function of single elements.

    Args:
        kernel: called as ``kernel(x, y, slope, *room)`` on one block after the other: contiguous arrays of one axis.
            It writes y and slope; slope is None where nothing is recorded.
        x: floats, in any layout.
        room: how many arrays more the kernel needs to work in.
    """
    if x.dtype.itemsize == 2:
        y, slope = blockwise(kernel, x.astype(np.float32), room)
        return y.astype(x.dtype), None if slope is None else slope.astype(x.dtype)
    xs = (x if x.flags.carray else np.require(x, None, ["C", "A"])).reshape(-1)
    y = np.empty(x.shape, x.dtype)
    slope = np.empty(x.shape, x.dtype) if tape.is_recording() else None
    ys, slopes = y.reshape(-1), None if slope is None else slope.reshape(-1)
    length = BLOCK // x.dtype.itemsize
    spare = np.empty((room, min(length, x.size)), x.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, x.size, length):
            part = slice(start, start + length)
            block = xs[part]
            kernel(block, ys[part], None if slopes is None else slopes[part], *spare[:, : block.size])
    return y, slope
