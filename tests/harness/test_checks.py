"""Checks count what they compare, and a framework that refuses every call fails."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conformance import frameworks, runner
from conformance.cases.modules import ModuleCase
from conformance.checks.modules import same_seed
from conformance.comparison.rule import Input
from conformance.results.census import Note
from conformance.rows import ModuleRow
from numpyml.errors import NumpymlError


def compared_of_a_seed(name: str, options: dict[str, Any]) -> int:
    row = runner.row_of(name)
    assert isinstance(row, ModuleRow)
    note = Note(name, "same_seed")
    same_seed(ModuleCase(row, options, (Input(np.ones((2, 3))),), np.float32, True, 1), note)
    return note.comparisons


@pytest.mark.parametrize(
    ("name", "options", "drawn"),
    [
        ("ReLU", {}, 0),
        ("Dropout", {"p": 0.0}, 256),  # its mask, which is no random one
        ("Dropout", {"p": 0.5}, 256 + 1),
        ("Dense", {"in_features": 3, "out_features": 3, "bias": True}, 9 + 3 + 1),
    ],
)
def test_other_seeds_are_required_only_of_random_components(name: str, options: dict[str, Any], drawn: int) -> None:
    assert compared_of_a_seed(name, options) == 6 + drawn


@pytest.fixture
def stubborn(request: pytest.FixtureRequest) -> Iterator[None]:
    """numpyml, but for a call that it always refuses."""
    own = vars(frameworks.under_test())

    def refuse(*inputs: Any, **further: Any) -> None:
        raise NumpymlError("expected something else, whatever came")

    frameworks.use(SimpleNamespace(**{**own, request.param: refuse}))
    yield
    frameworks.use(None)


@pytest.mark.parametrize(
    ("stubborn", "message"),
    [
        ("backward", "valid incoming gradient: PyTorch accepts it, it is refused: expected something else"),
        ("dynamic", "valid incoming gradient, dynamic driver: PyTorch accepts it, it is refused"),
        ("load_state_dict", "valid state: PyTorch accepts it, it is refused"),
    ],
    indirect=["stubborn"],
)
@pytest.mark.parametrize("component", ["Dense", "ReLU"])
def test_framework_that_refuses_every_call_fails(stubborn: None, message: str, component: str) -> None:
    note = runner.run(runner.Task(component, "rejections"), "quick", examples=4)
    assert note.failure.startswith(message)
