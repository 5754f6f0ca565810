"""Functions that write initial values, one row each."""

from __future__ import annotations

from conformance.rows import InitialRow
from conformance.strategies.arrays import shapes
from conformance.strategies.coverage import among
from numpyml.nn import init

ROWS = [
    InitialRow(init.uniform_, "nn.init.uniform_", {"a": among(0.0, -3.0, 0.5), "b": among(1.0, 2.5)}, shapes()),
    InitialRow(
        init.kaiming_uniform_, "nn.init.kaiming_uniform_", {"a": among(0.0, 5**0.5, 0.2, -1.0)}, shapes(2, 5, 1)
    ),
    InitialRow(init.normal_, "nn.init.normal_", {"mean": among(0.0, -3.0), "std": among(1.0, 0.02)}, shapes()),
    InitialRow(init.xavier_uniform_, "nn.init.xavier_uniform_", {"gain": among(1.0, 0.5, 2.0)}, shapes(2, 5, 1)),
]
