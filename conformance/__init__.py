"""conformance: holds every component of numpyml to PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.twin import twin

__all__ = ["twin"]


def __getattr__(name: str) -> Any:
    """``conformance.twin``, imported when it is asked for."""
    if name == "twin":
        import importlib

        return importlib.import_module("conformance.twin").twin
    raise AttributeError(f"module 'conformance' has no attribute {name!r}")
