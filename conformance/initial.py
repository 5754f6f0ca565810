"""The check of initial values: written in place, from PyTorch's distribution, the same bits from the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.bound import Array
from conformance.cases import DTYPES
from conformance.census import Note
from conformance.frameworks import pytorch
from conformance.rows import InitialRow
from conformance.strategies import Draw, Shape, seeds

DRAWN = 4000


class InitialCase:
    """Options, and the array that is to be filled."""

    def __init__(self, row: InitialRow, options: Mapping[str, Any], shape: Shape, dtype: Any, seed: int) -> None:
        self.row, self.options, self.shape, self.dtype, self.seed = row, options, shape, np.dtype(dtype), seed

    def ours(self, array: Array, generator: np.random.Generator | None = None) -> Any:
        return self.row.ours(array, **self.options, generator=generator)

    def torch(self) -> Array:
        return pytorch.array(
            pytorch.attribute(self.row.torch)(pytorch.tensor(np.empty(self.shape, self.dtype)), **self.options)
        )

    def __repr__(self) -> str:
        return f"{self.row.name}({dict(self.options)}), {self.dtype}{self.shape}, seed = {self.seed}"


@st.composite
def initial_cases(draw: Draw, row: InitialRow) -> InitialCase:
    """Options, shape and precision."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    return InitialCase(row, options, draw(row.shapes), draw(st.sampled_from(DTYPES)), draw(seeds))


def initial_distribution(case: InitialCase, note: Note) -> None:
    """Values of PyTorch's distribution, written in place in the array's precision; a seed repeats them."""
    from numpyml import manual_seed

    manual_seed(case.seed)
    pytorch.seed(case.seed % 2**31)
    array = np.full(case.shape, np.nan, case.dtype)
    note.require(case.ours(array) is array, "another array came back than was given")
    note.require(np.isfinite(array).all(), "not every element was written")
    for how, generator in (("manual_seed", None), ("a generator", np.random.default_rng(case.seed))):
        manual_seed(case.seed)
        note.same(f"values of a second run, by {how}", case.ours(np.zeros_like(array), generator), array)
    if array.size:
        rounds = -(-DRAWN // array.size)
        ours = [np.array(case.ours(array)).ravel() for _ in range(rounds)]
        theirs = [case.torch().ravel() for _ in range(rounds)]
        same_distribution(note, "values", np.concatenate(ours), np.concatenate(theirs))


def same_distribution(note: Note, what: str, ours: Array, theirs: Array) -> None:
    """Two samples of one distribution: the same extremes, if it has any, and no telling them apart (Kolmogorov and
    Smirnov's statistic; a false alarm in a million)."""
    a, b = np.sort(ours), np.sort(theirs)
    hundredth = b.size // 100
    ends = b[hundredth] - b[0] + b[-1] - b[-1 - hundredth] <= 0.1 * (b[-1] - b[0])  # a tail would be thinner
    for x, y in ((a[0], b[0]), (a[-1], b[-1])) if ends else ():
        note.require(abs(x - y) <= 0.01 * (b[-1] - b[0]), f"extreme of {what}: {x}, PyTorch's {y}")
    both = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, both, "right") / a.size - np.searchsorted(b, both, "right") / b.size).max()
    limit = 2.7 * np.sqrt(1 / a.size + 1 / b.size)
    note.require(gap <= limit, f"{what}: distributions {gap:.3f} apart, at most {limit:.3f} by chance")


INITIAL_CHECKS = [initial_distribution]
