"""What the cases of all rows share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
GY = "incoming gradient"


def listed(y: Any) -> Sequence[Any]:
    """One output as a list of one; None among several is none."""
    return [z for z in y if z is not None] if isinstance(y, (list, tuple)) else [y]
