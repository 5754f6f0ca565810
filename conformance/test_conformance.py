"""The suite under pytest: one test for each row and check."""

from __future__ import annotations

import pytest

from conformance import frameworks, runner
from conformance.results import completeness, floors


def test_conforms(task: runner.Task, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    seed = option("conformance_seed")
    seed = runner.SEED if seed is None else seed
    note = runner.run(task, option("profile"), seed, option("examples"))
    if note.not_offered and not note.examples:
        pytest.skip("not offered")
    if note.failure:
        pytest.fail(note.failure, pytrace=False)
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
