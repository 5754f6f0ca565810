"""The checks of NumPy functions that carry a derivative."""

from __future__ import annotations

import numpy as np

from conformance.cases.functions import FunctionCase
from conformance.cases.spellings import FUNCTION
from conformance.checks.modules import all_there
from conformance.checks.registry import check
from conformance.comparison.answers import gradient, is_gradient, output
from conformance.frameworks import under_test
from conformance.results.census import Note
from conformance.rows import FunctionRow


@check(rows=FunctionRow, covers=True)
def function_gradients(case: FunctionCase, note: Note) -> None:
    """The gradient of every operand that wants one, for a random incoming gradient."""
    answers = note.judge(case.problem(), case.dtype, case.seed, is_gradient)
    all_there(map(gradient, case.variables), answers)


@check(rows=FunctionRow)
def function_promises(case: FunctionCase, note: Note) -> None:
    """Nothing is written to, the precision stays; where NumPy itself dispatches to the framework, the value is NumPy's
    own to the bit, and two backwards add up.

    A composite, which is written in other functions, may sum in another order: it is held to the rule, not to the bits.
    """
    from numpyml.autograd.derivatives import COMPOSITES

    framework = under_test()
    arrays = case.exact
    operands = case.arrays(arrays)
    before = [x.tobytes() for x in operands]
    recorded = case.ours(arrays)
    note.require([x.tobytes() for x in operands] == before, "an operand was written to")
    for answer, value in recorded.items():
        note.require(value.dtype == case.dtype, f"{answer} is {value.dtype}, expected {case.dtype}")
    if framework.NAMESPACE is not np:
        return
    with np.errstate(all="ignore"):
        plain = case.function(np, arrays, spelling=FUNCTION)(*case.differentiated(arrays))
    composite = case.row.function in COMPOSITES
    for i, y in enumerate(plain if isinstance(plain, (list, tuple)) else [plain]):
        if not composite:
            note.same(f"{output(i)}, on Tensors against arrays", recorded[output(i)], np.asarray(y))
    if composite or len(recorded) - len(case.variables) > 1:
        note.judge(case.problem(backward=2), case.dtype, case.seed, is_gradient)
        return
    again = case.ours(arrays, times=2)
    for answer in map(gradient, case.variables):
        once = recorded[answer]
        note.same(f"{answer} after two backwards", again[answer], once + once)
