"""The offer of an adapter that strategies draw inside: see conformance/offers.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from conformance.offers import Offer

EVERYTHING = Offer()
_current: list[tuple[Offer, Callable[[Any], bool]]] = []


@contextmanager
def within(offer: Offer, has_part: Callable[[Any], bool] = lambda part: True) -> Iterator[None]:
    """Context manager: draw inside this offer; containers draw the parts for which ``has_part`` holds."""
    _current.append((offer, has_part))
    try:
        yield
    finally:
        _current.pop()


def offered() -> Offer:
    """The offer that is drawn inside; without one, everything is offered."""
    return _current[-1][0] if _current else EVERYTHING


def has_part(part: Any) -> bool:
    """Whether a part of a container is offered."""
    return not _current or _current[-1][1](part)


ABOVE = {"wide": 1e30, "infinite": float("inf"), "saturated": 1e4}  # the largest numbers of these kinds
BELOW = {"subnormal": "float32", "tiny": "float64"}  # numbers below the normal range of these precisions


def kinds_inside(kinds: Sequence[str]) -> Sequence[str]:
    """The kinds of values that are offered, of which the first always is."""
    offer = offered()

    def has(kind: str) -> bool:
        largest = ABOVE.get(kind, 0.0)
        small = kind in BELOW and not (offer.subnormal and BELOW[kind] in offer.dtypes)
        return offer.low <= -largest and largest <= offer.high and not small and (kind != "nan" or offer.nan)

    return kinds if offer is EVERYTHING else [kind for kind in kinds if has(kind)] or kinds[:1]
