"""The checks of optimizers: with identical gradients, both sides are compared at every step of a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from conformance.cases.optimizers import OptimizerCase, optimizer_cases
from conformance.checks.refusals import accepted
from conformance.checks.registry import check
from conformance.comparison.answers import Answer
from conformance.comparison.histories import off_scale
from conformance.comparison.rule import arrays_of
from conformance.divergences import ABSENT
from conformance.frameworks import Lacking, under_test
from conformance.results.census import Note
from conformance.rows import OptimizerRow
from conformance.strategies.offered import offered
from numpyml.typing import Array


def _words(answers: Iterable[Answer]) -> list[str]:
    return sorted(map(str, answers))


@check(rows=OptimizerRow, needs=("state",), examples=64, covers=True)
def trajectory(case: OptimizerCase, note: Note) -> None:
    """Every parameter and every state array at every step: float64 within 1e-12 of its scale, or as far as roundings
    alone move PyTorch's; float32 by the rule, of large arrays a sample."""
    if not accepted(case, note):
        return
    problem = case.problem()
    if case.dtype == np.float32:
        note.judge(case.sampled(), case.dtype, case.seed)
        return
    arrays = arrays_of(problem, np.dtype(np.float64))
    ours, theirs = case.ours(arrays), case.torch(arrays)
    note.require(ours.keys() == theirs.keys(), f"state arrays {_words(ours)}, PyTorch has {_words(theirs)}")
    movement: dict[Answer, Array] = {}
    for answer, expected in theirs.items():
        verdict = off_scale(answer, ours[answer], expected)
        if verdict.failure:  # unless PyTorch's own trajectory moves as far when its roundings fall otherwise
            movement = movement or case.movement(arrays, theirs)
            verdict = off_scale(answer, ours[answer], expected, movement[answer])
        if verdict.failure:
            note.fail(verdict.failure, verdict.error)
        else:
            note.record(verdict.compared, verdict.error)
    if case.steps > 20 and case.kind != "zero":
        first = next((answer for answer, x in theirs.items() if x[0].size), None)
        if first is not None:
            title = f"{case.row.name}, one number of {first}, {case.kind} gradients"
            note.curve(title, *(x[first].reshape(case.steps, -1)[:, 0] for x in (ours, theirs)))


def _offered_precision(dtype: Any) -> np.dtype[Any]:
    """A precision, if the framework offers it."""
    if np.dtype(dtype).name not in offered().dtypes:
        raise Lacking(f"no {np.dtype(dtype)}")
    return np.dtype(dtype)


@check(rows=OptimizerRow, cases=lambda row, profile: optimizer_cases(row, profile.steps), needs=("state",), examples=5)
def long_trajectory(case: OptimizerCase, note: Note) -> None:
    """The same in float64 over 1,100 steps, or 10,000 in the thorough profile."""
    case.dtype = _offered_precision(np.float64)
    trajectory(case, note)


@check(rows=OptimizerRow, needs=("state",), examples=8, sensitivity=("float32",))
def optimizer_resolution(case: OptimizerCase, note: Note) -> None:
    """Sensitivity in float32: errors of 1, 2, 4, ... units in the last place are planted in single elements of a
    trajectory; one of 64 must be detected after few roundings. In float64 it is 1e-12 of the scale."""
    case.dtype = _offered_precision(np.float32)
    if accepted(case, note):
        note.plant(case.sampled(), case.dtype, case.seed)


@check(rows=OptimizerRow, needs=("state", "save", "restore"))
def restart(case: OptimizerCase, note: Note) -> None:
    """Saved after half of the steps and loaded into a new optimizer, it continues with the same bits."""
    if accepted(case, note):
        arrays = case.exact
        straight, resumed = case.ours(arrays), case.ours(arrays, case.steps // 2)
        for name, expected in straight.items():
            note.same(f"{name} after a restart", resumed[name], expected)


@check(rows=OptimizerRow, needs=("state", "zero_gradients"), examples=16)
def gradients_zeroed(case: OptimizerCase, note: Note) -> None:
    """zero_grad fills the gradients with zeros; a step writes to no gradient."""
    if accepted(case, note):
        framework = under_test()
        stepper, _, gradients = case.make(framework)
        framework.step(stepper)
        for i, g in enumerate(gradients):
            note.same(f"gradient {i} after a step", g, case.exact[f"gradient {i}"][0])
        framework.zero_gradients(stepper)
        for i, g in enumerate(gradients):
            note.same(f"gradient {i} after zero_grad", g, np.zeros_like(g))


@check(rows=OptimizerRow, needs=("optimizer_state_dict",), examples=16)
def optimizer_state_dict(case: OptimizerCase, note: Note) -> None:
    """The state dict has PyTorch's keys, options, parameter indices and names of state arrays."""
    if accepted(case, note):
        framework = under_test()
        stepper, *_ = case.make(framework)
        theirs, _ = case.make_torch(case.exact)
        framework.step(stepper)
        theirs.step()
        ours, expected = _keys(framework.optimizer_state_dict(stepper)), _keys(theirs.state_dict())
        note.require(ours == expected, f"the state dict has {ours}, PyTorch's has {expected}")


def _keys(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the state arrays by parameter, and the groups, without PyTorch's implementation switches."""
    state = {
        i: sorted(name for name, x in one.items() if x is not None and name != "step")
        for i, one in saved["state"].items()
    }
    groups = [
        {name: x for name, x in group.items() if name == "params" or name not in ABSENT}
        for group in saved["param_groups"]
    ]
    return {**saved, "state": {i: names for i, names in state.items() if names}, "param_groups": groups}
