"""The suite under pytest: one test for each row and check."""

from __future__ import annotations

import pytest

from conformance import completeness, runner


def test_conforms(task: runner.Task, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    seed = option("conformance_seed")
    note = runner.run(task, option("profile"), runner.SEED if seed is None else seed, option("examples"))
    if note.failure:
        pytest.fail(note.failure, pytrace=False)
    if option("examples") is None:
        assert completeness.unreached([note]) == []
        assert completeness.shortfalls([note], option("profile")) == []


def test_every_component_and_option_has_a_row() -> None:
    assert completeness.problems() == []
    assert completeness.dropped((task.row, task.check) for task in runner.jobs()) == []
