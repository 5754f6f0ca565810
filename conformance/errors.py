"""What the harness raises: a difference between two frameworks, and a call that cannot work."""

from __future__ import annotations

from math import inf


class Mismatch(AssertionError):
    """The framework and PyTorch differ, or a promise is broken.

    ``error`` is in units of the bound; infinite where there is none, as of a shape or of the same bits.
    """

    def __init__(self, message: str, error: float = inf) -> None:
        super().__init__(message)
        self.error = float(error)


class Misuse(Exception):
    """The harness was called in a way that cannot work; the message is one line with the remedy."""
