"""numpyml's size thresholds set low, and the sides of them that a run reaches.

A threshold chooses by a size between two computations of the same numbers (numpyml/kernels/thresholds.py). Set low, it
sends small arrays to the computation of large ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from numpyml.kernels import thresholds
from numpyml.nn import storage

DECLARED: dict[str, int] = {name: value for name, value in vars(thresholds).items() if name.isupper()}
LOW = (1, 2, 3, 8, 40)  # in the unit of the threshold, or its own value
SIDES = ("below", "above")

# Thresholds that no component reads, and the tests that reach both sides.
TESTED_ELSEWHERE = {
    "COPIED_STEPS": "tests/training/test_divergence.py",
    "PREDICTED_ROWS": "tests/extras/test_estimators.py",
}
# Thresholds that are compared in one precision alone.
IN_ONE_PRECISION = {"FEW_FAR": np.float32}


def label(name: str, side: str, dtype: Any) -> str:
    """The label of one side of a threshold in one precision."""
    return f"{name}: {side} in {np.dtype(dtype)}"


def unreached(sides: Iterable[str]) -> list[str]:
    """The labels that are not among these."""
    known = set(sides)
    return [
        one
        for name in DECLARED
        if name not in TESTED_ELSEWHERE
        for side in SIDES
        for dtype in (np.float32, np.float64)
        if IN_ONE_PRECISION.get(name, dtype) == dtype and (one := label(name, side, dtype)) not in known
    ]


class Recorded(int):
    """A threshold that records on which side of it each compared size is."""

    name: str
    sides: set[tuple[str, str]]

    @classmethod
    def of(cls, value: int, name: str, sides: set[tuple[str, str]]) -> Recorded:
        number = cls(value)
        number.name, number.sides = name, sides
        return number

    def _record(self, above: bool) -> None:
        self.sides.add((self.name, SIDES[above]))

    # Of ``size < threshold``, Python asks ``threshold > size`` first, since this is a subclass of int.

    def __lt__(self, size: int) -> bool:
        above = super().__lt__(size)
        self._record(above)
        return above

    def __le__(self, size: int) -> bool:
        above = super().__le__(size)
        self._record(above)
        return above

    def __gt__(self, size: int) -> bool:
        below = super().__gt__(size)
        self._record(not below)
        return below

    def __ge__(self, size: int) -> bool:
        below = super().__ge__(size)
        self._record(not below)
        return below


@contextmanager
def lowered(seed: int) -> Iterator[set[tuple[str, str]]]:
    """Context manager: every threshold is low, or at its own value, as drawn from a seed.

    Gives the names of the thresholds and the sides that sizes were on, which are complete when it ends.
    """
    rng = np.random.default_rng([seed, 11])
    sides: set[tuple[str, str]] = set()
    storage.start_chunks()  # a parameter is not allocated in a chunk of another size
    for name, value in DECLARED.items():
        low = [number for number in LOW if number < value]
        setattr(thresholds, name, Recorded.of(int(rng.choice([*low, value])), name, sides))
    try:
        yield sides
    finally:
        for name, value in DECLARED.items():
            setattr(thresholds, name, value)
        storage.start_chunks()
