"""Every check of components fails where what it checks is wrong: alone, in the quick profile."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from conformance import runner
from conformance.comparison import rule
from conformance.faults import Fault, faults, named
from conformance.faults.fault import partial_replaced
from numpyml.autograd.derivatives import TABLE
from numpyml.autograd.tensor import Tensor
from numpyml.nn import init, optimizers
from numpyml.nn.schedulers import steps

ELSEWHERE = {
    "buffers": "test_buffers.py",  # no component has any yet
    "state_after_every_call": "test_histories.py",
}


class Wider:
    """A generator whose normal values have twice the deviation."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    def normal(self, mean: float, std: float, shape: Any) -> Any:
        return self.generator.normal(mean, 2 * std, shape)


def overwritten(right: Any) -> Any:
    def accumulate(self: Any, gx: Any) -> None:
        self._grad = None
        right(self, gx)

    return accumulate


# Where no planted fault is meant for the check, or another is seen sooner: the component, and a context in which it, or
# the rule, is wrong
OWN: dict[str, tuple[str, Any]] = {
    "resolution": ("Sigmoid", lambda: Fault("", "", "", rule, "K", lambda right: 1e6).planted()),
    "optimizer_resolution": ("SGD", lambda: Fault("", "", "", rule, "K", lambda right: 1e6).planted()),
    "function_gradients": (
        "tanh",
        lambda: partial_replaced(TABLE[np.tanh], "x", lambda right: lambda g, **of: -right(g, **of)),
    ),
    "function_promises": ("tanh", lambda: Fault("", "", "", Tensor, "accumulate", overwritten).planted()),
    "long_trajectory": ("SGD", lambda: named("momentum starts from zero, dampened").planted()),
    "initial_values": ("Embedding", lambda: named("standard deviation 15% too large").planted()),
    "gradients_zeroed": (
        "SGD",
        lambda: Fault("", "", "", optimizers.Optimizer, "zero_grad", lambda right: lambda self: None).planted(),
    ),
    "scheduler_rejections": (
        "StepLR",
        lambda: Fault("", "", "", steps, "number", lambda right: lambda owner, name, value, *_: value).planted(),
    ),
    "initial_distribution": (
        "normal_",
        lambda: Fault("", "", "", init, "_source", lambda right: lambda *a, **o: Wider(right(*a, **o))).planted(),
    ),
    "lockstep_float32": ("programs", lambda: named("input gradient 1% off").planted()),
    "lockstep_float64": ("programs", lambda: named("input gradient 1% off").planted()),
    "training_float32": ("programs", lambda: named("input gradient 1% off").planted()),
    "training_float64": ("programs", lambda: named("input gradient 1% off").planted()),
}
# Smallest first, of the faults that the check is meant to see
SIMPLE = ("ReLU", "Dense", "Dropout", "Tanh", "SGD", "Sequential")


def subject(check: str) -> tuple[str, AbstractContextManager[None]]:
    """A component, and a context in which it is wrong as this check must see."""
    if check in OWN:
        component, wrong = OWN[check]
        return component, wrong()
    meant = [fault for fault in faults() if fault.check == check]
    fault = min(meant, key=lambda fault: SIMPLE.index(fault.component) if fault.component in SIMPLE else len(SIMPLE))
    return fault.component, fault.planted()


CHECKS = [check for check in dict.fromkeys(task.check for task in runner.jobs()) if check not in ELSEWHERE]


@pytest.mark.parametrize("check", CHECKS)
def test_check_fails_where_its_subject_is_wrong(check: str) -> None:
    component, wrong = subject(check)
    with wrong:
        note = runner.run(runner.Task(component, check), "quick", examples=12 if component == "programs" else None)
    assert note.failure
    assert not note.failure.startswith(("TypeError", "NameError", "AttributeError"))
