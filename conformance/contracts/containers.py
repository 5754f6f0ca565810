"""Containers, one row each. What is inside comes from a short list of parts that fit one another."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.rows import ModuleRow, Part
from conformance.strategies import floats, shapes
from numpyml.nn import model

WIDTH = 4
dense = Part("nn.Linear", {"in_features": WIDTH, "out_features": WIDTH, "bias": True})
parts = st.sampled_from(
    [
        dense,
        Part("nn.Linear", {"in_features": WIDTH, "out_features": WIDTH, "bias": False}),
        Part("nn.ReLU"),
        Part("nn.Sigmoid"),
        Part("nn.Dropout", {"p": 0.25}),
        Part("nn.Flatten", {"start_dim": -1}),
        Part("nn.Sequential", {"layers": [dense, Part("nn.Sigmoid")]}),
    ]
)
lists = st.lists(parts, min_size=1, max_size=4)
named = st.dictionaries(st.sampled_from(["first", "hidden", "last", "a_b"]), parts, min_size=1, max_size=4)
features = floats(shapes(1, 3).map(lambda s: (*s, WIDTH)), ("ordinary", "ties"))

ROWS = [
    ModuleRow(model.Sequential, "nn.Sequential", {"layers": st.one_of(lists, named)}, lambda o: st.tuples(features)),
    ModuleRow(model.ModuleList, "nn.ModuleList", {"modules": lists}, lambda o: st.tuples(features), wrap=True),
    ModuleRow(model.ModuleDict, "nn.ModuleDict", {"modules": named}, lambda o: st.tuples(features), wrap=True),
]
