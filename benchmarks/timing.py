"""Time a step inside a worker process, and print the measurements as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import SupportsFloat

from benchmarks.cases import Case

Step = Callable[[], SupportsFloat]


def report(make: Callable[[Case], Step], case: Case, seconds: float) -> None:
    """Build the case, run its step to warm up, then for ``seconds``; print medians.

    The peak of memory is that of the first steps, less the memory of the model and its data. For a training step it
    includes the gradients and the optimizer's state, which both frameworks first write there.
    """
    make(case.small)()
    step = make(case)
    before = resident_from_now_on()
    for _ in range(3):
        step()
    peak = peak_of_resident() - before
    deadline = time.perf_counter() + seconds / 4
    while time.perf_counter() < deadline:
        step()
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
            "peak_mib": peak,
            "loss": float(loss),
        },
        sys.stdout,
    )


def resident_from_now_on() -> float:
    """Reset the peak of resident memory, and return the resident MiB; NaN where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5)
    except OSError:
        return float("nan")
    return peak_of_resident()


def peak_of_resident() -> float:
    """MiB, of Linux's VmHWM; NaN elsewhere."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
