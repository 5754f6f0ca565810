"""conformance: holds every component of numpyml to PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.api import assert_conforms
    from conformance.errors import Misuse
    from conformance.twins.twin import twin

__all__ = ["Misuse", "assert_conforms", "twin"]
_HOMES = {"assert_conforms": "api", "Misuse": "errors", "twin": "twins.twin"}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: ``python -m conformance list`` needs no PyTorch."""
    if name in _HOMES:
        import importlib

        try:
            return getattr(importlib.import_module(f"conformance.{_HOMES[name]}"), name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"conformance.{name} expected the package {error.name}, which is not installed; "
                "install it with the extra: pip install 'provengrad[conformance]'",
                name=error.name,
            ) from None
    raise AttributeError(f"module 'conformance' has no attribute {name!r}")
