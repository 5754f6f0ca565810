"""Reference of sorting: the order, and its application."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.typing import Array


def stable_order(x: Array, axis: int | None, **options: Any) -> Array:
    return np.argsort(x, axis, kind="stable")


def in_order(x: Array, order: Array, axis: int | None, **options: Any) -> Array:
    return x.reshape(-1)[order] if axis is None else np.take_along_axis(x, order, axis)
