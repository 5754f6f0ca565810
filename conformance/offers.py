"""What an adapter says that it offers of a component. Cases are drawn inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PRECISIONS = ("float32", "float64")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The part of a component that a framework has; without arguments, all of it.

    ``options``: the values of an option, by PyTorch's name (of a function: NumPy's); one that is left out has all.
    ``dtypes``: the precisions. ``training``: the modes, True for training, False for evaluation.
    ``axes``: how many axes the first input of a module, and every operand of a function, may have.
    ``least``: the shortest axis of an array; 1 means that no array is empty.
    ``low``, ``high``: the range of the numbers that go in. ``nan``: whether NaN may be among them.
    ``subnormal``: whether numbers below the normal range may.
    ``where``: a function of the options, and of the inputs or operands as arrays, for what depends on several of these.
    Cases in which it is false are left out: it should hold in a large part of them.
    """

    options: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    dtypes: Sequence[str] = PRECISIONS
    training: Sequence[bool] = (True, False)
    axes: Sequence[int] | None = None
    least: int = 0
    low: float = -np.inf
    high: float = np.inf
    nan: bool = True
    subnormal: bool = True
    where: Callable[..., bool] | None = None

    def problem(self) -> str:
        """What is wrong with these values; empty if nothing is."""
        if not self.dtypes or not set(self.dtypes) <= set(PRECISIONS):
            return f"dtypes={self.dtypes!r}, expected some of {', '.join(PRECISIONS)}"
        if not self.training or not set(self.training) <= {True, False}:
            return f"training={self.training!r}, expected some of True, False"
        if not all(len(values) for values in self.options.values()):
            empty = next(name for name, values in self.options.items() if not len(values))
            return f"options[{empty!r}] without a value"
        return "" if self.low < self.high else f"low={self.low!r}, high={self.high!r}, expected low below high"

    @property
    def bounded(self) -> bool:
        """Whether the numbers have a range."""
        return bool(self.low > -np.inf or self.high < np.inf)

    def has(self, name: str, value: Any) -> bool:
        """Whether an option may have this value."""
        return name not in self.options or any(same(value, other) for other in self.options[name])

    def fits(self, options: Mapping[str, Any], shapes: Sequence[tuple[int, ...]], arrays: Sequence[Any]) -> bool:
        """Whether arrays of these shapes are offered under these options; ``shapes`` are those ``axes`` applies to."""
        if self.axes is not None and not all(len(shape) in self.axes for shape in shapes):
            return False
        if self.least and any(np.size(x) == 0 for x in arrays):
            return False
        return self.where is None or bool(self.where(options, *arrays))


def same(a: Any, b: Any) -> bool:
    """Whether two values of an option are equal: of one kind, so that 1 is not True, and arrays element by element."""
    if isinstance(a, bool) != isinstance(b, bool) or (a is None) != (b is None):
        return False
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and np.array_equal(a, b)
    return bool(a == b)
