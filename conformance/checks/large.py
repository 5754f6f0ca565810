"""The checks of large arrays, which may be computed in another way than small ones."""

from __future__ import annotations

from conformance.cases.functions import FunctionCase, large_function_cases
from conformance.cases.modules import ModuleCase, large_cases
from conformance.checks.registry import ESSENTIAL, check
from conformance.results.census import Note
from conformance.rows import FunctionRow, ModuleRow


@check(
    rows=ModuleRow,
    needs=ESSENTIAL,
    cases=lambda row, _: large_cases(row),
    where=lambda row: bool(row.large),
    examples=2,
    covers=True,
)
def large(case: ModuleCase, note: Note) -> None:
    """Output and gradients of large arrays, which may be computed in another way, by the comparison rule."""
    note.judge(case.problem(), case.dtype, case.seed)


@check(
    rows=FunctionRow,
    needs=("NAMESPACE", "differentiate"),
    cases=lambda row, _: large_function_cases(row),
    where=lambda row: bool(row.large),
    examples=2,
    covers=True,
)
def function_large(case: FunctionCase, note: Note) -> None:
    """Value and gradients of large arrays, by the comparison rule."""
    note.judge(case.problem(), case.dtype, case.seed)
