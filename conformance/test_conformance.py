"""The suite under pytest: one test for each row and check."""

from __future__ import annotations

import pytest

from conformance import frameworks, runner
from conformance.results import completeness, floors
from conformance.results.census import Line

_ran: dict[str, Line] = {}  # what ran in this process


def test_conforms(task: runner.Task, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    seed = option("conformance_seed")
    seed = runner.SEED if seed is None else seed
    note = runner.run(task, option("profile"), seed, option("examples"), runner.KINDS)
    if note.failures:
        pytest.fail(note.failure, pytrace=False)
    line = _ran.setdefault(note.row, Line(note.row))
    line.add(note)
    if line.checks == len(runner.tasks(note.row)) and line.verdict == "inconclusive":  # the last check of a component
        pytest.fail(f"{note.row} is inconclusive: {line.examples} examples compared, {line.refused} refused", False)
    if note.outcome == "not offered":
        pytest.skip("not offered")
    if option("examples") is None and frameworks.under_test().NAME == "numpyml":
        assert completeness.unreached([note]) + completeness.blunt([note]) == []
        if seed == runner.SEED:
            assert completeness.unrecorded([note]) == []
        if floors.same_draws(seed, runner.SEED, [task.row]):
            assert floors.shortfalls([note], option("profile"), firm=True) == []
        else:  # how few, the checks of a component tell together alone
            assert floors.idle([note], option("profile")) == []


def test_every_component_and_option_has_a_row() -> None:
    if frameworks.under_test().NAME == "numpyml":
        assert completeness.problems() == []
        assert floors.dropped((task.row, task.check) for task in runner.jobs()) == []
