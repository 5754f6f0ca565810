"""The checks of learning-rate schedules: the rates of every group are compared with PyTorch's at every step."""

from __future__ import annotations

import numpy as np

from conformance.cases.schedulers import SchedulerCase
from conformance.checks.refusals import invalid_options, same_refusal
from conformance.checks.registry import check
from conformance.errors import Mismatch
from conformance.frameworks import pytorch, under_test
from conformance.results.census import Note
from conformance.rows import SchedulerRow

RATES = ("optimizer", "scheduler", "scheduler_step", "rates")


def accepted(case: SchedulerCase) -> bool:
    """Whether PyTorch accepts these options; where it refuses them, so must the framework."""
    try:
        case.make(under_test())
    except getattr(under_test(), "REJECTIONS", ()) as refusal:
        if not case.refusal:
            raise Mismatch(f"PyTorch accepts these options, they are refused: {refusal}") from refusal
        return False
    if case.refusal:
        raise Mismatch(f"PyTorch refuses these options ({case.refusal}), they are accepted")
    return True


@check(rows=SchedulerRow, needs=RATES, examples=48, covers=True)
def schedule(case: SchedulerCase, note: Note) -> None:
    """The learning rate of every group, and its momentum or betas, at every step: PyTorch's to the last bit. A rate
    that PyTorch's rounding takes below 0 is 0."""
    if not accepted(case):
        note.record(1)
        return
    ours, theirs = case.ours(), case.torch()
    note.require(sorted(ours) == sorted(theirs), f"the groups have {sorted(ours)}, PyTorch's have {sorted(theirs)}")
    for name, expected in theirs.items():
        rounding = (expected < 0) & (expected > -1e-16)
        note.same(f"{name} at step", ours[name], np.where(rounding, 0.0, expected))


@check(rows=SchedulerRow, needs=(*RATES, "save", "restore"), examples=16)
def schedule_restart(case: SchedulerCase, note: Note) -> None:
    """Saved after half of the steps and restored into a new optimizer and schedule, it continues with the same bits."""
    if accepted(case):
        straight, resumed = case.ours(), case.ours(case.steps // 2)
        for name, expected in straight.items():
            note.same(f"{name} after a restart, at step", resumed[name], expected)


@check(rows=SchedulerRow, needs=(*RATES, "REJECTIONS"), examples=8)
def scheduler_rejections(case: SchedulerCase, note: Note) -> None:
    """An invalid option that PyTorch refuses, at construction or at a step, is refused by an error of its own."""
    if accepted(case):
        for invalid, options in invalid_options(case.options):
            changed = case.with_options(options)
            same_refusal(
                case.row.name, note, invalid, lambda c=changed: c.run(under_test()), lambda c=changed: c.run(pytorch)
            )
