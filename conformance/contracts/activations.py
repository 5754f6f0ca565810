"""Activations, one row each."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.rows import ModuleRow
from conformance.strategies import EVERY, floats, shapes
from numpyml.nn import activations

ROWS = [
    ModuleRow(activations.ReLU, "nn.ReLU", {}, lambda o: st.tuples(floats(shapes(), EVERY))),
    ModuleRow(activations.Sigmoid, "nn.Sigmoid", {}, lambda o: st.tuples(floats(shapes(), EVERY))),
]
