"""The comparison rule detects what it must, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from conformance.comparison.answers import Answer, output, state
from conformance.comparison.histories import STEPWISE, off_scale
from conformance.comparison.movement import FURTHER
from conformance.comparison.rule import Input, Problem, Run, Verdict, judge, references
from conformance.comparison.sensitivity import DETECTED, sensitivity
from numpyml.typing import Array

OUTPUT, STATE = output(), state("parameter", 0)
VALUES = Input(np.array([0.5, -1.25, 3.0, 0.1]).astype(np.float32).astype(np.float64))


def squares(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
    return {OUTPUT: arrays["x"] * arrays["x"]}


def planted(relative: float) -> Any:
    def ours(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        y = np.array(arrays["x"] * arrays["x"])
        if y.dtype != np.longdouble:
            y[2] *= y.dtype.type(1 + relative)
        return {OUTPUT: y}

    return ours


def verdict(ours: Any, dtype: Any, torch: Any = squares, x: Input = VALUES) -> Any:
    (outcome,) = judge(Problem({"x": x}, ours, torch, ours), np.dtype(dtype), 1)
    return outcome


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_formula_passes(dtype: Any) -> None:
    outcome = verdict(squares, dtype)
    assert not outcome.failure
    assert outcome.compared == 4
    assert outcome.error <= 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_error_of_64_units_in_the_last_place_of_one_element_is_detected(dtype: Any) -> None:
    outcome = verdict(planted(64 * float(np.finfo(dtype).eps)), dtype)
    assert outcome.failure.startswith("output[2]")
    assert outcome.error > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_formula_wrong_in_every_precision_is_detected(dtype: Any) -> None:
    def wrong(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: arrays["x"] * arrays["x"] * arrays["x"].dtype.type(1 + 1e-5)}

    assert verdict(wrong, dtype).failure


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_accepted_only_where_the_reference_is_nan(value: float) -> None:
    def ours(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        y = np.array(arrays["x"] * arrays["x"])
        y[1] = value
        return {OUTPUT: y}

    assert "output[1]" in verdict(ours, np.float32).failure
    holes = Input(np.array([value, 1.0, 2.0]))
    assert not verdict(squares, np.float32, x=holes).failure
    assert verdict(
        lambda arrays: {OUTPUT: np.nan_to_num(squares(arrays)[OUTPUT], posinf=1.0)}, np.float32, x=holes
    ).failure


def sums(order: Any) -> Any:
    """One sum of many products, in this order of addition."""

    def run(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        terms = arrays["x"] * arrays["y"]
        return {OUTPUT: np.reshape(order(terms), (1,))}

    return run


TERMS = {
    name: Input(np.random.default_rng(seed).standard_normal(3000).astype(np.float32).astype(np.float64))
    for seed, name in enumerate(("x", "y"))
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_movement_of_a_long_sum_is_the_sum_over_its_terms(dtype: Any) -> None:
    worst = float(np.abs(2 * TERMS["x"].values * TERMS["y"].values).sum() * np.finfo(dtype).eps)
    problem = Problem(TERMS, sums(np.sum), sums(np.sum), sums(np.sum))
    exact = {name: x.values.astype(dtype) for name, x in TERMS.items()}
    moves = [
        float(references(problem, exact, np.dtype(dtype), seed, [OUTPUT])[OUTPUT].movement[0]) for seed in range(9)
    ]
    assert worst / 6 < np.median(moves) < 2 * worst
    assert min(moves) > worst / 20  # eight random signs show a fiftieth


@pytest.mark.parametrize(
    ("total", "fails"),
    [(lambda terms: np.cumsum(terms)[-1:], False), (lambda terms: terms[:-1].sum(keepdims=True), True)],
    ids=["plain addition", "missing term"],
)
def test_long_sum_fails_only_when_a_term_is_missing(total: Any, fails: bool) -> None:
    for seed in range(20):
        (outcome,) = judge(Problem(TERMS, sums(total), sums(np.sum), sums(np.sum)), np.dtype(np.float32), seed)
        assert bool(outcome.failure) == fails


def test_drawing_stops_once_nothing_worse_can_appear() -> None:
    calls: list[int] = []

    def counted(arrays: Mapping[str, Array]) -> Mapping[Answer, Array]:
        calls.append(1)
        return sums(np.sum)(arrays)

    def drawn(ours: Run, worst: float) -> tuple[Verdict, int]:
        calls.clear()
        (outcome,) = judge(Problem(TERMS, ours, counted, sums(np.sum)), np.dtype(np.float32), 1, worst=worst)
        return outcome, len(calls)

    plain, short = sums(lambda terms: np.cumsum(terms)[-1:]), sums(lambda terms: terms[:-1].sum(keepdims=True))
    exact, every = drawn(plain, 0.0)
    known, few = drawn(plain, 1.0)
    assert 0 < exact.error <= known.error <= 1
    assert not known.failure
    assert few < every / 3
    for worst in (0.0, 1.0):  # a failure is always measured in full
        outcome, number = drawn(short, worst)
        assert outcome.failure
        assert number == every + FURTHER


def test_movement_of_an_element_of_one_input() -> None:
    x = Input(np.linspace(0.1, 5, 2000).astype(np.float32).astype(np.float64))
    problem = Problem({"x": x}, squares, squares, squares)
    exact = {"x": x.values.astype(np.float32)}
    movement = references(problem, exact, np.dtype(np.float32), 1, [OUTPUT])[OUTPUT].movement
    assert (movement <= 2.001 * x.values * np.spacing(exact["x"])).all()


def test_movement_of_a_difference_is_the_sum_of_both() -> None:
    def differ(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: arrays["x"] - arrays["y"]}

    terms = {"x": Input(np.full(200, 1.3)), "y": Input(np.full(200, 1.2))}
    exact = {name: g.values.astype(np.float32) for name, g in terms.items()}
    problem = Problem(terms, differ, differ, differ)
    movement = references(problem, exact, np.dtype(np.float32), 1, [OUTPUT])[OUTPUT].movement
    assert (movement > 1.9 * np.spacing(np.float32(1.2))).mean() > 0.95


def test_movement_of_a_difference_when_both_moved_together_in_every_draw() -> None:
    def differ(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: arrays["x"][:1] - arrays["x"][1:]}

    problem = Problem({"x": Input(np.full(2, 1.3))}, differ, differ, differ)
    exact = {"x": np.full(2, np.float32(1.3))}
    bounds = [references(problem, exact, np.dtype(np.float32), seed, [OUTPUT])[OUTPUT] for seed in range(1000)]
    assert all(held.movement[0] > 0 for held in bounds)


def test_nearly_cancelling_draws_are_no_error() -> None:
    def mean(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        x, y = (arrays[name].astype(np.longdouble) for name in "xy")
        return {OUTPUT: (0.49 * x + 0.51 * y).astype(arrays["x"].dtype)}

    def off(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: mean(arrays)[OUTPUT] + np.spacing(np.float32(1.2)) / 2}

    terms = {"x": Input(np.full(4000, 1.3)), "y": Input(np.full(4000, -1.2))}  # in one of 256, eight draws cancel
    (outcome,) = judge(Problem(terms, off, mean, mean), np.dtype(np.float32), 1)
    assert not outcome.failure
    assert not outcome.wrong


def test_ill_conditioned_element_has_a_wide_bound() -> None:
    def near_one(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: 1 / (1 - arrays["x"])}

    def other_way(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: -1 / (arrays["x"] * arrays["x"].dtype.type(1) - 1)}

    close = Input(np.array([1 - 2.0**-20, 0.5]))
    assert not verdict(other_way, np.float32, near_one, close).failure


def test_another_shape_or_precision_is_detected() -> None:
    assert "shape" in verdict(lambda arrays: {OUTPUT: squares(arrays)[OUTPUT][None]}, np.float32).failure
    assert "float64" in verdict(lambda arrays: {OUTPUT: squares(arrays)[OUTPUT].astype(np.float64)}, np.float32).failure


def test_overflow_is_accepted_only_where_pytorch_overflows() -> None:
    def by_square(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        with np.errstate(all="ignore"):
            return {OUTPUT: np.sqrt(arrays["x"] * arrays["x"])}

    def straight(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: np.abs(arrays["x"])}

    large = Input(np.array([2.0**80, 1.0]))
    assert not verdict(by_square, np.float32, by_square, large).failure
    assert not verdict(straight, np.float32, by_square, large).failure
    assert "output[0]" in verdict(by_square, np.float32, straight, large).failure


def test_nothing_is_compared_where_every_number_passes() -> None:
    """Σ 1/x of subnormal numbers that nearly cancel: it overflows in float32, and PyTorch returns 0.3."""

    def ours(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        with np.errstate(all="ignore"):
            return {OUTPUT: np.sum(1 / arrays["x"], keepdims=True)}

    def torch(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        y = ours(arrays)[OUTPUT]
        return {OUTPUT: np.full_like(y, 0.3) if y.dtype == np.float32 else y}

    sums = Input(np.array([1e-41, -1.5e-41]).astype(np.float32).astype(np.float64))
    assert np.isnan(ours({"x": sums.values.astype(np.float32)})[OUTPUT]).all()
    outcome = verdict(ours, np.float32, torch, sums)
    assert not outcome.failure and outcome.compared == 0
    assert "output[0]" in verdict(ours, np.float32, lambda arrays: infinite(ours(arrays)), sums).failure


def test_infinity_passes_where_every_number_does() -> None:
    """PyTorch returns 1.7 for the largest numbers of float32: the bound exceeds every number."""
    large = Input(np.array([2.0**127]))
    outcome = verdict(lambda a: infinite({OUTPUT: a["x"]}), np.float32, lambda a: {OUTPUT: a["x"] * 0 + 1}, large)
    assert "output[0]" in outcome.failure  # PyTorch in float64 is held to be right
    assert not verdict(
        lambda a: infinite({OUTPUT: a["x"] * 1}),
        np.float32,
        lambda a: {OUTPUT: a["x"] * 0 + 1.7} if a["x"].dtype == np.float32 else {OUTPUT: a["x"]},
        large,
    ).failure


def infinite(answers: dict[Answer, Array]) -> dict[Answer, Array]:
    """PyTorch as it should be: the result overflows to ∞."""
    y = answers[OUTPUT]
    return {OUTPUT: np.full_like(y, np.inf) if y.dtype == np.float32 else y}


@pytest.mark.parametrize("lost", [np.inf, -np.inf, np.nan])
def test_rule_applies_to_pytorch_too(lost: float) -> None:
    def torch(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        y = np.array(squares(arrays)[OUTPUT])
        if y.dtype == np.float32:
            y[1], y[2] = lost, y[2] * np.float32(1 + 1e-5)
        return {OUTPUT: y}

    assert verdict(squares, np.float32).wrong == 0
    assert verdict(squares, np.float32, torch).wrong == 2
    too_large = Input(np.array([1.0, 2.0**80, 3.0, 0.5]))  # its square overflows in this precision
    with np.errstate(over="ignore"):
        assert verdict(squares, np.float32, torch, too_large).wrong == 1


def test_reference_decides_where_pytorch_is_nan() -> None:
    def torch(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        y = np.array(squares(arrays)[OUTPUT])
        if y.dtype == np.float64:
            y[1] = np.nan
        return {OUTPUT: y}

    def held(ours: Any, formula: str) -> str:
        (outcome,) = judge(Problem({"x": VALUES}, ours, torch, squares, formula=formula), np.dtype(np.float32), 1)
        return str(outcome.failure)

    assert not held(squares, "a formula")
    assert "output[1]" in held(squares, "")  # of numpyml's own code nothing counts that PyTorch does not confirm
    wrong = {OUTPUT: squares({"x": VALUES.values.astype(np.float32)})[OUTPUT] * np.float32(1 + 1e-5)}
    wrong[OUTPUT][[0, 2, 3]] = np.square(VALUES.values.astype(np.float32))[[0, 2, 3]]
    assert "output[1]" in held(lambda arrays: wrong, "a formula")


@pytest.mark.parametrize("theirs", [np.nan, np.inf])
def test_nothing_is_compared_where_pytorch_is_not_finite(theirs: float) -> None:
    def torch(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        y = np.array(squares(arrays)[OUTPUT])
        if y.dtype == np.float32:
            y[1] = theirs
        return {OUTPUT: y}

    outcome = verdict(torch, np.float32, torch)
    assert not outcome.failure and outcome.compared == VALUES.values.size - 1 and outcome.wrong == 1
    assert verdict(squares, np.float32, torch).compared == VALUES.values.size - 1


def test_nothing_is_compared_below_the_smallest_normal_number() -> None:
    """The bound is at least finfo.tiny: a subnormal result may be 0, the smallest normal number may not be doubled."""

    tiny = float(np.finfo(np.float32).tiny)

    def off(theirs: float, ours: float) -> str:
        def torch(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            return {OUTPUT: arrays["x"] * arrays["x"].dtype.type(theirs)}

        def wrong(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            return {OUTPUT: arrays["x"] * np.float32(ours)} if arrays["x"].dtype == np.float32 else torch(arrays)

        return verdict(wrong, np.float32, torch, Input(np.array([1.0, 2.0]))).failure

    assert not off(tiny / 4, 0.0)
    assert "output[0]" in off(2.5 * tiny, 4 * tiny)


@pytest.mark.parametrize("theirs", [np.nan, -np.inf])
def test_reference_decides_where_infinities_differ(theirs: float) -> None:
    def with_one(value: float) -> Any:
        def run(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            y = np.array(squares(arrays)[OUTPUT])
            y[1] = value
            return {OUTPUT: y}

        return run

    for own, holds in ((np.inf, True), (-np.inf, False), (np.nan, False)):
        problem = Problem({"x": VALUES}, with_one(own), with_one(theirs), with_one(np.inf), formula="a formula")
        (outcome,) = judge(problem, np.dtype(np.float32), 1)
        assert (outcome.failure == "") == holds, own
        assert outcome.wrong == 1  # PyTorch's, which is put on record


def test_a_reference_of_numpymls_own_must_be_confirmed_by_pytorch() -> None:
    def wrong(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: arrays["x"] * arrays["x"] * (1 + arrays["x"].dtype.type(2.0**-45))}

    assert "computed in extended precision" in verdict(wrong, np.float64).failure


def test_answer_missing_from_pytorch_is_reported() -> None:
    problem = Problem({"x": VALUES}, lambda arrays: {state("another", 0): arrays["x"]}, squares, squares)
    (outcome,) = judge(problem, np.dtype(np.float32), 1)
    assert outcome.failure == "another 0: PyTorch has no such answer"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smallest_detected_error_is_near_the_bound(dtype: Any) -> None:
    def twice(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: arrays["x"] + arrays["x"]}

    plants = list(sensitivity(Problem({"x": VALUES}, twice, twice, twice), np.dtype(dtype), 1))
    assert len(plants) == 4 and all(plant.conditioned and 1 < plant.smallest <= DETECTED for plant in plants)

    def steep(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: 1 / (1 - arrays["x"])}

    near = {"x": Input(np.array([1 - 2.0**-20]))}
    (plant,) = sensitivity(Problem(near, steep, steep, steep), np.dtype(dtype), 1)
    assert not plant.conditioned and plant.smallest > DETECTED


def test_history_is_compared_on_the_scale_of_its_array_at_every_step() -> None:
    expected = np.tile([1.0, 1e-9], (20, 1))
    got = expected.copy()
    got[7, 1] += STEPWISE / 2
    assert not off_scale(STATE, got, expected).failure
    got[7, 1] += STEPWISE
    assert "step 8, element [1]" in off_scale(STATE, got, expected).failure
    assert not off_scale(STATE, got, expected, np.full(expected.shape, STEPWISE)).failure
    got[7, 1] = np.nan
    assert off_scale(STATE, got, expected).failure
    assert "shape" in off_scale(STATE, got[:-1], expected).failure


@pytest.mark.parametrize("wider", [np.float64, np.longdouble])
def test_a_failure_shows_plain_numbers(wider: Any) -> None:
    """Also when the array of the reference is in extended precision."""

    def half(arrays: Mapping[str, Array], lost: bool = False) -> dict[Answer, Array]:
        y = arrays["x"] / 2
        return {OUTPUT: np.where([lost, False], 0, y) if y.dtype == np.float64 and wider == np.longdouble else y}

    def wrong(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {OUTPUT: half(arrays)[OUTPUT] * np.array([1, 2], np.float32)}

    x = {"x": Input(np.array([0.5, 0.2]).astype(np.float32).astype(np.float64))}
    problem = Problem(x, wrong, lambda arrays: half(arrays, True), half, formula="half")
    (outcome,) = judge(problem, np.dtype(np.float32), 1)
    assert outcome.failure.startswith("output[1]: got 0.2, expected 0.10000000149011612 (PyTorch in float32: 0.1)\n")
