"""Layers, one row each."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.reach import among, between
from conformance.rows import ModuleRow
from conformance.strategies import NASTY, floats, shapes
from numpyml.nn import layers

ROWS = [
    ModuleRow(
        layers.Dense,
        "nn.Linear",
        {"in_features": between(0, 9), "out_features": between(0, 9), "bias": among(False, True)},
        lambda o: st.tuples(floats(shapes(0, 4).map(lambda s: (*s, o["in_features"])), NASTY)),
    ),
    ModuleRow(
        layers.Dropout,
        "nn.Dropout",
        {"p": among(0.5, 0.0, 0.1, 0.9, 1.0, 1 / 3)},
        lambda o: st.tuples(floats(shapes(0, 5), NASTY)),
    ),
    ModuleRow(
        layers.Flatten,
        "nn.Flatten",
        {"start_dim": between(-2, 2), "end_dim": between(-2, 4)},
        lambda o: st.tuples(floats(shapes(0, 5, fits=lambda s: _has(s, o["start_dim"], o["end_dim"])), NASTY)),
    ),
]


def _has(shape: tuple[int, ...], start: int, end: int) -> bool:
    """Whether the axes from start to end are there, in this order."""
    axes = max(len(shape), 1)
    start, end = (dim + axes if dim < 0 else dim for dim in (start, end))
    return 0 <= start <= end < axes
