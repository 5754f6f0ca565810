"""Time one training step inside a worker process, and print what was measured as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import SupportsFloat


def report(step: Callable[[], SupportsFloat], seconds: float) -> None:
    """Run ``step`` for a while to warm up, then for ``seconds``; print its median, its page faults and its loss."""
    deadline = time.perf_counter() + seconds / 4
    warm = 0
    while time.perf_counter() < deadline or warm < 3:
        step()
        warm += 1
    times: list[float] = []
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(times) < 3:
        start = time.perf_counter()
        loss = step()
        times.append(time.perf_counter() - start)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    json.dump(
        {
            "microseconds": median(times) * 1e6,
            "steps": len(times),
            "faults": (usage.ru_minflt - faults) / len(times),
            "peak_mib": usage.ru_maxrss / 1024,
            "loss": float(loss),
        },
        sys.stdout,
    )
