"""What the strategies are for, and what of it was drawn.

A strategy has a purpose: the values or classes of values that it exists for, by labels such as ``bias=False``,
``axis: from the back`` or ``x: nan``. They are promised as soon as the strategy is part of a case, drawn or not, and
reached when a check has passed on a case that holds one: the arrays themselves are looked at, with flags and
strides. A promise that no case has reached is an error (:func:`conformance.results.completeness.unreached`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

Strategy = st.SearchStrategy
Draw = st.DrawFn
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Purpose:
    """What a strategy is for: all labels, and those that a value deserves."""

    labels: tuple[str, ...]
    of: Callable[[Any], Iterable[str]]


class Purposeful(Strategy[Any]):
    """A strategy that says what it is for."""

    def __init__(self, strategy: Strategy[Any], purpose: Purpose, words: str = "") -> None:
        super().__init__()
        self.strategy, self.purpose = strategy, purpose
        self.words = words or ", ".join(label.lstrip("=: ") for label in purpose.labels)

    def do_draw(self, data: Any) -> Any:
        return data.draw(self.strategy)

    def __repr__(self) -> str:
        return self.words


def purposeful(strategy: Strategy[Any], labels: Iterable[str], of: Callable[[Any], Iterable[str]]) -> Purposeful:
    """The strategy, which now says what it is for."""
    return Purposeful(strategy, Purpose(tuple(dict.fromkeys(labels)), of))


def purpose(strategy: Strategy[Any]) -> Purpose | None:
    """What the strategy is for, if it says."""
    return getattr(strategy, "purpose", None)


def among(*values: Any) -> Purposeful:
    """One of these values, each of them a promise; the first is the simplest. Repeated, it is drawn more often."""
    return purposeful(st.sampled_from(values), map(equals, values), lambda value: [equals(value)])


def between(low: int, high: int) -> Purposeful:
    """An integer; promised are both ends, and 0 where it lies between them."""
    marks = {low, high, *({0} if low <= 0 <= high else ())}
    purpose = Purpose(tuple(map(equals, sorted(marks))), lambda n: [equals(n)] if n in marks else [])
    return Purposeful(st.integers(low, high), purpose, f"{low} to {high}")


def equals(value: Any) -> str:
    """The label of one value."""
    return f"={value.tolist() if isinstance(value, np.ndarray) else value!r}"


# Labels that were met while the present case was drawn

_promised: set[str] = set()
_reached: set[str] = set()
_targets: set[str] = set()  # what a case is searched for: see likely


def mark(promised: Iterable[str], reached: Iterable[str]) -> None:
    """Add labels to the case that is being drawn."""
    _promised.update(promised)
    _reached.update(reached)


def may_hold(label: str) -> bool:
    """Whether the case that is being drawn may come to hold this."""
    return label in _promised


def pick(draw: Draw, name: str, strategy: Purposeful) -> Any:
    """Draw a value, and mark it under this name."""
    value = draw(strategy)
    known = strategy.purpose
    mark((name + label for label in known.labels), (name + label for label in known.of(value)))
    return value


@st.composite
def fresh(draw: Draw, cases: Strategy[Any], targets: Collection[str] = ()) -> Any:
    """The cases, each with the labels of its own draw alone; drawn to hold one of these targets, where possible."""
    _promised.clear()
    _reached.clear()
    _targets.update(targets)
    try:
        return draw(cases)
    finally:  # what is drawn elsewhere is not searched for
        _targets.clear()


def likely(choices: Sequence[Choice], labels: Callable[[Choice], Iterable[str]]) -> Sequence[Choice]:
    """The choices that can reach a target, of any array; all of them if none can, or there is no target."""
    aimed = [choice for choice in choices if any(name.endswith(label) for label in labels(choice) for name in _targets)]
    return aimed or choices


class Coverage:
    """What a case promises and what it reaches: the labels marked while it was drawn, and those added here."""

    def __init__(self, large: bool = False) -> None:
        # of what goes into a large case, the other cases hold every kind
        self.promised, self.reached = (
            {label for label in marked if label.startswith("large=") or not large} for marked in (_promised, _reached)
        )

    def add(self, name: str, known: Purpose | None, *value: Any) -> None:
        """Add the labels of a purpose under a name, and those that a value deserves."""
        if known is not None:
            self.promised.update(name + label for label in known.labels)
            self.reached.update(name + label for label in known.of(*value))

    def options(self, strategies: Mapping[str, Strategy[Any]], options: Mapping[str, Any]) -> None:
        """Add the labels of drawn options."""
        for name, strategy in strategies.items():
            self.add(name, purpose(strategy), options[name])


UNSAID = Purpose((" says what it is for",), lambda drawn: ())  # a promise that nothing keeps
PRECISIONS = Purpose(("float32", "float64"), lambda dtype: [np.dtype(dtype).name])
MODES = Purpose(("training", "evaluation"), lambda training: ["training" if training else "evaluation"])
REFUSED = ", refused"


def pairs(row: Any) -> Purpose:
    """Every two values of two options of an optimizer, together; those that both sides refuse, refused."""
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
