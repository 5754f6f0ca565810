"""numpyml's size thresholds set low, and the sizes that a run compares with them.

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
POSITIONS = ("below", "one below", "at it", "one above", "above")
Compared = set[tuple[str, int, int]]  # name of a threshold, size, value of the threshold

# Thresholds that no component reads, and the tests that reach both sides.
TESTED_ELSEWHERE = {
    "COPIED_STEPS": "tests/training/test_divergence.py",
    "PREDICTED_ROWS": "tests/extras/test_estimators.py",
}
# A threshold that is read in one precision alone, and in few cases: either side will do.
IN_ONE_PRECISION = {"FEW_FAR": np.float32}


def label(name: str, position: str, dtype: Any) -> str:
    """The label of sizes at one position of a threshold, in one precision."""
    return f"{name}: a size {position}, in {np.dtype(dtype)}"


def labels(compared: Compared, dtype: Any) -> set[str]:
    """The labels that these comparisons reach. A size one below is also one of those below."""
    reached = set()
    for name, size, threshold in compared:
        adjacent = {threshold - 1: "one below", threshold: "at it", threshold + 1: "one above"}
        positions = ("below" if size < threshold else "above", adjacent.get(size, ""))
        reached |= {label(name, position, dtype) for position in positions if position}
    return reached


def unreached(known: Iterable[str]) -> list[str]:
    """The labels that should be among these, and are not."""
    wanted = [
        label(name, position, dtype)
        for name in DECLARED
        if name not in TESTED_ELSEWHERE
        for position in (("below", "above") if name in IN_ONE_PRECISION else POSITIONS)
        for dtype in (np.float32, np.float64)
        if IN_ONE_PRECISION.get(name, dtype) == dtype
    ]
    return sorted(set(wanted) - set(known))


class Recorded(int):
    """A threshold that records every size that is compared with it."""

    name: str
    compared: Compared

    @classmethod
    def of(cls, value: int, name: str, compared: Compared) -> Recorded:
        number = cls(value)
        number.name, number.compared = name, compared
        return number

    def _record(self, size: int) -> None:
        self.compared.add((self.name, int(size), int(self)))

    # Of ``size < threshold``, Python asks ``threshold > size`` first, since this is a subclass of int.

    def __lt__(self, size: int) -> bool:
        self._record(size)
        return super().__lt__(size)

    def __le__(self, size: int) -> bool:
        self._record(size)
        return super().__le__(size)

    def __gt__(self, size: int) -> bool:
        self._record(size)
        return super().__gt__(size)

    def __ge__(self, size: int) -> bool:
        self._record(size)
        return super().__ge__(size)


@contextmanager
def in_force(values: dict[str, int]) -> Iterator[Compared]:
    """Context manager: the thresholds have these values, the others their own. Gives the comparisons with them, which
    are complete when it ends."""
    compared: Compared = set()
    storage.start_chunks()  # a parameter is not allocated in a chunk of another size
    for name, value in {**DECLARED, **values}.items():
        setattr(thresholds, name, Recorded.of(value, name, compared))
    try:
        yield compared
    finally:
        for name, value in DECLARED.items():
            setattr(thresholds, name, value)
        storage.start_chunks()


def levels(seed: int, compared: Compared, times: int) -> Iterator[dict[str, int]]:
    """The values of the thresholds, drawn from a seed: first low ones, so that everything is large; then, so many
    times, a size that was compared with the threshold before, or one more or less, in turn. Some are low instead, some
    have their own value, since one may hide another. None is above its own.

    ``compared`` are all comparisons so far; the caller adds to it.
    """
    rng = np.random.default_rng([seed, 11])
    turns = {name: int(rng.integers(3)) for name in DECLARED}
    yield {name: int(rng.integers(2, 4)) for name in DECLARED if rng.random() > 0.15}
    for time in range(times):
        values = {}
        for name, own in DECLARED.items():
            more = (turns[name] + time) % 3 - 1
            sizes = [size + more for other, size, _ in sorted(compared) if other == name]
            # Only FEW_FAR is compared with a difference, which may be negative; others are also lengths.
            near = [size for size in sizes if 0 < size <= own or size < more]
            way = rng.random()
            if near and way < 0.7:
                values[name] = int(rng.choice(near))
            elif way < 0.85:
                values[name] = min(own, int(rng.choice((4, 7, 40))))
        yield values
