"""The one default random generator. Same seed, same bits."""

from __future__ import annotations

import numpy as np

_default: np.random.Generator | None = None  # made when first needed: importing numpy.random takes a while


def manual_seed(seed: int | None = None) -> np.random.Generator:
    """Restart the default generator at ``seed`` (None: somewhere unforeseeable) and return it."""
    global _default
    _default = np.random.default_rng(seed)
    return _default


def default_generator() -> np.random.Generator:
    """The generator that initial weights and dropout masks come from when the caller passes none."""
    return manual_seed() if _default is None else _default
