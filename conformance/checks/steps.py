"""The checks of high step counts, of optimizers and schedules."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from conformance.cases.optimizers import OptimizerCase, optimizer_cases
from conformance.cases.schedulers import SchedulerCase, scheduler_cases
from conformance.checks.refusals import accepted
from conformance.checks.registry import check
from conformance.checks.schedulers import schedule
from conformance.comparison.answers import state
from conformance.comparison.histories import off_scale
from conformance.errors import Mismatch
from conformance.frameworks import numpyml, pytorch
from conformance.results.census import Note
from conformance.rows import OptimizerRow, SchedulerRow
from conformance.strategies.coverage import Strategy

# Shortly before 1,000 steps, and before and after what 12, 15, 16, 31 and 32 bits hold: a count that wraps is small,
# and the bias corrections are those of the first steps.
COUNTS = (998, 4_094, 32_766, 32_769, 65_534, 65_537, (1 << 31) - 3, (1 << 31) + 1, (1 << 32) + 1)
STEPS = 4  # after such a count
LONG = 1_100  # steps of a schedule


@check(rows=OptimizerRow, cases=lambda row, _: optimizer_cases(row, STEPS), numpyml_only=True, examples=12)
def high_step_counts(case: OptimizerCase, note: Note) -> None:
    """A state dict whose step counts are set high is loaded into both optimizers: parameters and state of the next
    steps in float64, within 1e-12 of their scale. Bias corrections depend on the count."""
    if not accepted(case, note):
        return
    case.dtype = np.dtype(np.float64)
    for count in COUNTS:
        _compare_after(count, case, note)


def _compare_after(count: int, case: OptimizerCase, note: Note) -> None:
    """Both optimizers after this number of steps."""
    ours, parameters, gradients = case.make(numpyml)
    theirs, peers = case.make_torch(case.exact)
    for optimizer in (ours, theirs):
        optimizer.step()
        optimizer.load_state_dict(_counted(optimizer.state_dict(), count))
    for step in range(1, STEPS):
        for i, (g, peer) in enumerate(zip(gradients, peers, strict=True)):
            g[...] = case.exact[f"gradient {i}"][step]
            peer.grad = pytorch.tensor(g)
        ours.step()
        theirs.step()
        for i, (p, peer, known) in enumerate(zip(parameters, peers, numpyml.state(ours), strict=True)):
            arrays = {"parameter": peer, **theirs.state[peer]}
            for name, x in {"parameter": p, **known}.items():
                verdict = off_scale(state(name, i), x[np.newaxis], pytorch.array(arrays[name])[np.newaxis])
                if verdict.failure:
                    raise Mismatch(f"after {count} steps: {verdict.failure}")
                note.record(verdict.compared, verdict.error)


def _counted(saved: dict[str, Any], count: int) -> dict[str, Any]:
    """A copy of a state dict with this step count wherever it has one."""
    changed = deepcopy(saved)
    for one in changed["state"].values():
        if "step" in one:
            one["step"] = one["step"] * 0 + count
    return changed


def _long(row: SchedulerRow) -> Strategy[SchedulerCase]:
    return scheduler_cases(row).map(
        lambda case: SchedulerCase(row, case.options, case.optimizer, case.groups, LONG, case.seed)
    )


def _has_no_end(row: SchedulerRow) -> bool:
    return "total_steps" not in row.options


@check(rows=SchedulerRow, where=_has_no_end, cases=lambda row, _: _long(row), examples=8)
def long_schedule(case: SchedulerCase, note: Note) -> None:
    """The learning rate, momentum and betas over 1,100 steps: PyTorch's to the last bit."""
    schedule(case, note)
