"""Layers, one row each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.records import LONG_SUM, NOT_FINITE, RUNNING_MEAN, Finding, Refused, Remark, option
from conformance.references import layers as exact
from conformance.rows import Large, ModuleRow
from conformance.strategies.arrays import NASTY, floats, integers, shapes
from conformance.strategies.coverage import Strategy, among, between
from numpyml.nn import layers

flags = among(False, True)
normalized = among(32, (40,), (5, 7), (3, 2, 8), 8, (5, 3))
ENOUGH = 32  # features
epsilons = among(1e-5, 1e-3, 1e-12)
LONG = Finding("gradient of weight", "long_sum.py", LONG_SUM)
SQUARABLE = [kind for kind in NASTY if kind != "wide"]
NORM = (
    Refused(option("eps", "-1", "NaN", "infinity"), NOT_FINITE),
    Remark(
        "compared for ordinary numbers alone over fewer than 32 elements, and nowhere for numbers of 1e±30, whose "
        "squares overflow: where one element is nearly the whole norm, the gradient removes the component along it and "
        "cancels, as in PyTorch."
    ),
)


def normalizable(shape: Any) -> Strategy[tuple[Input, ...]]:
    """An array with these last axes."""
    last = (shape,) if isinstance(shape, int) else shape
    kinds = SQUARABLE if prod(last) >= ENOUGH else SQUARABLE[:1]
    return st.tuples(floats(shapes(0, 3, elements=48).map(lambda s: (*s, *last)), kinds))


def has_axes(shape: tuple[int, ...], start: int, end: int) -> bool:
    """Whether the axes start and end exist, in this order."""
    axes = max(len(shape), 1)
    start, end = (dim + axes if dim < 0 else dim for dim in (start, end))
    return 0 <= start <= end < axes


ROWS = [
    ModuleRow(
        layers.Dense,
        "nn.Linear",
        {"in_features": between(0, 9), "out_features": between(0, 9), "bias": among(False, True)},
        lambda o: st.tuples(floats(shapes(0, 4).map(lambda s: (*s, o["in_features"])), NASTY)),
        exact.linear,
        findings=(LONG,),
        large=(
            Large(1 / 32, {"in_features": 200, "out_features": 170}),
            Large(64, {"in_features": 2, "out_features": 3}),
        ),
    ),
    ModuleRow(
        layers.Dropout,
        "nn.Dropout",
        {"p": among(0.5, 0.0, 0.1, 0.9, 1.0, 1 / 3)},
        lambda o: st.tuples(floats(shapes(0, 5), NASTY)),
        exact.dropout,
        signed=True,
        drops=True,
    ),
    ModuleRow(
        layers.Flatten,
        "nn.Flatten",
        {"start_dim": between(-2, 2), "end_dim": between(-2, 4)},
        lambda o: st.tuples(floats(shapes(0, 5, fits=lambda s: has_axes(s, o["start_dim"], o["end_dim"])), NASTY)),
        exact.flatten,
        signed=True,
    ),
    ModuleRow(
        layers.LayerNorm,
        "nn.LayerNorm",
        {"normalized_shape": normalized, "eps": epsilons, "elementwise_affine": flags, "bias": flags},
        lambda o: normalizable(o["normalized_shape"]),
        exact.layer_norm,
        differences=NORM,
        findings=(
            Finding("gradient of bias", "long_sum.py", LONG_SUM),  # it has no square
            Finding("output", "layer_norm_mean.py", RUNNING_MEAN),
        ),
    ),
    ModuleRow(
        layers.RMSNorm,
        "nn.RMSNorm",
        {"normalized_shape": normalized, "eps": among(None, None, 1e-5, 1e-2), "elementwise_affine": flags},
        lambda o: normalizable(o["normalized_shape"]),
        exact.rms_norm,
        differences=NORM,
        complete=lambda o, dtype: o if o["eps"] is not None else {**o, "eps": float(np.finfo(dtype).eps)},
    ),
    ModuleRow(
        layers.Embedding,
        "nn.Embedding",
        {
            "num_embeddings": among(4, 7),
            "embedding_dim": between(1, 5),
            "padding_idx": among(None, None, 0, 3, -1, -4),
            "max_norm": among(None, None, 1.0, 0.1),
            "norm_type": among(2.0, 1.0, 3.0, np.inf),
            "scale_grad_by_freq": flags,
        },
        lambda o: st.tuples(integers(shapes(), 0, o["num_embeddings"])),
        exact.embedding,
        large=(
            Large(),
            Large(1 / 8, {"num_embeddings": 300, "max_norm": None, "scale_grad_by_freq": False}),
            Large(1 / 16, {"num_embeddings": 70_000, "embedding_dim": 1, "padding_idx": 69_999, "max_norm": None}),
        ),
        differences=(
            Refused(option("max_norm", "-1", "NaN", "infinity"), NOT_FINITE),
            Refused(
                option("norm_type", "-1", "NaN", "None", "a list", "a word"),
                "it must be above 0, also without max_norm; PyTorch uses it only with max_norm, and does not "
                "validate it at construction",
            ),
        ),
        findings=(LONG,),
        written=("weight",),
    ),
]
