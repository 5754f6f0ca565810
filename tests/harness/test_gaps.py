"""What is missing in a run is a line each: a promise, a sensitivity, a finding, a floor, a check."""

from __future__ import annotations

from conformance.results import completeness, floors
from conformance.results.census import UNRECORDED, Note

RECORDED = {"default": {"Dense": {"output": 100, "copies": 100}}}


def run(output: int = 100, copies: int = 100) -> list[Note]:
    return [Note("Dense", name, examples=9, comparisons=n) for name, n in (("output", output), ("copies", copies))]


def test_promise_that_is_not_reached_is_a_gap() -> None:
    note = Note("Dense", "output", covers=True, promised={"float32", "x: nan"}, reached={"float32": 3})
    assert completeness.unreached([note]) == ["Dense-output: x: nan was promised and never drawn"]
    note.reached["x: nan"] = 3
    assert completeness.unreached([note]) == []


def test_unmeasured_sensitivity_is_a_gap() -> None:
    note = Note("Dense", "resolution", comparisons=1, sensitivity={"float32", "float64"}, resolution={"float64": 8.0})
    assert len(completeness.blunt([note])) == 1
    note.resolution["float32"] = 8.0
    assert completeness.blunt([note]) == []


def test_finding_that_is_not_on_record_is_a_gap() -> None:
    note = Note("Dense", "output", comparisons=1, findings={"output in float32: a reason": 1})
    assert completeness.unrecorded([note]) == []
    note.findings[f"output in float64: {UNRECORDED}"] = 1
    assert len(completeness.unrecorded([note])) == 1


def test_fewer_comparisons_than_recorded_are_a_gap() -> None:
    assert floors.shortfalls(run(), "default", True, RECORDED) == []
    assert len(floors.shortfalls(run(output=50), "default", True, RECORDED)) == 1
    assert len(floors.shortfalls(run(output=50, copies=0), "default", True, RECORDED)) == 2


def test_check_that_compares_nothing_is_a_gap_with_any_draws() -> None:
    assert floors.shortfalls(run(output=50), "default", False, RECORDED) == []
    (idle,) = floors.shortfalls(run(output=0), "default", False, RECORDED) or [""]
    assert idle.startswith("Dense-output: nothing was compared")
    few = floors.shortfalls(run(output=0, copies=1), "default", False, RECORDED)
    assert any(line.startswith("Dense: 1 comparisons ran") for line in few)


def test_check_that_no_longer_runs_is_a_gap() -> None:
    assert floors.dropped([("Dense", "output"), ("Dense", "copies")], RECORDED) == []
    assert len(floors.dropped([("Dense", "output")], RECORDED)) == 1
