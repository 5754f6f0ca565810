"""The check of numpyml's size thresholds, on modules, functions and optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conformance.cases.functions import FunctionCase
from conformance.cases.modules import ModuleCase
from conformance.cases.optimizers import OptimizerCase
from conformance.checks.optimizers import trajectory
from conformance.checks.registry import KINDS, check
from conformance.comparison.answers import Answer
from conformance.comparison.rule import Problem
from conformance.frameworks import numpyml
from conformance.results.census import Note
from conformance.rows import FunctionRow, ModuleRow, OptimizerRow
from conformance.strategies.coverage import Strategy
from conformance.strategies.thresholds import label, lowered
from numpyml import no_grad
from numpyml.typing import Array

LEAST = 6  # elements of the largest array


def _cases(row: ModuleRow | FunctionRow) -> Strategy[Any]:
    """The cases of other checks, without the smallest."""
    cases: Strategy[Any] = KINDS[FunctionRow if isinstance(row, FunctionRow) else ModuleRow].cases(row)
    return cases.filter(lambda case: max((x.values.size for x in case.named_inputs.values()), default=LEAST) >= LEAST)


@check(rows=OptimizerRow, needs=("state",), numpyml_only=True, examples=16)
@check(rows=FunctionRow, cases=lambda row, _: _cases(row), numpyml_only=True, examples=16)
@check(rows=ModuleRow, cases=lambda row, _: _cases(row), numpyml_only=True, examples=40)
def sizes(case: ModuleCase | FunctionCase | OptimizerCase, note: Note) -> None:
    """With numpyml's size thresholds set low, so that small arrays are computed as large ones: outputs, of every other
    case without a record, gradients, parameters and optimizer state, by the comparison rule."""
    if isinstance(case, OptimizerCase):
        with lowered(case.seed) as sides:
            trajectory(case, note)
    else:
        sides = set()
        note.judge(_lowered(case, sides), case.dtype, case.seed)
    note.sides |= {label(name, side, case.dtype) for name, side in sides}


def _lowered(case: ModuleCase | FunctionCase, sides: set[tuple[str, str]]) -> Problem:
    """The problem of a case, its answers computed with low thresholds; the reference is computed with numpyml's own."""
    problem = case.problem()

    def ours(arrays: Mapping[str, Array]) -> Mapping[Answer, Array]:
        with lowered(case.seed) as reached:
            answers = dict(problem.ours(arrays))
            if isinstance(case, ModuleCase) and case.seed % 2:
                with no_grad():
                    answers |= case.run(case.make(case.dtype, arrays), arrays, "explicit", numpyml, backward=False)
        sides.update(reached)
        return answers

    return replace(problem, ours=ours)
