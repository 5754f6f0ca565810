"""What the cases of all rows share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from conformance.comparison.answers import Answer, gradient, output
from conformance.comparison.rule import Input
from conformance.rows import Large
from conformance.strategies.arrays import laid_out
from conformance.strategies.coverage import PRECISIONS, UNSAID, Coverage
from numpyml.typing import Array

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
GY = "incoming gradient"


def incoming_name(i: int) -> str:
    """The name of the incoming gradient of an output."""
    return f"{GY} {i}" if i else GY


def dtype_of(arrays: Mapping[str, Array]) -> np.dtype[Any]:
    """The precision of the arrays of a call: that of its incoming gradients."""
    return next(x.dtype for name, x in arrays.items() if name.startswith(GY))


def answers(ys: Iterable[Any], gradients: Mapping[str, Any]) -> dict[Answer, Any]:
    """Outputs and gradients by what they are."""
    return {output(i): y for i, y in enumerate(ys)} | {gradient(name): g for name, g in gradients.items()}


def refusal(run: Callable[[], Any]) -> ValueError | None:
    """PyTorch's reason to refuse a call."""
    try:
        run()
    except ValueError as reason:
        return reason
    return None


class Case:
    """One drawn example of a row: options, precision and seed. Its subclasses add what goes in and what each side
    computes from that; see ``problem``."""

    numbers: Mapping[str, Input]  # the floating numbers that go in

    def __init__(self, row: Any, options: Mapping[str, Any], dtype: Any, seed: int) -> None:
        self.row, self.options, self.dtype, self.seed = row, options, np.dtype(dtype), seed
        self.large: Large | None = None  # how it has many elements

    @property
    def named_inputs(self) -> Mapping[str, Input]:
        """The arrays that were drawn, by name."""
        return {}

    @property
    def exact(self) -> dict[str, Array]:
        """``numbers`` in the precision of the case."""
        with np.errstate(all="ignore"):
            return {name: x.values.astype(self.dtype) for name, x in self.numbers.items()}

    def gradients_of(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The incoming gradients, one for each output, in their memory layouts and read-only."""
        return [laid_out(x, self.numbers[name].layout) for name, x in arrays.items() if name.startswith(GY)]

    @property
    def outputs(self) -> int:
        """How many outputs PyTorch's call has."""
        return sum(name.startswith(GY) for name in self.numbers)

    def coverage(self) -> Coverage:
        """What the strategies promise of this case, and what it reaches."""
        coverage = Coverage(self.large is not None)
        settled = self.large.options if self.large else {}
        strategies = getattr(self.row, "options", {})  # those of a function are in the strategy of its calls
        coverage.options({name: s for name, s in strategies.items() if name not in settled}, self.options)
        if not self.large:
            for name, x in self.named_inputs.items():
                coverage.add(name, getattr(x, "purpose", UNSAID), (x, self.dtype))
            coverage.add("", PRECISIONS, self.dtype)
        return coverage

    def details(self) -> list[str]:
        """What goes in besides the options, for a failure message: a line each."""
        return [f"{name} = {x!r}" for name, x in self.named_inputs.items()]

    def arguments(self) -> list[str]:
        """What the component is called with, as in source code."""
        return [f"{name}={value!r}" for name, value in self.options.items()]

    def __repr__(self) -> str:
        first = f"{self.row.name}({', '.join(self.arguments())}), {self.dtype}"
        return "\n    ".join([first, *self.details(), f"seed = {self.seed}"])
