"""Optimizers, one row each."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.rows import OptimizerRow
from numpyml.nn import optimizers

rates = st.sampled_from([1e-3, 0.1, 1.0, 0.0])
decays = st.sampled_from([0, 1e-2, 0.3])

ROWS = [
    OptimizerRow(
        optimizers.SGD,
        "optim.SGD",
        {
            "learning_rate": rates,
            "momentum": st.sampled_from([0, 0.9, 0.5]),
            "dampening": st.sampled_from([0, 0, 0.3]),
            "weight_decay": decays,
            "nesterov": st.booleans(),
            "maximize": st.booleans(),
        },
    ),
    OptimizerRow(
        optimizers.Adam,
        "optim.Adam",
        {
            "learning_rate": rates,
            "betas": st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.99), (0.9, 0.0)]),
            "eps": st.sampled_from([1e-8, 1e-3, 0.0]),
            "weight_decay": decays,
            "amsgrad": st.booleans(),
            "maximize": st.booleans(),
            "decoupled_weight_decay": st.booleans(),
        },
    ),
]
