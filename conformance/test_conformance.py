"""The suite under pytest: one test for each row and check."""

from __future__ import annotations

import pytest

from conformance import completeness, frameworks, runner


def test_conforms(task: runner.Task, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    seed = option("conformance_seed")
    note = runner.run(task, option("profile"), runner.SEED if seed is None else seed, option("examples"))
    if note.not_offered and not note.examples:
        pytest.skip("not offered")
    if note.failure:
        pytest.fail(note.failure, pytrace=False)


def test_every_component_and_option_has_a_row() -> None:
    if frameworks.under_test().NAME == "numpyml":
        assert completeness.problems() == []
