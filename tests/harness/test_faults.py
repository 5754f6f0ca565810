"""The suite is red with any of the faults in numpyml, and green without.

Every third fault is planted here; all of them with ``FAULTS=all``, as ``tox -e faults`` does.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from conformance import runner
from conformance.faults import Fault, faults
from conformance.faults.fault import partial_replaced
from numpyml.autograd.derivatives import TABLE

PLANTED = faults() if os.environ.get("FAULTS") == "all" else faults()[::3]


def red(component: str, check: str = "", profile: str = "quick") -> list[str]:
    """The checks of a component that fail, or this one if it does."""
    tasks = [task for task in runner.tasks(component) if task.check == (check or task.check) != "long_trajectory"]
    notes = [runner.run(task, profile) for task in tasks]
    crashed = [note.failure for note in notes if note.failure.startswith(("TypeError", "NameError", "AttributeError"))]
    assert not crashed  # a fault that raises says nothing about sensitivity
    return [note.check for note in notes if note.failure]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name.replace(" ", "_"))
def test_fault_is_detected(fault: Fault) -> None:
    with fault.planted():
        # Some need a rare order of calls, or a rare option, and are left to the default profile.
        assert any(red(fault.component, fault.check, profile) for profile in ("quick", "default"))


@pytest.mark.parametrize("component", sorted({fault.component for fault in PLANTED} | {"tanh"}))
def test_without_a_fault_every_check_passes(component: str) -> None:
    assert red(component) == []


def failing_checks(factor: float) -> list[str]:
    with partial_replaced(TABLE[np.tanh], "x", lambda right: lambda g, x: right(g, x) * g.dtype.type(factor)):
        return red("tanh")


@pytest.mark.parametrize("factor", [1.01, -1.0, 1 + 1e-5])
def test_wrong_derivative_is_detected(factor: float) -> None:
    assert "function_gradients" in failing_checks(factor)


def test_equivalent_derivative_passes() -> None:
    assert failing_checks(1.0) == []
