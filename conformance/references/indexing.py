"""Reference of sorting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conformance.references.kinds import Answers, moves
from numpyml.typing import Array


def sort(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
    """A stable sort: it moves the elements, by the order of their values."""
    axis = options["axis"]
    order = np.argsort(operands[0], axis, kind="stable")
    ordered = moves(lambda x: x.reshape(-1)[order] if axis is None else np.take_along_axis(x, order, axis))
    return ordered.compute(operands, {}, gys)
