"""The suite under pytest: one test for each row and check."""

from __future__ import annotations

import pytest

from conformance import completeness, runner


def test_conforms(task: runner.Task, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    seed = option("conformance_seed")
    seed = runner.SEED if seed is None else seed
    note = runner.run(task, option("profile"), seed, option("examples"))
    if note.failure:
        pytest.fail(note.failure, pytrace=False)
    if option("examples") is None:
        assert completeness.unreached([note]) == []
        if firm := completeness.same_draws(seed, runner.SEED):
            assert completeness.shortfalls([note], option("profile"), firm) == []


def test_every_component_and_option_has_a_row() -> None:
    assert completeness.problems() == []
    assert completeness.dropped((task.row, task.check) for task in runner.jobs()) == []
