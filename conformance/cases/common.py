"""What the cases of all rows share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from conformance.comparison.answers import Answer, gradient, output
from conformance.comparison.rule import Input
from conformance.strategies.arrays import laid_out
from numpyml.typing import Array

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
GY = "incoming gradient"


def incoming_name(i: int) -> str:
    """The name of the incoming gradient of an output."""
    return f"{GY} {i}" if i else GY


def answers(ys: Iterable[Any], gradients: Mapping[str, Any]) -> dict[Answer, Any]:
    """Outputs and gradients by what they are."""
    return {output(i): y for i, y in enumerate(ys)} | {gradient(name): g for name, g in gradients.items()}


class Case:
    """One drawn example. A case says which numbers go in and what each side computes from them; see ``problem``."""

    dtype: np.dtype[Any]
    seed: int
    numbers: Mapping[str, Input]

    @property
    def exact(self) -> dict[str, Array]:
        """The numbers that go in, in the precision of the case."""
        with np.errstate(all="ignore"):
            return {name: x.values.astype(self.dtype) for name, x in self.numbers.items()}

    def gradients_of(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The incoming gradients, one for each output, in their memory layouts and read-only."""
        return [laid_out(x, self.numbers[name].layout) for name, x in arrays.items() if name.startswith(GY)]

    @property
    def outputs(self) -> int:
        """How many outputs PyTorch's call has."""
        return sum(name.startswith(GY) for name in self.numbers)
