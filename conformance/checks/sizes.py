"""The check of numpyml's size thresholds, on modules, functions and optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance import divergences
from conformance.cases.common import DTYPES
from conformance.cases.functions import FunctionCase
from conformance.cases.modules import ModuleCase
from conformance.cases.optimizers import LARGE, OptimizerCase, optimizer_cases
from conformance.checks.optimizers import trajectory
from conformance.checks.refusals import accepted
from conformance.checks.registry import KINDS, check
from conformance.comparison.answers import Answer
from conformance.comparison.rule import Problem
from conformance.frameworks import numpyml
from conformance.records import NotCompared
from conformance.results.census import Note
from conformance.rows import CompositeRow, FunctionRow, ModuleRow, OptimizerRow
from conformance.strategies.coverage import Strategy
from conformance.strategies.thresholds import in_force, labels, levels
from numpyml import no_grad
from numpyml.typing import Array

LEAST = 6  # elements of the largest array


def _cases(row: ModuleRow | FunctionRow) -> Strategy[Any]:
    """The cases of other checks, without the smallest."""
    cases: Strategy[Any] = KINDS[FunctionRow if isinstance(row, FunctionRow) else ModuleRow].cases(row)
    return cases.filter(lambda case: max((x.values.size for x in case.named_inputs.values()), default=LEAST) >= LEAST)


def _is_unary(row: FunctionRow) -> bool:
    """Whether it is a ufunc of one operand: NumPy computes it, and its derivative, element by element."""
    return getattr(row.function, "nin", 2) == 1


def _is_binary(row: FunctionRow) -> bool:
    """Whether it is a ufunc of two operands, whose gradients are summed where it broadcasts."""
    return getattr(row.function, "nin", 0) == 2


def _is_no_ufunc(row: FunctionRow) -> bool:
    return not (_is_unary(row) or _is_binary(row))


def _is_simple(row: ModuleRow) -> bool:
    return not row.composed


def _small(row: OptimizerRow) -> Strategy[Any]:
    """Trajectories of small parameters: of blocks of one element, a large one has too many."""
    return optimizer_cases(row).filter(lambda case: case.shapes != LARGE)


@check(rows=OptimizerRow, cases=lambda row, _: _small(row), needs=("state",), numpyml_only=True, examples=16)
@check(rows=FunctionRow, where=_is_binary, cases=lambda row, _: _cases(row), numpyml_only=True, examples=4)
@check(rows=FunctionRow, where=_is_no_ufunc, cases=lambda row, _: _cases(row), numpyml_only=True, examples=2)
@check(rows=CompositeRow, cases=lambda row, _: _cases(row), numpyml_only=True, examples=16)
@check(rows=ModuleRow, where=_is_simple, cases=lambda row, _: _cases(row), numpyml_only=True, examples=16)
def sizes(case: ModuleCase | FunctionCase | OptimizerCase, note: Note) -> None:
    """With numpyml's size thresholds set low, small arrays are computed as large ones are: outputs, with a record and
    without, gradients, parameters and optimizer state are the same bits as before, or keep the comparison rule."""
    if isinstance(case, OptimizerCase) and not accepted(case, note):
        return
    for dtype in _precisions(case):
        case.dtype = dtype
        arrays = case.exact
        with in_force({}) as compared:
            usual = _answers(case, arrays)
        for values in levels(case.seed, compared, _times(case)):
            with in_force(values) as low:
                answers = _answers(case, arrays)
            compared |= low
            others = {answer for answer, x in usual.items() if answers[answer].tobytes() != x.tobytes()}
            note.record(sum(x.size for answer, x in usual.items() if answer not in others))
            if not others:
                continue
            if isinstance(case, OptimizerCase):
                with in_force(values):
                    trajectory(case, note)
            else:
                note.judge(_answered(case.problem(), answers), case.dtype, case.seed, others.__contains__)
        note.sizes |= labels(compared, case.dtype)


def _times(case: ModuleCase | FunctionCase | OptimizerCase) -> int:
    """How often thresholds are set next to sizes: a composite or a trajectory takes long."""
    return 1 if getattr(case.row, "composed", False) or isinstance(case, OptimizerCase) else 3


def _precisions(case: ModuleCase | FunctionCase | OptimizerCase) -> Sequence[Any]:
    """Both precisions, unless the numbers of the case were drawn for its own."""
    kinds = {x.kind for x in case.numbers.values()}
    limited = any(divergences.reason(case.row.name, NotCompared, f"{k}, {d}", numpyml) for k in kinds for d in DTYPES)
    options = [case.row.complete(case.options, d) for d in DTYPES] if isinstance(case, ModuleCase) else [None, None]
    same = not limited and options[0] == options[1] and not kinds & {"wide", "subnormal", "tiny"}
    return DTYPES if same else [case.dtype]


def _answered(problem: Problem, answers: Mapping[Answer, Array]) -> Problem:
    """The problem with these answers to its exact inputs."""
    return replace(problem, ours=lambda arrays: answers)


def _answers(case: ModuleCase | FunctionCase | OptimizerCase, arrays: Mapping[str, Array]) -> dict[Answer, Array]:
    """numpyml's answers; in two of three cases, the outputs of a module are those without a record."""
    if not isinstance(case, ModuleCase):
        return case.ours(arrays)
    answers = case.ours(arrays, "dynamic")
    if case.seed % 3:
        with no_grad():
            answers |= case.run(case.make(case.dtype, arrays), arrays, "explicit", numpyml, backward=False)
    return answers
