"""The references compute what PyTorch computes, also where mathematics leaves a choice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from conformance.cases.common import answers as by_answer
from conformance.cases.common import incoming_name
from conformance.cases.functions import FunctionCase, function_cases
from conformance.cases.modules import ModuleCase, module_cases
from conformance.comparison.rule import Input
from conformance.contracts import function_rows, module_rows, products
from conformance.contracts.functions import elementwise
from conformance.frameworks import pytorch
from conformance.references import FunctionReference, ModuleReference
from conformance.references.kinds import linear
from conformance.rows import Call
from numpyml.typing import Array

Wide = np.longdouble
EPS = np.finfo(Wide).eps
ULPS = 16
FUNCTIONS = {row.name: row for row in function_rows()}
MODULES = {row.torch: row for row in module_rows() if row.reference}
OPTIONS: dict[str, dict[str, Any]] = {
    "round": {"decimals": 0},
    "around": {"decimals": 0},
    "copy": {"order": "K", "subok": True},
    "clip": {"bounds": "low high", "spelling": "a_min a_max"},
    "ndarray.astype": {"dtype": "float32"},
}
drawn = settings(
    max_examples=12,
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def reference_of(name: str) -> Any:
    """The reference of a NumPy function, by its name, or of a module, by PyTorch's."""
    return (FUNCTIONS.get(name) or MODULES[name]).reference


def disagreements(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> Iterator[str]:
    """NaN and ∞ at the same positions, and numbers within 1e-12 of the array's scale.

    PyTorch's float64 takes things like 1 - p, which leave a unit in the last place of 1.
    """
    assert list(ours) == list(theirs)
    for name, got in ours.items():
        assert got.dtype == Wide
        expected = theirs[name]
        if got.shape != expected.shape:
            yield f"{name}: shape {got.shape}, PyTorch's is {expected.shape}"
            continue
        with np.errstate(all="ignore"):
            rounded = got.astype(np.float64)
            scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=0)
            same = (rounded == expected) | (np.isnan(rounded) & np.isnan(expected))
            close = same | (np.abs(rounded - expected) <= 1e-12 * scale + 4 * np.finfo(np.float64).eps)
        if not close.all():
            at = tuple(np.argwhere(~close)[0])
            yield f"{name}[{at}]: {got[at]!r}, PyTorch {expected[at]!r}"


def of_function(case: FunctionCase, reference: FunctionReference) -> Iterator[str]:
    arrays = {name: x.values for name, x in case.numbers.items()}
    operands = {name: arrays[name] for name in case.call.operands}
    gys = [x for name, x in arrays.items() if name not in operands]
    outputs, gradients = reference(operands, case.call.options, gys)
    yield from disagreements(by_answer(outputs, gradients), case.torch(arrays))


def of_module(case: ModuleCase, reference: ModuleReference) -> Iterator[str]:
    arrays = {name: x.values for name, x in case.numbers.items()}
    yield from disagreements(case.referred(reference, arrays), case.torch(arrays))


# Operands whose subnormal float64s leave PyTorch's float64 without an answer: a / b² and floor(a / b) overflow, fmod
# and remainder of vectors are NaN, and what hypot, arctan2 and prod divide by is imprecise (see FINDINGS).
LOST = {
    ("arctan2", "a"),
    ("arctan2", "b"),
    ("divide", "b"),
    ("remainder", "b"),
    ("fmod", "b"),
    ("hypot", "a"),
    ("hypot", "b"),
    ("prod", "x"),
}


def answered(case: Any) -> bool:
    """Whether PyTorch's float64 has an answer to this call."""
    name, operands = case.row.name, case.call.operands if isinstance(case, FunctionCase) else {}
    if name == "var" and any(x.values.ndim == 0 and np.isnan(x.values) for x in operands.values()):
        return False  # with ddof 1, PyTorch's gradient at a single NaN is ∞, though at a single number it is NaN
    if name == "cbrt" and any((x.values == 0).any() for x in operands.values()):
        return False  # PyTorch has no cube root, and its power 1/3 has no derivative at 0: see special_points
    return not any(x.kind == "tiny" and (name, operand) in LOST for operand, x in operands.items())


def drawn_disagreements(name: str, reference: Any) -> list[str]:
    pytorch.require()
    row: Any = FUNCTIONS.get(name) or MODULES[name]
    lines: list[str] = []

    @drawn
    @given((function_cases(row) if name in FUNCTIONS else module_cases(row)).filter(answered))
    def run(case: Any) -> None:
        with np.errstate(all="ignore"):
            lines.extend((of_function if name in FUNCTIONS else of_module)(case, reference))

    run()
    return lines


@pytest.mark.parametrize("name", [*FUNCTIONS, *MODULES])
def test_the_reference_is_what_pytorch_computes(name: str) -> None:
    reference = reference_of(name)
    assert drawn_disagreements(name, reference) == []


