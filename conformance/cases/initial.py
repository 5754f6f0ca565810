"""One drawn array of a row of initial values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.cases.common import DTYPES, Case
from conformance.frameworks import pytorch
from conformance.rows import InitialRow
from conformance.strategies.arrays import Shape, seeds
from conformance.strategies.coverage import Draw
from numpyml.typing import Array


class InitialCase(Case):
    """Options, and the shape of the array that is to be filled."""

    row: InitialRow

    def __init__(self, row: InitialRow, options: Mapping[str, Any], shape: Shape, dtype: Any, seed: int) -> None:
        super().__init__(row, options, dtype, seed)
        self.shape = shape

    def ours(self, array: Array, generator: np.random.Generator | None = None) -> Any:
        return self.row.ours(array, **self.passed(self.options), generator=generator)

    def torch(self) -> Array:
        array = pytorch.tensor(np.empty(self.shape, self.dtype))
        return pytorch.array(pytorch.attribute(self.row.torch)(array, **self.options))

    def details(self) -> list[str]:
        return [f"shape = {self.shape}"]


@st.composite
def initial_cases(draw: Draw, row: InitialRow) -> InitialCase:
    """Options, shape and precision."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    return InitialCase(row, options, draw(row.shapes), draw(st.sampled_from(DTYPES)), draw(seeds))
