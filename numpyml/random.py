"""The default random generator. The same seed gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from numpyml.errors import OptionError, kind_of

_default: np.random.Generator | None = None  # created on first use: importing numpy.random is slow
_inside: ContextVar[np.random.Generator | None] = ContextVar("numpyml.random", default=None)


def manual_seed(seed: int | None = None) -> np.random.Generator:
    """Restart the default generator at ``seed`` (None: entropy of the operating system) and return it."""
    global _default
    try:
        _default = np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise OptionError(
            f"manual_seed expected seed to be an integer of 0 or more, a list of them or None, got {kind_of(seed)}"
        ) from None
    return _default


def default_generator() -> np.random.Generator:
    """The generator that initial weights and dropout masks come from when the caller passes none."""
    return _inside.get() or (manual_seed() if _default is None else _default)


@contextmanager
def drawing_from(generator: np.random.Generator) -> Iterator[None]:
    """A context in which ``generator`` is this thread's default; ``manual_seed`` takes effect after it only."""
    token = _inside.set(generator)
    try:
        yield
    finally:
        _inside.reset(token)