SPECIAL = (np.inf, -np.inf, np.nan, 0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -3.0)
ELEMENTWISE = {row.name: 1 for row in elementwise.UNARY} | {row.name: 2 for row in elementwise.SEVERAL} | {"clip": 3}
CELLWISE: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("sum", "nansum", "mean", "prod", "max", "min", "amax", "amin", "ptp")),
    *((name, {"ddof": ddof}) for name in ("var", "std") for ddof in (0, 1)),
    *(("linalg.norm", {"ord": order}) for order in (None, 1, 2, 3, np.inf, -np.inf, 0.5, 2.5)),
]


def special_disagreements(name: str, operands: Mapping[str, Array], options: Mapping[str, Any]) -> list[str]:
    pytorch.require()
    reference = reference_of(name)
    call = Call({what: Input(x) for what, x in operands.items()}, options)
    with np.errstate(all="ignore"):
        return list(of_function(FunctionCase(FUNCTIONS[name], call, np.float64, 1), reference))


def special_points(name: str, arity: int, nan: bool = True) -> Array:
    """Every combination of the special values that the function is compared at."""
    # PyTorch, which has no cube root, has no derivative of the power 1/3 at 0.
    values = [x for x in SPECIAL if (nan or not np.isnan(x)) and (x or name != "cbrt")]
    return np.array(list(itertools.product(values, repeat=arity)))


@pytest.mark.parametrize("name", sorted(ELEMENTWISE.keys() - {"full_like", "where"}))  # which only move elements
def test_functions_follow_pytorch_where_the_derivative_is_a_choice(name: str) -> None:
    operands = {f"x{i}": x for i, x in enumerate(special_points(name, ELEMENTWISE[name]).T)}
    assert special_disagreements(name, operands, OPTIONS.get(name, {})) == []


@pytest.mark.parametrize(("name", "options"), CELLWISE, ids=lambda x: x if isinstance(x, str) else str(*x.values()))
def test_reductions_follow_pytorch_where_the_derivative_is_a_choice(name: str, options: dict[str, Any]) -> None:
    cells = special_points(name, 3, nan=options.get("ord") not in (np.inf, -np.inf))  # see the remarks of linalg.norm
    if options.get("ord") in (2.5, 3):  # see the remarks of linalg.norm
        cells = cells[(cells != 0).all(1) | ~np.isnan(cells).any(1)]
    if options.get("ord") == 0.5:  # PyTorch's gradient at a zero times ∞ is 0 · ∞
        cells = cells[(cells != 0).all(1) | np.isfinite(cells).all(1)]
    assert special_disagreements(name, {"x": cells}, {"axis": 1, "keepdims": False, **options}) == []


def corrupted(y: Any) -> Any:
    return [corrupted(x) for x in y] if isinstance(y, list) else np.asarray(y) * (1 + Wide(1e-9))


@pytest.mark.parametrize("name", ["concatenate", "sort", "matmul", "linalg.norm", "clip"])
def test_planted_error_in_a_function_is_detected(name: str) -> None:
    reference = reference_of(name)

    def gradients_off(*arguments: Any) -> Any:
        outputs, gradients = reference.compute(*arguments)
        return outputs, corrupted(gradients)

    assert drawn_disagreements(name, FunctionReference("", gradients_off))


@pytest.mark.parametrize("name", MODULES)
def test_planted_error_in_a_module_is_detected(name: str) -> None:
    reference = reference_of(name)

    def off_by(*arguments: Any) -> Any:
        return {what: corrupted(y) for what, y in reference.compute(*arguments).items()}

    assert drawn_disagreements(name, ModuleReference(off_by))


def small_and_finite(x: Input) -> bool:
    return x.values.size < 200 and bool(np.isfinite(x.values).all())


@pytest.mark.parametrize("name", [row.name for row in products.ROWS])
def test_a_product_is_its_own_derivative_at_unit_vectors(name: str) -> None:
    """Between finite numbers, that is: a unit vector's zeros do not silence ∞ and NaN."""
    row, reference = FUNCTIONS[name], reference_of(name)
    apply = (lambda *xs, subscripts, optimize: np.einsum(subscripts, *xs)) if name == "einsum" else getattr(np, name)
    compared = 0

    @drawn
    @given(function_cases(row).filter(lambda case: all(map(small_and_finite, case.numbers.values()))))
    def run(case: FunctionCase) -> None:
        nonlocal compared
        arrays = {what: x.values for what, x in case.numbers.items()}
        operands = {what: arrays[what] for what in case.call.operands}
        gys = [arrays[incoming_name(0)]]
        size = {what: np.abs(x) for what, x in operands.items()}
        gradients = reference(operands, case.call.options, gys)[1]
        expected = linear(apply)(operands, case.call.options, gys)[1]
        terms = reference(size, case.call.options, [np.abs(gys[0])])[1]
        for what, g in gradients.items():
            assert (np.abs(g - expected[what]) <= ULPS * EPS * terms[what]).all()
            compared += g.size

    run()
    assert compared
