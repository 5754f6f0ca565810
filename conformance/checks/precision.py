"""The check of the precision that the documentation promises beyond the comparison rule."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance.cases.modules import ModuleCase, module_cases
from conformance.checks.registry import check
from conformance.comparison.answers import Answer
from conformance.results.census import Note
from conformance.rows import ModuleRow
from conformance.strategies.arrays import growing, single
from conformance.strategies.coverage import Draw


def promises(row: ModuleRow) -> bool:
    return bool(row.precise)


MANY = 0.125  # of 1,024 elements


@st.composite
def promised_cases(draw: Draw, row: ModuleRow) -> ModuleCase:
    """Cases with the options for which the promise is made.

    In most of them the first input, the argument of nonlinear functions, is where these saturate: of moderate size, of
    different sizes, or where an exponential overflows.
    """
    settled = {name: st.just(value) for name, value in row.precise_with.items()}
    row = replace(row, options={**row.options, **settled})
    size = draw(st.sampled_from(("drawn", "moderate", "moderate", "different", "overflow")))
    if size == "drawn":
        return draw(module_cases(row).filter(lambda case: row.precise_for(case.inputs)))
    with growing(MANY):
        case = draw(module_cases(row))
    assume(row.precise_for(case.inputs))
    x, rng = case.inputs[0], np.random.default_rng(zlib.crc32(repr(case).encode()))
    values = x.values * 2.0 ** rng.uniform(1, 5)
    if size == "different":
        values *= 2.0 ** (rng.choice([-20, 10, 100], values.shape) * rng.random(values.shape))
    elif size == "overflow":
        values = rng.uniform(-1.1, 1.1, values.shape) * np.log(np.finfo(case.dtype).max)
    case.inputs[0] = replace(x, values=single(values))
    return case


@check(rows=ModuleRow, where=promises, cases=lambda row, _: promised_cases(row), numpyml_only=True, examples=160)
def precision(case: ModuleCase, note: Note) -> None:
    """What the documentation promises beyond the rule: outputs and gradients that keep their precision where PyTorch
    loses it. PyTorch's own error is not granted, and where PyTorch is not finite the answer is compared as well."""

    def promised(answer: Answer) -> bool:
        return str(answer) in case.row.precise

    note.judge(replace(case.problem(), granted=False), case.dtype, case.seed, promised)
