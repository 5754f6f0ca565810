"""What the adapter under test says that it offers of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conformance import contracts, divergences
from conformance.errors import Misuse
from conformance.frameworks import under_test
from conformance.offers import Offer
from conformance.rows import FunctionRow, OptimizerRow, Part
from conformance.strategies.offered import EVERYTHING
from conformance.twins.twin import torch_names
from numpyml import nested


def says() -> bool:
    """Whether the adapter says what it offers."""
    return hasattr(under_test(), "OFFERS")


def names(row: Any) -> bool:
    """Whether the adapter says what it offers of this row; a component under '' is asked for, and may be refused."""
    return says() and row.name in _offers()


def offer_of(row: Any) -> Offer | None:
    """What is offered of a row, its options named as in the row; None where it is not offered. Of an adapter that does
    not say so, everything is: it refuses example by example."""
    if not says():
        return EVERYTHING
    known = _offers()
    offer = known.get(row.name, known.get(""))
    if offer is None or not isinstance(row, OptimizerRow):
        return offer
    ours = {next(iter(torch_names({name: None}))): name for name in row.options}
    return replace(offer, options={ours.get(name, name): values for name, values in offer.options.items()})


def has_part(part: Part) -> bool:
    """Whether a part of a container is offered, with all parts inside it."""
    if not says():
        return True
    known = _offers()
    offer = known.get(divergences.table_names().get(part.component, part.component), known.get(""))
    parts = [inner for value in part.options.values() for inner in nested.leaves(value) if isinstance(inner, Part)]
    known_values = offer is not None and all(offer.has(name, value) for name, value in part.options.items())
    return known_values and all(map(has_part, parts))


def validate() -> None:
    """Raise a Misuse where OFFERS of the adapter is not what :class:`Offer` says."""
    if not says():
        return
    framework, rows = under_test().NAME, contracts.named()
    for name, offer in _offers().items():
        if wrong := offer.problem():
            raise Misuse(f"OFFERS[{name!r}] of {framework} has {wrong}")
        row = rows.get(name)
        if row is None or isinstance(row, FunctionRow) or getattr(row, "call", None):  # they have options of calls
            continue
        drawn = torch_names(row.options)
        if unknown := sorted(offer.options.keys() - drawn.keys()):
            raise Misuse(
                f"OFFERS[{name!r}] of {framework} has an option {unknown[0]!r}; expected some of {', '.join(drawn)}"
            )


def _offers() -> dict[str, Offer]:
    """The offers by the names of the table."""
    framework = under_test()
    offers = framework.OFFERS
    if not isinstance(offers, Mapping):
        raise Misuse(f"OFFERS of {framework.NAME} expects a mapping from components to offers, got {offers!r:.60}")
    names = divergences.table_names()
    for name, offer in offers.items():
        if name not in names:
            raise Misuse(
                f"OFFERS of {framework.NAME} names {name!r}, which is no component; "
                "`python -m conformance list` shows all, and '' stands for every one that is not named"
            )
        if not isinstance(offer, Offer):
            raise Misuse(
                f"OFFERS[{name!r}] of {framework.NAME} expects an Offer, such as "
                f"Offer(dtypes=('float32',)), got {offer!r:.60}; conformance.frameworks has it"
            )
    return {names[name]: offer for name, offer in offers.items()}
