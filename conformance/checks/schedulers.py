"""The checks of learning-rate schedules: the rates of every group are compared with PyTorch's at every step."""

from __future__ import annotations

import numpy as np

from conformance.cases.schedulers import SchedulerCase
from conformance.checks.modules import needs
from conformance.checks.refusals import alike, spoilt_options
from conformance.errors import Mismatch
from conformance.frameworks import pytorch, under_test
from conformance.results.census import Note


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


@needs("optimizer", "scheduler", "scheduler_step", "rates")
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


@needs("optimizer", "scheduler", "scheduler_step", "rates", "save", "restore")
def schedule_restart(case: SchedulerCase, note: Note) -> None:
    """Saved after half of the steps and restored into a new optimizer and schedule, it continues with the same bits."""
    if accepted(case):
        straight, resumed = case.ours(), case.ours(case.steps // 2)
        for name, expected in straight.items():
            note.same(f"{name} after a restart, at step", resumed[name], expected)


@needs("optimizer", "scheduler", "scheduler_step", "rates", "REJECTIONS")
def scheduler_rejections(case: SchedulerCase, note: Note) -> None:
    """An invalid option that PyTorch refuses, at construction or at a step, is refused by an error of its own."""
    if accepted(case):
        for invalid, options in spoilt_options(case.options):
            changed = case.with_options(options)
            alike(case.row.name, note, invalid, lambda c=changed: c.run(under_test()), lambda c=changed: c.run(pytorch))


SCHEDULER_CHECKS = [schedule, schedule_restart, scheduler_rejections]
