"""The check of components that are given nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.cases.common import DTYPES
from conformance.cases.modules import ModuleCase
from conformance.cases.optimizers import OptimizerCase
from conformance.cases.schedulers import STEPS, SchedulerCase
from conformance.checks.optimizers import trajectory
from conformance.checks.registry import check
from conformance.checks.schedulers import schedule
from conformance.frameworks import pytorch, under_test
from conformance.frameworks.signatures import component_defaults, defaults_of
from conformance.results.census import Note
from conformance.rows import ComponentRow, ModuleRow, OptimizerRow, SchedulerRow
from conformance.strategies.arrays import seeds
from conformance.strategies.coverage import Draw


def _has_defaults(row: ComponentRow) -> bool:
    return not getattr(row, "container", False) and bool(defaults_of(row.ours).keys() & row.options.keys())


@st.composite
def bare_cases(draw: Draw, row: Any) -> ModuleCase | OptimizerCase | SchedulerCase:
    """Cases in which every option with a default is left out, except those too large to be run. A new module is in
    training."""
    given = getattr(row, "constructed_only", ())
    defaults = {name: value for name, value in component_defaults(row).items() if name not in given}
    options = {name: defaults[name] if name in defaults else draw(s) for name, s in row.options.items()}
    dtype, seed = draw(st.sampled_from(DTYPES)), draw(seeds)
    case: ModuleCase | OptimizerCase | SchedulerCase
    if isinstance(row, OptimizerRow):
        case = OptimizerCase(row, options, {}, [(3,), (2, 2)], "ordinary", 40, dtype, seed)
    elif isinstance(row, SchedulerRow):
        case = SchedulerCase(row, options, "optim.SGD", 2, STEPS, seed)
    else:
        inputs = draw(row.inputs(options))
        call = draw(row.call(options, inputs)) if row.call else {}
        case = ModuleCase(row, options, inputs, dtype, True, seed, call)
    case.brief = True
    return case


BARE: dict[str, Any] = {"where": _has_defaults, "cases": lambda row, _: bare_cases(row), "examples": 8}


@check(rows=SchedulerRow, needs=("LEAVES_OUT",), **BARE)
@check(rows=OptimizerRow, needs=("LEAVES_OUT", "state"), **BARE)
@check(rows=ModuleRow, needs=("LEAVES_OUT",), **BARE)
def nothing_given(case: ModuleCase | OptimizerCase | SchedulerCase, note: Note) -> None:
    """Given nothing but what has no default, it is PyTorch's component with every default spelled out."""
    if isinstance(case, OptimizerCase):
        trajectory(case, note)
    elif isinstance(case, SchedulerCase):
        schedule(case, note)
    else:
        note.judge(case.problem(), case.dtype, case.seed)
        if under_test().NAME == "numpyml" and not note.examples:  # some have millions
            same_parameters(case, note)


def same_parameters(case: ModuleCase, note: Note) -> None:
    """Made without any option that has a default, also those too large to be run, and without a precision, the
    component has PyTorch's parameters, in name, shape and precision."""
    defaults = component_defaults(case.row)  # those too large to be run among them
    if any(not isinstance(x, int | float | str) for name, x in case.options.items() if name not in defaults):
        return  # parts or arrays, which each side has its own of
    required = {name: x for name, x in case.options.items() if name not in defaults}
    ours = {name: (p.data.shape, str(p.data.dtype)) for name, p in case.row.ours(**required).named_parameters()}
    theirs = pytorch.attribute(case.row.torch)(**required).named_parameters()
    expected = {name: (tuple(p.shape), str(pytorch.array(p).dtype)) for name, p in theirs}
    for name in ours.keys() | expected.keys():
        got, of_pytorch = ours.get(name, "none"), expected.get(name, "none")
        note.require(got == of_pytorch, f"parameter {name} of defaults alone: got {got}, expected {of_pytorch}")
