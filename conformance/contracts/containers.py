"""Containers, one row each. What is inside comes from a short list of parts that fit one another."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.rows import ModuleRow
from conformance.strategies import floats, shapes
from numpyml.nn import activations, layers, model

WIDTH = 4
parts = st.sampled_from(
    [
        lambda dtype: layers.Dense(WIDTH, WIDTH, dtype=dtype),
        lambda dtype: layers.Dense(WIDTH, WIDTH, bias=False, dtype=dtype),
        lambda dtype: activations.ReLU(),
        lambda dtype: activations.Sigmoid(),
        lambda dtype: layers.Dropout(0.25),
        lambda dtype: layers.Flatten(-1),
        lambda dtype: model.Sequential([layers.Dense(WIDTH, WIDTH, dtype=dtype), activations.Sigmoid()]),
    ]
)
# A part is made anew from its recipe for every run, in the dtype of the run.
recipes = st.lists(parts, min_size=1, max_size=4)
named = st.dictionaries(st.sampled_from(["first", "hidden", "last", "a_b"]), parts, min_size=1, max_size=4)
features = floats(shapes(1, 3).map(lambda s: (*s, WIDTH)), ("ordinary", "ties"))

ROWS = [
    ModuleRow(model.Sequential, "nn.Sequential", {"layers": st.one_of(recipes, named)}, lambda o: st.tuples(features)),
    ModuleRow(model.ModuleList, "nn.ModuleList", {"modules": recipes}, lambda o: st.tuples(features), wrap=True),
    ModuleRow(model.ModuleDict, "nn.ModuleDict", {"modules": named}, lambda o: st.tuples(features), wrap=True),
]
