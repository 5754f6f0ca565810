"""A planted fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """Wrong code that replaces an attribute of its owner, the component it affects, and the check that must fail."""

    name: str
    component: str
    check: str  # that must fail; others may, too
    owner: Any
    attribute: str
    wrong: Callable[[Any], Any]  # makes the wrong attribute from the right one

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Context manager: the fault is in numpyml."""
        right = vars(self.owner)[self.attribute]
        setattr(self.owner, self.attribute, self.wrong(right))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, right)


@contextmanager
def partial_replaced(row: Any, operand: str, wrong: Callable[..., Any]) -> Iterator[None]:
    """Context manager: one partial derivative of a row in the table of derivatives is wrong."""
    right, requests = row.partials, row.requests
    row.partials = {**right, operand: wrong(right[operand])}
    try:
        yield
    finally:
        row.partials, row.requests = right, requests
