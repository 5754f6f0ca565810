"""Keep freed memory in the process, so that a training step does not ask the system for the same pages again.

glibc returns every array above a threshold (128 KiB at first) to the system when it is freed, and the next array of
that size is faulted in again, page by page: in large models that costs more than the arithmetic around the matrix
products. ``mallopt(3)`` is glibc's documented way to raise the thresholds. The process then keeps the memory of its
largest step until it ends. Values, other platforms and other C libraries are not affected.

The first optimizer asks for it; ``NUMPYML_KEEP_MEMORY=0`` in the environment refuses it.
"""

from __future__ import annotations

import os
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_GIB = 1 << 30


@cache  # once in a process
def keep_freed_memory() -> bool:
    """Raise the allocator's thresholds, unless the environment refuses. Returns whether they are raised."""
    if not sys.platform.startswith("linux") or os.environ.get("NUMPYML_KEEP_MEMORY", "1") == "0":
        return False
    import ctypes  # NumPy has loaded it already where it can be had

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    thresholds = ((_M_MMAP_THRESHOLD, _GIB), (_M_TRIM_THRESHOLD, _GIB), (_M_TOP_PAD, 1 << 26))
    return all(mallopt(option, value) == 1 for option, value in thresholds)
