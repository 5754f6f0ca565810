"""The purposes of strategies, and whether they were reached.

The purpose of a strategy is the values or classes of values that it must draw, as labels such as ``bias=False``,
``axis: from the back`` or ``x: nan``. A label is promised as soon as its strategy is part of a case, and reached when
a check has passed on a case with such a value; arrays are tested with their flags and strides. A promised label that no
case reaches is an error (:func:`conformance.results.completeness.unreached`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from conformance.strategies.offered import EVERYTHING, offered

Strategy = st.SearchStrategy
Draw = st.DrawFn
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Purpose:
    """The labels of a strategy, and the function that returns those of a value."""

    labels: tuple[str, ...]
    of: Callable[[Any], Iterable[str]]


class Purposeful(Strategy[Any]):
    """A strategy with a purpose."""

    def __init__(
        self, strategy: Strategy[Any], purpose: Purpose, words: str = "", values: Sequence[Any] | None = None
    ) -> None:
        super().__init__()
        self.strategy, self.purpose, self.values = strategy, purpose, values  # the values, if they can be listed
        self.words = words or ", ".join(label.lstrip("=: ") for label in purpose.labels)

    def do_draw(self, data: Any) -> Any:
        return data.draw(self.strategy)

    def __repr__(self) -> str:
        return self.words


def purposeful(strategy: Strategy[Any], labels: Iterable[str], of: Callable[[Any], Iterable[str]]) -> Purposeful:
    """The strategy with these labels as its purpose."""
    return Purposeful(strategy, Purpose(tuple(dict.fromkeys(labels)), of))


def purpose(strategy: Strategy[Any]) -> Purpose | None:
    """The purpose of a strategy; None if it has none."""
    return getattr(strategy, "purpose", None)


def among(*values: Any) -> Purposeful:
    """One of these values, simplest first, all of them promised; a repeated value is drawn more often."""
    drawn = purposeful(st.sampled_from(values), map(equals, values), lambda value: [equals(value)])
    return Purposeful(drawn.strategy, drawn.purpose, values=values)


def between(low: int, high: int, default: int | None = None) -> Purposeful:
    """An integer from low to high; both ends are promised, 0 if it is between them, and the default, if one is given.
    That is drawn in half of the cases."""
    marks = {low, high, *({0} if low <= 0 <= high else ()), *(() if default is None else (default,))}
    purpose = Purpose(tuple(map(equals, sorted(marks))), lambda n: [equals(n)] if n in marks else [])
    drawn = st.integers(low, high)
    either = drawn if default is None else drawn | st.just(default)
    return Purposeful(either, purpose, f"{low} to {high}", range(low, high + 1))


def equals(value: Any) -> str:
    """The label of one value."""
    return f"={value.tolist() if isinstance(value, np.ndarray) else value!r}"


# Labels that were marked while the current case was drawn

_promised: set[str] = set()
_reached: set[str] = set()
_targets: set[str] = set()  # labels that a case should reach: see likely


def mark(promised: Iterable[str], reached: Iterable[str]) -> None:
    """Add labels to the case that is being drawn."""
    _promised.update(promised)
    _reached.update(reached)


def may_hold(label: str) -> bool:
    """Whether this label is promised by the case that is being drawn."""
    return label in _promised


def pick(draw: Draw, name: str, strategy: Purposeful) -> Any:
    """Draw a value, and mark its labels under this name."""
    strategy = inside(name, strategy)
    value = draw(strategy)
    known = strategy.purpose
    mark((name + label for label in known.labels), (name + label for label in known.of(value)))
    return value


def inside(name: str, strategy: Any) -> Any:
    """The strategy of an option, of the offered values alone. If the suite draws none of these, these are drawn."""
    offer = offered()
    if name not in offer.options:
        return strategy
    known = getattr(strategy, "values", None)
    if known is not None:
        return among(*([value for value in known if offer.has(name, value)] or offer.options[name]))
    drawn = strategy.filter(lambda value: offer.has(name, value))
    return Purposeful(drawn, strategy.purpose) if isinstance(strategy, Purposeful) else drawn


def options_inside(strategies: Mapping[str, Strategy[Any]]) -> Mapping[str, Strategy[Any]]:
    """The strategies of options, of the offered values alone."""
    if offered() is EVERYTHING:
        return strategies
    return {name: inside(name, strategy) for name, strategy in strategies.items()}


@st.composite
def fresh(draw: Draw, cases: Strategy[Any], targets: Collection[str] = ()) -> Any:
    """The cases, each with the labels of its own draw only; drawn to reach one of the targets if possible."""
    _promised.clear()
    _reached.clear()
    _targets.update(targets)
    try:
        return draw(cases)
    finally:  # other draws have no targets
        _targets.clear()


def likely(choices: Sequence[Choice], labels: Callable[[Choice], Iterable[str]]) -> Sequence[Choice]:
    """The choices that can reach a target of any array; all choices if none can."""
    aimed = [choice for choice in choices if any(name.endswith(label) for label in labels(choice) for name in _targets)]
    return aimed or choices


class Coverage:
    """The promised and the reached labels of a case: those marked while it was drawn, and those added here."""

    def __init__(self, large: bool = False) -> None:
        # other labels of a large case are those of the other cases
        self.promised, self.reached = (
            {label for label in marked if label.startswith("large=") or not large} for marked in (_promised, _reached)
        )

    def add(self, name: str, known: Purpose | None, *value: Any) -> None:
        """Add the labels of a purpose under a name as promised, and those of a value as reached."""
        if known is not None:
            self.promised.update(name + label for label in known.labels)
            self.reached.update(name + label for label in known.of(*value))

    def options(self, strategies: Mapping[str, Strategy[Any]], options: Mapping[str, Any]) -> None:
        """Add the labels of drawn options."""
        for name, strategy in strategies.items():
            self.add(name, purpose(strategy), options[name])


UNSAID = Purpose((" says what it is for",), lambda drawn: ())  # a label that no value reaches
PRECISIONS = Purpose(("float32", "float64"), lambda dtype: [np.dtype(dtype).name])
MODES = Purpose(("training", "evaluation"), lambda training: ["training" if training else "evaluation"])
REFUSED = ", refused"


def pairs(row: Any) -> Purpose:
    """Every pair of values of two options of an optimizer; pairs that both sides refuse have a label of their own."""
    refused = {_pair(*pair) for pair in row.invalid_pairs}

    def label(pair: str) -> str:
        return pair + REFUSED if pair in refused else pair

    values = [[name + label for label in known.labels] for name, s in row.options.items() if (known := purpose(s))]
    every = [label(f"{a} & {b}") for one, other in combinations(values, 2) for a in one for b in other]

    def of(options: Mapping[str, Any]) -> list[str]:
        held = [name + equals(options[name]) for name in row.options]
        return [label(f"{a} & {b}") for a, b in combinations(held, 2)]

    return Purpose(tuple(every), of)


def _pair(one: tuple[str, Any], other: tuple[str, Any]) -> str:
    return f"{one[0]}{equals(one[1])} & {other[0]}{equals(other[1])}"
