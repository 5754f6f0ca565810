"""What the harness raises: a difference between two frameworks, and a call that cannot work."""

from __future__ import annotations


class Mismatch(AssertionError):
    """The framework and PyTorch differ, or a promise is broken."""


class Misuse(Exception):
    """The harness was called in a way that cannot work; the message is one line with the remedy."""
