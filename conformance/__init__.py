"""conformance: holds every component of numpyml to PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.api import assert_conforms
    from conformance.errors import Misuse
    from conformance.twin import twin

__all__ = ["Misuse", "assert_conforms", "twin"]
_HOMES = {"assert_conforms": "api", "Misuse": "errors", "twin": "twin"}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: ``python -m conformance list`` needs no PyTorch."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"conformance.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'conformance' has no attribute {name!r}")
