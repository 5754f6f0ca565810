"""Activations, one row each."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.records import AXIS_REQUIRED, LONG_SUM, SATURATED, Finding, Limit, Refused, Remark, option
from conformance.references import activations as exact
from conformance.references.activations import activation
from conformance.references.arithmetic import sigmoid, times
from conformance.rows import Large, ModuleRow
from conformance.strategies.arrays import EVERY, floats, shapes
from conformance.strategies.coverage import Strategy, among, between
from numpyml.nn import activations

FINITE = tuple(kind for kind in EVERY if kind != "infinite")  # of GELU by tanh: see its remark
BLOCKS = (Large(68),)  # 68 times 1,024 numbers of float32: more than one block
LAST_WEIGHT = "where one probability is nearly 1, its difference from 1 cancels"


def anything(options: dict[str, Any]) -> Strategy[tuple[Input, ...]]:
    """One array of any shape and kind of values."""
    return st.tuples(floats(shapes(), EVERY))


def along_an_axis(options: dict[str, Any]) -> Strategy[tuple[Input, ...]]:
    """One array with an axis ``dim``."""

    def has_axis(shape: tuple[int, ...]) -> bool:
        axes = max(len(shape), 1)
        return -axes <= options["dim"] < axes

    return st.tuples(floats(shapes(0, 4, fits=has_axis), EVERY))


AXIS = (
    Refused(option("dim", "None"), AXIS_REQUIRED),
    Remark("dim is required; PyTorch's default None picks axis 0 or 1, and warns that this is deprecated."),
)

ROWS = [
    ModuleRow(
        activations.ReLU,
        "nn.ReLU",
        {},
        anything,
        activation(lambda x: np.where(x <= 0, 0, x), lambda x: np.where(x <= 0, 0, 1)),  # NaN stays NaN
        large=BLOCKS,
    ),
    ModuleRow(
        activations.Sigmoid,
        "nn.Sigmoid",
        {},
        anything,
        activation(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
        precise=("output", "gradient of x"),
        large=BLOCKS,
        findings=(
            Finding("gradient", "sigmoid_gradient.py", SATURATED),
            Finding("output", "sigmoid_value.py", "an exponential overflows, and 1 / ∞ is 0"),
        ),
    ),
    ModuleRow(
        activations.Tanh,
        "nn.Tanh",
        {},
        anything,
        activation(np.tanh, lambda x: 4 * sigmoid(2 * x) * sigmoid(-2 * x)),
        precise=("output", "gradient of x"),
        large=BLOCKS,
        signed=True,
        findings=(Finding("gradient", "tanh_gradient.py", SATURATED),),
    ),
    ModuleRow(
        activations.SiLU,
        "nn.SiLU",
        {},
        anything,
        activation(
            lambda x: times(sigmoid(x), x),
            lambda x: sigmoid(x) * (1 + np.clip(x, -1e5, 1e5) * sigmoid(-x)),
        ),
        precise=("output", "gradient of x"),
        large=BLOCKS,
        differences=(Limit("x = -inf has a limit, 0; PyTorch computes -inf / inf"),),
        findings=(
            Finding("gradient", "silu_gradient.py", "1 − σ is rounded before it is multiplied by x"),
            Finding("output", "silu_value.py", "an exponential overflows, and x / ∞ is 0"),
        ),
    ),
    ModuleRow(
        activations.GELU,
        "nn.GELU",
        {"approximate": among("none", "tanh")},
        lambda o: st.tuples(floats(shapes(), EVERY if o["approximate"] == "none" else FINITE)),
        exact.gelu,
        precise=("output", "gradient of x"),
        large=tuple(Large(68, {"approximate": form}) for form in ("none", "tanh")),
        differences=(
            Limit("x = -inf has a limit, 0; PyTorch computes -inf * 0"),
            Remark(
                "with approximate='tanh', ±inf gives the limit, 0 or x; PyTorch computes NaN, and so does its gradient "
                "wherever x³ overflows."
            ),
        ),
        findings=(Finding("", "gelu_tail.py", "1 + erf(x/√2) has few digits left where erf is nearly -1"),),
    ),
    ModuleRow(
        activations.Softmax,
        "nn.Softmax",
        {"dim": between(-2, 2)},
        along_an_axis,
        exact.softmax,
        large=BLOCKS,
        differences=AXIS,
        findings=(
            Finding("output", "long_sum.py", LONG_SUM),
            Finding("gradient", "softmax_gradient.py", LAST_WEIGHT),
        ),
    ),
    ModuleRow(
        activations.LogSoftmax,
        "nn.LogSoftmax",
        {"dim": between(-2, 2)},
        along_an_axis,
        exact.log_softmax,
        large=BLOCKS,
        differences=AXIS,
        findings=(
            Finding("output", "long_sum.py", LONG_SUM),
            Finding("gradient", "long_sum.py", LONG_SUM),
            Finding("output", "log_softmax_value.py", "a small number is added to 1, here as well", "float64"),
        ),
    ),
]
