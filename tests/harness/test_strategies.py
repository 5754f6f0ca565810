"""Drawn arrays have the values, layouts and shapes of their names."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from conformance import contracts, runner
from conformance.cases.functions import MANY, FunctionCase
from conformance.cases.modules import ModuleCase
from conformance.comparison.answers import output
from conformance.comparison.rule import Input, arrays_of, references
from conformance.strategies import calls as draws
from conformance.strategies import coverage as reach
from conformance.strategies import products
from conformance.strategies.arrays import (
    INCOMING,
    KIND_TESTS,
    LAYOUT_TESTS,
    LAYOUTS,
    NASTY,
    VALUES,
    floats,
    growing,
    integers,
    laid_out,
    longer,
    shapes,
    side,
)

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", sorted(set(LAYOUTS)))
@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 1, 3)])
def test_arrays_have_the_layout_of_their_name(layout: str, shape: tuple[int, ...], dtype: Any) -> None:
    x = np.ones(shape) if layout == "broadcast" else np.arange(np.prod(shape)).reshape(shape)
    y = laid_out(x.astype(dtype), layout)
    assert not y.flags.writeable
    assert np.array_equal(y, x) and y.dtype == dtype
    met = {name for name in LAYOUTS if LAYOUT_TESTS[name](y)}
    assert met == ({layout} if layout != "fortran" or len(shape) > 1 else {"C"})  # one axis has one order


@pytest.mark.parametrize("layout", [name for name in LAYOUT_TESTS if name not in ("C", "unaligned")])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_single_element_has_no_layout(layout: str, shape: tuple[int, ...]) -> None:
    assert not LAYOUT_TESTS[layout](laid_out(np.ones(shape), layout))


def test_different_numbers_are_no_broadcast_layout() -> None:
    assert not LAYOUT_TESTS["broadcast"](laid_out(np.array([1.0, 2.0]), "broadcast"))


@pytest.mark.parametrize("kind", sorted(VALUES))
def test_kinds_of_arrays_contain_their_special_values(kind: str) -> None:
    values = VALUES[kind](np.random.default_rng(0), (200,))
    with np.errstate(all="ignore"):
        inputs = [values.astype(dtype) for dtype in DTYPES]
    for label, test in KIND_TESTS[kind].items():
        met = [bool(test(x)) for x in inputs]
        expected = [label != "subnormal float64", label != "subnormal float32"]
        assert met == expected, label
        assert not any(test(np.full(3, 0.5, dtype)) for dtype in DTYPES) or label in ("ordinary", "ties")


def test_every_kind_is_drawn_by_name() -> None:
    assert set(KIND_TESTS) == set(VALUES)
    assert {*NASTY, "saturated", "sparse"} == set(VALUES)
    assert set(INCOMING) == set(LAYOUT_TESTS)


def drawn(strategy: Any, number: int = 300) -> list[Any]:
    draws = []

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=number, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(reach.fresh(strategy))
    def draw(value: Any) -> None:
        draws.append((value, set(reach._promised), set(reach._reached)))

    draw()
    return draws


@pytest.mark.parametrize(
    "arguments", [(), (0, 0), (1, 4, 1), (2, 4), (0, 4, 2), (1, 2, 3)], ids=lambda a: "shapes" + str(a)
)
def test_shapes_obey_their_limits(arguments: tuple[int, ...]) -> None:
    cases = drawn(shapes(*arguments))
    promised = cases[0][1]
    assert set.union(*(reached for *_, reached in cases)) == promised
    for shape, _, reached in cases:
        assert f"shape: {len(shape)} axes" in reached
        assert ("shape: empty" in reached) == (0 in shape)
        assert ("shape: batch of one" in reached) == (shape[:1] == (1,))
        assert ("shape: a long axis" in reached) == any(n > 6 for n in shape)
    least, most = (*arguments, 0, 5)[:2] if len(arguments) > 1 else (0, 5)
    assert {f"shape: {n} axes" for n in range(least, most + 1)} <= promised


def test_related_shapes_match() -> None:
    assert all(len(shape) == 2 for shape, *_ in drawn(shapes(0, 5, fits=lambda shape: len(shape) == 2), 30))


def test_promised_kinds_are_those_of_the_domain() -> None:
    x: Input = drawn(floats((3, 3), NASTY, 0, 1, np.abs), 1)[0][0]
    labels = set(x.purpose.labels)  # type: ignore[attr-defined]
    assert {": 0", ": nan", ": subnormal float64", ": unaligned layout"} <= labels
    assert not {": -0", ": inf", ": -inf"} & labels


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_drawn_arrays_reach_every_promised_kind(dtype: Any) -> None:
    inputs = [x for x, *_ in drawn(floats((3, 4), NASTY))]
    reached = {label for x in inputs for label in x.purpose.of((x, dtype))}
    missing = set(inputs[0].purpose.labels) - reached
    assert missing == {f": subnormal float{64 if dtype == np.float32 else 32}"} - reached


def test_integers_are_drawn_in_every_layout() -> None:
    inputs = [x for x, *_ in drawn(integers((3, 4), 0, 5))]
    assert {label for x in inputs for label in x.purpose.of((x, np.float32))} == {
        ": C layout", ": strided layout", ": reversed layout",
    }  # fmt: skip
    assert {str(x.values.dtype) for x in inputs} == {"int32", "int64"}
    assert all(x.values.min() >= 0 and x.values.max() < 5 for x in inputs)


def test_both_precisions_get_the_same_numbers_except_subnormals() -> None:
    for x, *_ in drawn(st.one_of(floats((5,), NASTY))):
        if x.kind != "tiny":
            assert np.array_equal(x.values.astype(np.float32), x.values, equal_nan=True)


@pytest.mark.parametrize("seed", range(5))
def test_product_of_wide_factors_stays_in_range_in_any_order(seed: int) -> None:
    x = draws.tempered(VALUES["wide"](np.random.default_rng(seed), (9, 20)))
    sizes = np.log10(np.abs(x))
    assert -36 < sizes[sizes < 0].sum() < 0 < sizes[sizes > 0].sum() < 36
    assert np.isfinite(np.prod(x.astype(np.float32))) and x.shape == (9, 20)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_tiny_squares_are_added_to_an_ordinary_one(axis: Any) -> None:
    kinds = set()

    @hypothesis.settings(max_examples=60, database=None, deadline=None)
    @hypothesis.given(draws.squared((3, 2, 4), NASTY, axis))
    def look(x: Any) -> None:
        kinds.add(x.kind)
        if x.kind in draws.VANISHING:
            assert (np.max(np.abs(x.values), axis) == 0.5).all()

    look()
    assert kinds >= {"ordinary", *draws.VANISHING}


@hypothesis.settings(max_examples=300, database=None, deadline=None)
@hypothesis.given(products.tensordots() | products.products("inner"))
def test_single_zero_is_multiplied_by_finite_factors(call: Any) -> None:
    a, b = (x.values for x in call.operands.values())
    for one, other in ((a, b), (b, a)):
        assert one.size != 1 or one.any() or np.isfinite(other).all()


@pytest.mark.parametrize("signs", [(1.0, 1.0), (1.0, -1.0)])
def test_rotation_of_equal_numbers_moves_with_each_number(signs: tuple[float, float]) -> None:
    (row,) = (row for row in contracts.module_rows() if row.name == "RotaryPositionalEmbedding")
    options = {"dim": 2, "max_len": 2, "base": 2.0, "interleaved": True}
    case = ModuleCase(row, options, (Input(np.array([signs] * 2), kind="signed zeros"),), np.float32, True, 0)
    problem = case.problem()
    held = references(problem, arrays_of(problem, np.dtype(np.float32)), np.dtype(np.float32), 0, [output()])
    assert (held[output()].movement[1] > 0.9 * np.spacing(np.float32(0.99))).all()  # about cos 1 + sin 1 of them


def test_infinities_are_not_divided_by_extreme_numbers_nor_any_by_subnormals() -> None:
    met = set()

    @hypothesis.settings(max_examples=300, database=None, deadline=None)
    @hypothesis.given(draws.quotients())
    def look(call: Any) -> None:
        met.add(frozenset(x.kind for x in call.operands.values()))

    look()
    kinds = {kind for pair in met for kind in pair}
    assert kinds == set(NASTY) - {"subnormal"}
    assert not any("infinite" in pair and pair & {"wide", "tiny"} for pair in met)


@pytest.mark.parametrize("name", ["exp", "outer", "matmul", "einsum", "split", "concatenate"])
def test_a_large_call_has_an_operand_with_many_numbers(name: str) -> None:
    sizes = []

    @hypothesis.settings(max_examples=3, database=None, deadline=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(runner.jobs()[runner.Task(name, "large")].cases)
    def drawn(case: FunctionCase) -> None:
        sizes.append(max(x.values.size for x in case.call.operands.values()))

    drawn()
    assert min(sizes) >= MANY


@hypothesis.settings(max_examples=3, database=None, deadline=None)
@hypothesis.given(st.data())
def test_lengths_differ_when_large_arrays_are_drawn(data: st.DataObject) -> None:
    length = longer(reach.among(3, 1), 70)
    with growing(4):
        assert (data.draw(length), data.draw(side(5, 100))) == (70, 100)
    assert data.draw(length) in (3, 1)
    assert data.draw(side(5, 100)) <= 5
