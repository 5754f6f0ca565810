"""The checks of learning-rate schedules: the rates of every group are compared with PyTorch's at every step."""

from __future__ import annotations

import numpy as np

from conformance.cases.schedulers import SchedulerCase
from conformance.checks.refusals import accepted
from conformance.checks.registry import check
from conformance.results.census import Note
from conformance.rows import SchedulerRow


@check(rows=SchedulerRow, examples=48, covers=True)
def schedule(case: SchedulerCase, note: Note) -> None:
    """The learning rate of every group, and its momentum or betas, at every step: PyTorch's to the last bit. A rate
    that PyTorch's rounding takes below 0 is 0."""
    if not accepted(case, note):
        return
    ours, theirs = case.ours(), case.torch()
    note.require(sorted(ours) == sorted(theirs), f"the groups have {sorted(ours)}, PyTorch's have {sorted(theirs)}")
    for name, expected in theirs.items():
        rounding = (expected < 0) & (expected > -1e-16)
        note.same(f"{name} at step", ours[name], np.where(rounding, 0.0, expected))


@check(rows=SchedulerRow, needs=("save", "restore"), examples=16)
def schedule_restart(case: SchedulerCase, note: Note) -> None:
    """Saved after half of the steps and restored into a new optimizer and schedule, it continues with the same bits."""
    if accepted(case, note):
        straight, resumed = case.ours(), case.ours(case.steps // 2)
        for name, expected in straight.items():
            note.same(f"{name} after a restart, at step", resumed[name], expected)
