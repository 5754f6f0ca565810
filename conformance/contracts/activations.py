"""Activations, one row each."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.rows import ModuleRow
from conformance.strategies import NASTY, floats, shapes
from numpyml.nn import activations

ROWS = [
    ModuleRow(activations.ReLU, "nn.ReLU", {}, lambda o: st.tuples(floats(shapes(), NASTY))),
    ModuleRow(activations.Sigmoid, "nn.Sigmoid", {}, lambda o: st.tuples(floats(shapes(), (*NASTY, "saturated")))),
]
