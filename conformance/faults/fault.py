"""A planted fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A wrong piece of code in place of a right one, the component where it shows, and the check that must see it."""

    name: str
    component: str
    check: str  # that must see it; others may, too
    owner: Any
    attribute: str
    wrong: Callable[[Any], Any]  # from the right one

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Inside this block the fault is in numpyml."""
        right = vars(self.owner)[self.attribute]
        setattr(self.owner, self.attribute, self.wrong(right))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, right)


@contextmanager
def partial_replaced(row: Any, operand: str, wrong: Callable[..., Any]) -> Iterator[None]:
    """Inside this block one partial of the table of derivatives is another."""
    right, requests = row.partials, row.requests
    row.partials = {**right, operand: wrong(right[operand])}
    try:
        yield
    finally:
        row.partials, row.requests = right, requests
