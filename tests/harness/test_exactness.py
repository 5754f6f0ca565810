"""Labels are exact in the rule, and PyTorch's own error is not granted where precision is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from conformance.comparison.answers import Answer, output
from conformance.comparison.rule import Input, Problem, judge
from numpyml.typing import Array

FLOAT32 = np.dtype(np.float32)


def problem(exact: bool, torch_loses: bool = False) -> Problem:
    """Binary cross-entropy log(1 + e^x) − x t at x = 15, t = 1; our answer is 17 % off."""

    def right(inputs: Mapping[str, Array]) -> dict[Answer, Array]:
        x, t = inputs["x"], inputs["t"]
        return {output(): (1 - t) * x + np.log1p(np.exp(-x))}

    def wrong(inputs: Mapping[str, Array]) -> dict[Answer, Array]:
        return {output(): (right(inputs)[output()] * 1.17).astype(FLOAT32)}

    def theirs(inputs: Mapping[str, Array]) -> dict[Answer, Array]:
        return wrong(inputs) if torch_loses and inputs["x"].dtype == FLOAT32 else right(inputs)

    inputs = {"x": Input(np.array([15.0])), "t": Input(np.array([1.0]), exact=exact)}
    return Problem(inputs, wrong, theirs, right, formula="the loss")


def test_an_error_of_17_percent_is_detected_if_the_label_is_exact() -> None:
    assert not judge(problem(exact=False), FLOAT32, 0)[0].failure
    assert "got" in judge(problem(exact=True), FLOAT32, 0)[0].failure


def test_error_of_pytorch_is_granted_unless_precision_is_promised() -> None:
    granted = problem(exact=True, torch_loses=True)
    assert not judge(granted, FLOAT32, 0)[0].failure
    assert "own error" not in judge(replace(granted, granted=False), FLOAT32, 0)[0].failure
    assert judge(replace(granted, granted=False), FLOAT32, 0)[0].failure
