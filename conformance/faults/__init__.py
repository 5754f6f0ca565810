"""Planted faults: each breaks numpyml at one point, and the suite must fail."""

from __future__ import annotations

from conformance.faults.fault import Fault


def faults() -> list[Fault]:
    """Every fault."""
    from conformance.faults import (
        answers,
        arguments,
        counts,
        defaults,
        exactness,
        histories,
        masks,
        optimizers,
        randomness,
        recording,
        refusals,
        schedulers,
        sizes,
        spellings,
        states,
    )

    modules = (
        answers,
        arguments,
        defaults,
        spellings,
        states,
        optimizers,
        schedulers,
        randomness,
        masks,
        exactness,
        recording,
        refusals,
        histories,
        sizes,
        counts,
    )
    return [fault for module in modules for fault in module.FAULTS]


def named(name: str) -> Fault:
    """The fault with this name."""
    return next(fault for fault in faults() if fault.name == name)
