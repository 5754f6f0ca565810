"""Options of ``pytest conformance``: the same profile, seed and number of examples as on the command line."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--profile, --conformance-seed, --examples, --framework."""
    group = parser.getgroup("conformance")
    group.addoption("--profile", default="default", help="quick, default or thorough")
    group.addoption("--conformance-seed", type=int, help="another seed")
    group.addoption("--framework", help="the adapter of another framework")
    group.addoption("--examples", type=int, help="examples for each check")


def pytest_configure(config: pytest.Config) -> None:
    """One clear line for what could not run, before anything does."""
    from conformance import frameworks, runner
    from conformance.errors import Misuse

    if not config.getoption("help"):
        try:
            runner.ready()
            frameworks.use(frameworks.load(config.getoption("framework")))
            runner.planned(None, config.getoption("profile"), config.getoption("examples"))
        except Misuse as error:
            raise pytest.UsageError(f"conformance: {error}") from None


def pytest_generate_tests(metafunc: Any) -> None:
    """One test for each row and check, such as LayerNorm-parameter_gradients."""
    if "task" in metafunc.fixturenames:
        from conformance import runner

        metafunc.parametrize("task", runner.tasks(), ids=str)
