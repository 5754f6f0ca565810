"""Two or more cores for work that falls into independent pieces. NumPy lets go of the interpreter while it computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


@lru_cache(maxsize=1)
def threads() -> int:
    """How many threads to use: OMP_NUM_THREADS where it is set, as BLAS does, else the cores of this process."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The pool of this process: one inherited by a fork has no threads."""
    from concurrent.futures import ThreadPoolExecutor  # only large models need it

    return ThreadPoolExecutor(threads() - 1, thread_name_prefix="numpyml")


def for_each(pieces: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(first, last)`` on consecutive shares of ``range(pieces)``, one on each core; this thread has one too."""
    shares = min(threads(), pieces)
    bounds = [pieces * i // shares for i in range(shares + 1)]
    jobs = [_pool(os.getpid()).submit(work, *bounds[i : i + 2]) for i in range(1, shares)]
    work(*bounds[:2])
    for job in jobs:
        job.result()
