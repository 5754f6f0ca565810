"""Functions that write initial values, one row each."""

from __future__ import annotations

from conformance.records import Absent, Accepted, Refused, option
from conformance.rows import InitialRow
from conformance.strategies.arrays import shapes
from conformance.strategies.coverage import among
from numpyml.nn import init

FINITE = "an initial value must be finite"

ROWS = [
    InitialRow(init.uniform_, "nn.init.uniform_", {"a": among(0.0, -3.0, 0.5), "b": among(1.0, 2.5)}, shapes()),
    InitialRow(
        init.kaiming_uniform_,
        "nn.init.kaiming_uniform_",
        {"a": among(0.0, 5**0.5, 0.2, -1.0)},
        shapes(2, 5, 1),
        differences=(
            Absent("mode", "fan_in is counted, as PyTorch does by default"),
            Absent("nonlinearity", "the gain of a leaky ReLU, as PyTorch does by default"),
            Refused(
                option("a", "None", "infinity"),
                "a negative slope is a finite number; PyTorch treats None as 0.01, and returns zeros for infinity",
            ),
            Accepted(("array of 1 axes",), "an array (fan_out,) has a fan_in of 1; PyTorch requires two axes"),
        ),
    ),
    InitialRow(
        init.normal_,
        "nn.init.normal_",
        {"mean": among(0.0, -3.0), "std": among(1.0, 0.02)},
        shapes(),
        differences=(
            Refused(option("mean", "NaN", "infinity"), FINITE),
            Refused(option("std", "infinity"), FINITE),
        ),
    ),
    InitialRow(init.xavier_uniform_, "nn.init.xavier_uniform_", {"gain": among(1.0, 0.5, 2.0)}, shapes(2, 5, 1)),
]
