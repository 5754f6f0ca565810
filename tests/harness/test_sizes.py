"""Both sides of every size threshold are reached by the check ``sizes``, and one that is not makes a run incomplete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance import runner
from conformance.results import completeness
from conformance.results.census import Note
from conformance.strategies import thresholds
from numpyml.kernels import thresholds as declared
from numpyml.nn import storage

READERS = [
    *("Dense", "LayerNorm", "Sequential", "GELU", "ReLU", "Softmax", "CrossEntropyWithLogits", "SGD", "Adam"),
    *("MultiheadAttention", "ScaledDotProductAttention", "TransformerEncoder", "TransformerDecoder"),
    *("multiply", "add", "subtract", "divide", "maximum", "minimum", "where"),
]


def test_a_few_components_reach_every_size() -> None:
    notes = [runner.run(runner.Task(name, "sizes")) for name in READERS]
    assert [note.failure for note in notes if note.failure] == []
    assert completeness.unreached_sizes(notes) == []


@pytest.mark.parametrize("name", ["UPDATED_BLOCK", "CACHED_SCORES"])
def test_a_size_that_no_case_has_makes_a_run_incomplete(name: str) -> None:
    note = Note("Dense", "sizes")
    for label in thresholds.unreached(()):
        if label != thresholds.label(name, "one above", np.float64):
            note.sizes.add(label)
    assert completeness.unreached_sizes([note]) == [
        f"size threshold {name}: a size one above, in float64 was never compared"
    ]
    assert len(completeness.unreached_sizes([])) == len(thresholds.unreached(()))


def test_every_declared_threshold_is_expected_or_tested_elsewhere() -> None:
    names = {label.split(":")[0] for label in thresholds.unreached(())}
    assert names | set(thresholds.TESTED_ELSEWHERE) == {name for name in vars(declared) if name.isupper()}
    root = Path(__file__).parents[2]
    for name, file in thresholds.TESTED_ELSEWHERE.items():
        assert f'(thresholds, "{name}", ' in (root / file).read_text("utf-8")


def test_compared_sizes_are_recorded_on_either_side_of_the_operator() -> None:
    with thresholds.in_force({"FEW_ROWS": 3}) as compared:
        three = declared.FEW_ROWS
        answers = [three > 2, three >= 3, three < 4, three <= 5, min(2, three), max(2, three)]
    assert answers == [True, True, True, True, 2, 3] and {size for _, size, _ in compared} == {2, 3, 4, 5}
    assert thresholds.labels(compared, np.float32) == {
        thresholds.label("FEW_ROWS", position, np.float32) for position in thresholds.POSITIONS
    }


def test_thresholds_are_restored_after_an_error() -> None:
    def fail() -> None:
        with thresholds.in_force({"FEW_ROWS": 3, "CHUNK_BYTES": 64}):
            storage.allocate((2,), np.dtype(np.float32))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert {name: getattr(declared, name) for name in thresholds.DECLARED} == thresholds.DECLARED
    assert type(declared.FEW_ROWS) is int and not storage._current


def test_lowered_thresholds_lie_beside_compared_sizes_and_below_their_own() -> None:
    compared = {("FEW_ROWS", 10, 64), ("CHUNK_BYTES", 1 << 20, 1 << 18), ("FEW_FAR", -5, 2048)}
    drawn: dict[str, set[int]] = {}
    for seed in range(200):
        for values in thresholds.levels(seed, compared, 3):
            for name, value in values.items():
                drawn.setdefault(name, set()).add(value)
    assert all(max(values) <= thresholds.DECLARED[name] for name, values in drawn.items())
    assert drawn["FEW_ROWS"] == {2, 3, 4, 7, 9, 10, 11, 40} and drawn["FEW_FAR"] >= {-6, -5, -4}
    assert drawn["UPDATED_BLOCK"] == {2, 3, 4, 7, 40}
