"""Containers, one row each. Their modules come from a short list of parts with compatible shapes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.records import SATURATED, Finding, OtherDefault, Remark
from conformance.rows import ContainerRow, Part
from conformance.strategies.arrays import EVERY, floats, shapes
from conformance.strategies.coverage import Purposeful, Strategy, purposeful
from conformance.strategies.offered import has_part
from numpyml.nn import model

WIDTH = 4
DENSE = Part("nn.Linear", {"in_features": WIDTH, "out_features": WIDTH, "bias": True})
PARTS = {
    "Dense": DENSE,
    "Dense without bias": Part("nn.Linear", {"in_features": WIDTH, "out_features": WIDTH, "bias": False}),
    "ReLU": Part("nn.ReLU"),
    "Sigmoid": Part("nn.Sigmoid"),
    "Dropout": Part("nn.Dropout", {"p": 0.25}),
    "Flatten": Part("nn.Flatten", {"start_dim": -1}),
    "Sequential": Part("nn.Sequential", {"layers": [DENSE, Part("nn.Sigmoid")]}),
}
parts = st.sampled_from(list(PARTS.values())).filter(has_part)
LABELS = {": by name", ": in a list", ": several", *(f": {part}" for part in PARTS)}


def inside(strategy: Strategy[Any], *impossible: str) -> Purposeful:
    """A strategy of parts, in a list or by name, without impossible labels."""

    def of(parts: Any) -> list[str]:
        named = isinstance(parts, dict)
        members = [*parts.values()] if named else parts
        labels = [f": {name}" for name, part in PARTS.items() if part in members]
        return [*labels, ": by name" if named else ": in a list", *[": several"] * (len(members) > 1)]

    return purposeful(strategy, sorted(LABELS - set(impossible)), of)


lists = st.lists(parts, min_size=1, max_size=4)
dicts = st.dictionaries(st.sampled_from(["first", "hidden", "last", "a_b"]), parts, min_size=1, max_size=4)
either = inside(lists | dicts)
listed, named = inside(lists.map(list), ": by name"), inside(dicts.map(dict), ": in a list")
# Few rows: PyTorch's float64 must confirm the wider answer, and sums the gradients of many rows one by one.
features = floats(shapes(1, 3, elements=64).map(lambda s: (*s, WIDTH)), EVERY)

FINDINGS = (
    Finding("gradient", "sigmoid_gradient.py", f"the sigmoids inside: {SATURATED}"),
    Finding("output", "sigmoid_value.py", "the sigmoids inside: an exponential overflows, and 1 / ∞ is 0"),
)

ROWS = [
    ContainerRow(
        model.Sequential,
        "nn.Sequential",
        {"layers": either},
        lambda o: st.tuples(features),
        differences=(Remark("an empty one is refused."),),
        findings=FINDINGS,
    ),
    ContainerRow(
        model.ModuleList,
        "nn.ModuleList",
        {"modules": listed},
        lambda o: st.tuples(features),
        differences=(OtherDefault("(modules=())", "an empty list, as PyTorch's None is"),),
        findings=FINDINGS,
    ),
    ContainerRow(
        model.ModuleDict, "nn.ModuleDict", {"modules": named}, lambda o: st.tuples(features), findings=FINDINGS
    ),
]
