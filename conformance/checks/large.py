"""The checks of large arrays."""

from __future__ import annotations

from conformance.cases.common import DTYPES
from conformance.cases.functions import FunctionCase, large_function_cases
from conformance.cases.modules import ModuleCase, large_cases
from conformance.checks.registry import check
from conformance.results.census import Note
from conformance.rows import CompositeRow, FunctionRow, ModuleRow


def _has_large(row: ModuleRow | FunctionRow) -> bool:
    return bool(row.large)


def _is_simple(row: ModuleRow) -> bool:
    return _has_large(row) and not row.composed


@check(rows=FunctionRow, where=_has_large, cases=lambda row, _: large_function_cases(row), examples=2, covers=True)
@check(rows=ModuleRow, where=_is_simple, cases=lambda row, _: large_cases(row), examples=2, covers=True)
@check(rows=CompositeRow, where=_has_large, cases=lambda row, _: large_cases(row), examples=2)
def large(case: ModuleCase | FunctionCase, note: Note) -> None:
    """Outputs and gradients of large arrays, which may be computed in another way, by the comparison rule."""
    for dtype in DTYPES if getattr(case.row, "composed", False) else [case.dtype]:
        case.dtype = dtype
        note.judge(case.problem(), dtype, case.seed)
