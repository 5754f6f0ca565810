"""Activations, one row each."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.rows import Large, ModuleRow
from conformance.strategies.arrays import EVERY, floats, shapes
from conformance.strategies.coverage import among, between
from numpyml.nn import activations

FINITE = tuple(kind for kind in EVERY if kind != "infinite")  # see GELU in divergences.REMARKS
BLOCKS = (Large(68),)  # times 1,024 numbers of float32: more than are ever computed at a time

ROWS = [
    ModuleRow(activations.ReLU, "nn.ReLU", {}, lambda o: st.tuples(floats(shapes(), EVERY)), large=BLOCKS),
    ModuleRow(activations.Sigmoid, "nn.Sigmoid", {}, lambda o: st.tuples(floats(shapes(), EVERY)), large=BLOCKS),
    ModuleRow(activations.Tanh, "nn.Tanh", {}, lambda o: st.tuples(floats(shapes(), EVERY)), large=BLOCKS, signed=True),
    ModuleRow(activations.SiLU, "nn.SiLU", {}, lambda o: st.tuples(floats(shapes(), EVERY)), large=BLOCKS),
    ModuleRow(
        activations.GELU,
        "nn.GELU",
        {"approximate": among("none", "tanh")},
        lambda o: st.tuples(floats(shapes(), EVERY if o["approximate"] == "none" else FINITE)),
        large=BLOCKS,
    ),
    *(
        ModuleRow(
            ours,
            f"nn.{ours.__name__}",
            {"dim": between(-2, 2)},
            lambda o: st.tuples(floats(shapes(0, 4, fits=lambda s: _has(s, o["dim"])), EVERY)),
            large=BLOCKS,
        )
        for ours in (activations.Softmax, activations.LogSoftmax)
    ),
]


def _has(shape: tuple[int, ...], dim: int) -> bool:
    """Whether the axis is there."""
    axes = max(len(shape), 1)
    return -axes <= dim < axes
