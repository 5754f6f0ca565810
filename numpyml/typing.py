"""The types that signatures share."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

__all__ = ["Array", "PathLike"]

Array = NDArray[Any]
"""An array of any dtype and shape."""

PathLike = str | os.PathLike[str]
"""The path of a file."""
