"""Checks ask for something: what has nothing to compare counts nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance import runner
from conformance.bound import Given
from conformance.cases import ModuleCase
from conformance.census import Note
from conformance.checks import same_seed
from conformance.rows import ModuleRow


def compared_of_a_seed(name: str, options: dict[str, Any]) -> int:
    row = runner.row_of(name)
    assert isinstance(row, ModuleRow)
    note = Note(name, "same_seed")
    same_seed(ModuleCase(row, options, (Given(np.ones((2, 3))),), np.float32, True, 1), note)
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
def test_another_seed_is_asked_of_what_is_drawn_alone(name: str, options: dict[str, Any], drawn: int) -> None:
    assert compared_of_a_seed(name, options) == 6 + drawn
