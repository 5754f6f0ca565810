"""Faults that tests must see, in the files of numpyml that no contract row covers, and in conformance itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.faults.fault import Fault

Wrong = Callable[[Any], Any]  # makes the wrong attribute from the right one


def seen_by(test: str, *faults: tuple[str, Any, str, Wrong]) -> list[Fault]:
    """The faults that a test must see: each a name, the owner of the attribute, the attribute, and what is wrong."""
    return [
        Fault(name, module_of(owner, attribute), test, owner, attribute, wrong)
        for name, owner, attribute, wrong in faults
    ]


def module_of(owner: Any, attribute: str) -> str:
    """The module that defines the attribute; that of its owner where it does not say."""
    own = getattr(owner, "__name__", type(owner).__module__)  # an instance has none
    home = getattr(vars(owner)[attribute], "__module__", None) or getattr(owner, "__module__", own)
    return str(home if home.startswith(("numpyml", "conformance")) else own)


def instead(value: Any) -> Wrong:
    """Another value, whatever was there."""
    return lambda right: value
