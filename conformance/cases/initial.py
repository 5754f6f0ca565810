"""One drawn array of a row of initial values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.cases.common import DTYPES
from conformance.frameworks import pytorch
from conformance.rows import InitialRow
from conformance.strategies.arrays import Shape, seeds
from conformance.strategies.coverage import PRECISIONS, Coverage, Draw
from numpyml.typing import Array


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

    def coverage(self) -> Coverage:
        """What the strategies promise of this case, and what it reaches."""
        coverage = Coverage()
        coverage.options(self.row.options, self.options)
        coverage.add("", PRECISIONS, self.dtype)
        return coverage

    def __repr__(self) -> str:
        return f"{self.row.name}({dict(self.options)}), {self.dtype}{self.shape}, seed = {self.seed}"


@st.composite
def initial_cases(draw: Draw, row: InitialRow) -> InitialCase:
    """Options, shape and precision."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    return InitialCase(row, options, draw(row.shapes), draw(st.sampled_from(DTYPES)), draw(seeds))
