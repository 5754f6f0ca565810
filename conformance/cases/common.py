"""What the cases of all rows share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance.comparison.answers import Answer, gradient, output
from conformance.comparison.rule import Input
from conformance.frameworks import offers, under_test
from conformance.frameworks.signatures import component_defaults
from conformance.rows import Large, same_default
from conformance.strategies.arrays import ONE_NUMBER, laid_out, possible_layouts
from conformance.strategies.coverage import (
    PRECISIONS,
    UNSAID,
    Coverage,
    Draw,
    Purpose,
    Strategy,
    likely,
    mark,
    options_inside,
)
from conformance.strategies.offered import offered
from numpyml.typing import Array

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
GY = "incoming gradient"
LEFT_OUT = " left out"
UNUSUAL = ("fortran", "reversed", "broadcast", ONE_NUMBER)


def precisions(among: Sequence[np.dtype[Any]] = DTYPES) -> Strategy[np.dtype[Any]]:
    """The precisions that are offered."""
    usable = [dtype for dtype in among if dtype.name in offered().dtypes]
    return st.sampled_from(usable) if usable else st.nothing()


def modes() -> Strategy[bool]:
    """Training and evaluation, of what is offered."""
    return st.booleans() if len(set(offered().training)) > 1 else st.just(bool(offered().training[0]))


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


@st.composite
def large_sizes(draw: Draw, sizes: tuple[Large, ...]) -> tuple[Large, np.dtype[Any]]:
    """How a large case is given many elements, and its precision: every pair of them is promised."""
    offer = offered()
    pairs = [
        (large, dtype)
        for large in sizes
        for dtype in DTYPES
        if dtype.name in offer.dtypes and all(offer.has(name, value) for name, value in large.options.items())
    ]
    assume(pairs)
    labels = {pair: f"large={pair[0]} in {pair[1]}" for pair in pairs}
    pair = draw(st.sampled_from(likely(pairs, lambda pair: [labels[pair]])))
    mark(labels.values(), [labels[pair]])
    return pair


class Case:
    """One drawn example of a row: options, precision and seed. Its subclasses add what goes in and what each side
    computes from that; see ``problem``."""

    numbers: Mapping[str, Input]  # the floating numbers that go in
    incoming_promised: tuple[str, ...] = UNUSUAL  # layouts of incoming gradients that every row must have had

    def __init__(self, row: Any, options: Mapping[str, Any], dtype: Any, seed: int) -> None:
        self.row, self.options, self.dtype, self.seed = row, options, np.dtype(dtype), seed
        self.large: Large | None = None  # how it has many elements
        # Whether the framework's call leaves out the options at their defaults. PyTorch and the reference get all of
        # them: the values in use are compared, not signatures.
        self.brief = seed % 4 > 1
        self.incoming_layout: str | None = None  # of the first incoming gradient; None: any, by the seed

    @property
    def defaults(self) -> Mapping[str, Any]:
        """PyTorch's default of every option that the framework's call may leave out; there are none where its adapter
        does not say so."""
        return component_defaults(self.row) if offers(under_test(), "LEAVES_OUT") else {}

    def passed(self, options: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the framework's call is given of these options."""
        known = self.defaults if defaults is None else defaults
        return {name: x for name, x in options.items() if not (self.brief and same_default(name, x, known))}

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
        strategies = options_inside(getattr(self.row, "options", {}))  # a function's are in the strategy of its calls
        coverage.options({name: s for name, s in strategies.items() if name not in settled}, self.options)
        if not self.large:
            self.add_left_out(coverage)
            for name, x in self.named_inputs.items():
                coverage.add(name, getattr(x, "purpose", UNSAID), (x, self.dtype))
            coverage.add("", Purpose(tuple(offered().dtypes), PRECISIONS.of), self.dtype)
        return coverage

    def add_incoming(self, coverage: Coverage) -> None:
        """Add the labels of the memory layouts that the first incoming gradient can have and that matter most often,
        and of its own. A row of many parts draws them, and need not have had each."""
        if self.large or getattr(self.row, "composed", False):
            return
        x = self.numbers.get(GY)
        if x is not None:
            layouts = possible_layouts(x.values.shape)
            coverage.promised.update(f"{GY}: {layout} layout" for layout in layouts if layout in self.incoming_promised)
            coverage.reached.update(f"{GY}: {layout} layout" for layout in layouts if layout == x.layout)

    def add_left_out(self, coverage: Coverage) -> None:
        """Add the labels of the options that may be left out, and of those that this case leaves out. A row of many
        parts is to leave them out all at once alone, in the check nothing_given."""
        if getattr(self.row, "composed", False):
            return
        costly = {name for field in ("costly", "constructed_only") for name in getattr(self.row, field, ())}
        named = self.defaults.keys() & self.options.keys() - costly
        coverage.promised.update(name + LEFT_OUT for name in named)
        coverage.reached.update(name + LEFT_OUT for name in self.defaults.keys() - self.passed(self.options).keys())

    @property
    def left_out(self) -> list[str]:
        """The options that the framework's call leaves out."""
        passed = self.passed(self.options)
        return [name for name in self.options if name not in passed]

    def details(self) -> list[str]:
        """What goes in besides the options, for a failure message: a line each."""
        return [f"{name} = {x!r}" for name, x in self.named_inputs.items()]

    def arguments(self) -> list[str]:
        """What the component is called with, as in source code."""
        return [f"{name}={value!r}" for name, value in self.options.items()]

    def __repr__(self) -> str:
        first = f"{self.row.name}({', '.join(self.arguments())}), {self.dtype}"
        left_out = [f"left out, at the default: {', '.join(self.left_out)}"] * bool(self.left_out)
        layout = self.incoming_layout or "C"
        incoming = [f"{GY}: {layout} layout"] * (layout != "C")
        return "\n    ".join([first, *self.details(), *incoming, *left_out, f"seed = {self.seed}"])
