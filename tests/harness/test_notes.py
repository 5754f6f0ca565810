"""Notes count what they compare and keep the worst; a census holds only if nothing failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from conformance.comparison.answers import Answer, output
from conformance.comparison.rule import Input, Problem
from conformance.errors import Mismatch
from conformance.results.census import Census, Failure, Note
from numpyml.typing import Array


def note() -> Note:
    return Note("Dense", "output")


def test_same_means_the_same_bits() -> None:
    x = np.array([1.0, 0.0, np.nan, np.inf], np.float32)
    known = note()
    known.same("x", x.copy(), x)
    assert known.comparisons == 4
    others = [
        np.array([1.0, -0.0, np.nan, np.inf], np.float32),
        np.array([1.0, 0.0, np.nan, -np.inf], np.float32),
        np.array([1.0, 0.0, 0.0, np.inf], np.float32),
        np.nextafter(x, np.float32(9)),
        x.astype(np.float64),
        x[None],
        x[:3],
    ]
    for other in others:
        with pytest.raises(Mismatch, match=r"^x"):
            known.same("x", other, x)
    assert known.comparisons == 4


def test_a_promise_that_does_not_hold_is_a_mismatch() -> None:
    known = note()
    known.require(True, "it holds")
    with pytest.raises(Mismatch, match=r"^it does not$"):
        known.require(False, "it does not")
    assert known.comparisons == 1


def doubled(error: float, torch_error: float = 0.0) -> Problem:
    """Twice three numbers; in float32 our answer and PyTorch's are off by these, in units in the last place."""

    def right(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return {output(): arrays["x"] * 2}

    def off(units: float) -> Any:
        def run(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            y = right(arrays)[output()]
            return {output(): (y + units * np.spacing(y)).astype(y.dtype) if y.dtype == np.float32 else y}

        return run

    return Problem({"x": Input(np.array([1.0, 1.25, 1.5]))}, off(error), off(torch_error), right, formula="2 x")


def test_judge_counts_and_keeps_the_worst() -> None:
    known = note()
    for error in (1, 4, 0):
        known.judge(doubled(error), np.float32, 1)
    assert known.comparisons == 9 and known.ulps == 4 and 0.1 < known.error < 1
    worst = known.error
    known.judge(doubled(0, 64), np.float32, 1)
    assert known.error == worst and sum(known.findings.values()) == 3
    with pytest.raises(Mismatch, match="output"):
        known.judge(doubled(64), np.float32, 1)


@pytest.mark.parametrize("error", [np.nan, np.inf, -np.inf])
def test_judge_refuses_what_is_not_finite(error: float) -> None:
    with pytest.raises(Mismatch, match="output"):
        note().judge(doubled(error), np.float32, 1)


def test_a_run_holds_if_something_passed_and_nothing_failed_or_is_missing() -> None:
    def holds(*notes: Note, incomplete: tuple[str, ...] = ()) -> bool:
        census = Census()
        census.notes, census.about.incomplete = list(notes), list(incomplete)
        return census.holds

    passed = Note("Dense", "output", examples=1, comparisons=9)
    assert holds(passed)
    assert not holds(passed, Note("ReLU", "output", examples=1, comparisons=9, failures=[Failure("output: off by 1")]))
    assert not holds(passed, incomplete=("ReLU has no contract row",))
    assert not holds()
    assert not holds(Note("ReLU", "output", examples=9))


def test_failures_survive_the_json() -> None:
    census = Census()
    census.notes = [
        Note("Dense", "output", comparisons=9, failures=[Failure("output: off by 1", 2.5)], error=float("inf"))
    ]
    again = Census.from_json(json.loads(json.dumps(census.as_json())))
    assert again.notes == census.notes and not again.holds and len(again.failures) == 1


def test_every_component_that_ran_has_a_line() -> None:
    census = Census()
    names = [f"component {i}" for i in range(4)]
    census.notes = [Note(name, check, comparisons=1) for name in names for check in ("output", "large")]
    assert [line.row for line in census.lines()] == names
    assert sum(map(len, census.groups().values())) == len(names)
    assert census.total().checks == 8
