"""Faults in the checks: each returns early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance import runner
from faults import Wrong, seen_by

EACH = "harness/test_each_check.py"


def check_is(name: str, run: Callable[..., None]) -> Wrong:
    """``runner.jobs`` with another function as this check."""

    def wrong(right: Any) -> Any:
        def jobs(profile: str = "default") -> Any:
            return {
                task: replace(job, check=replace(job.check, run=run)) if task.check == name else job
                for task, job in right(profile).items()
            }

        return jobs

    return wrong


def returns_early(name: str) -> tuple[str, Any, str, Wrong]:
    def run(case: Any, note: Any) -> None:
        note.record(1)

    run.__name__ = name
    return f"the check {name} returns early", runner, "jobs", check_is(name, run)


FAULTS = [
    *(
        fault
        for name in dict.fromkeys(task.check for task in runner.jobs())
        if name not in ("buffers", "state_after_every_call")
        for fault in seen_by(f"{EACH}::test_check_fails_where_its_subject_is_wrong[{name}]", returns_early(name))
    ),
]
