"""Two or more cores for work that falls into independent pieces. NumPy lets go of the interpreter while it computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
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


def for_each(pieces: int, work: Callable[[Iterator[int]], None]) -> None:
    """Run ``work`` on every core, each with an iterator that gives it the next piece nobody has taken yet."""
    left = deque(range(pieces))

    def next_piece() -> int | None:
        try:
            return left.popleft()  # one bytecode's work: no lock is needed
        except IndexError:
            return None

    jobs = [_pool(os.getpid()).submit(work, iter(next_piece, None)) for _ in range(min(threads(), pieces) - 1)]
    work(iter(next_piece, None))
    for job in jobs:
        if not job.cancel():  # one that has not started by now has nothing left to do
            job.result()
