"""Containers, one row each. What is inside comes from a short list of parts that fit one another."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.reach import Purposeful, Strategy, purposeful
from conformance.rows import ModuleRow
from conformance.strategies import EVERY, floats, shapes
from numpyml.nn import activations, layers, model

WIDTH = 4
# A part is made anew from its recipe for every run, in the dtype of the run.
PARTS = {
    "Dense": lambda dtype: layers.Dense(WIDTH, WIDTH, dtype=dtype),
    "Dense without bias": lambda dtype: layers.Dense(WIDTH, WIDTH, bias=False, dtype=dtype),
    "ReLU": lambda dtype: activations.ReLU(),
    "Sigmoid": lambda dtype: activations.Sigmoid(),
    "Dropout": lambda dtype: layers.Dropout(0.25),
    "Flatten": lambda dtype: layers.Flatten(-1),
    "Sequential": lambda dtype: model.Sequential([layers.Dense(WIDTH, WIDTH, dtype=dtype), activations.Sigmoid()]),
}
parts = st.sampled_from(list(PARTS.values()))
LABELS = {": by name", ": in a list", ": several", *(f": {part}" for part in PARTS)}


def inside(strategy: Strategy[Any], *impossible: str) -> Purposeful:
    """Recipes, in a list or by name."""

    def of(recipes: Any) -> list[str]:
        named = isinstance(recipes, dict)
        found = [*recipes.values()] if named else recipes
        labels = [f": {part}" for part, recipe in PARTS.items() if recipe in found]
        return [*labels, ": by name" if named else ": in a list", *[": several"] * (len(found) > 1)]

    return purposeful(strategy, sorted(LABELS - set(impossible)), of)


lists = st.lists(parts, min_size=1, max_size=4)
dicts = st.dictionaries(st.sampled_from(["first", "hidden", "last", "a_b"]), parts, min_size=1, max_size=4)
either = inside(lists | dicts)
recipes, named = inside(lists.map(list), ": by name"), inside(dicts.map(dict), ": in a list")
features = floats(shapes(1, 3).map(lambda s: (*s, WIDTH)), EVERY)

ROWS = [
    ModuleRow(model.Sequential, "nn.Sequential", {"layers": either}, lambda o: st.tuples(features)),
    ModuleRow(model.ModuleList, "nn.ModuleList", {"modules": recipes}, lambda o: st.tuples(features), wrap=True),
    ModuleRow(model.ModuleDict, "nn.ModuleDict", {"modules": named}, lambda o: st.tuples(features), wrap=True),
]
