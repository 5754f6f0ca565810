"""What the cases of all rows share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpyml import nested

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
GY = "incoming gradient"


def listed(y: Any) -> Sequence[Any]:
    """The arrays of an output in order, however nested; None is none."""
    return nested.leaves(y)
