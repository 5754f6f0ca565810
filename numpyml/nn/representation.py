"""Representation of modules as constructor calls."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np


def constructor_call(opening: str, arguments: Iterable[str], closing: str = ")") -> str:
    """``Opening(arguments)`` on one line, or one argument a line where that is too long."""
    parts = list(arguments)
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) <= 100 and "\n" not in line:
        return line
    return f"{opening}\n" + "".join(textwrap.indent(part, "    ") + ",\n" for part in parts) + closing


def is_default(value: Any, default: Any) -> bool:
    """Whether an option has its default and is omitted."""
    return value is default or (not isinstance(value, np.ndarray) and bool(value == default))


def short(value: Any) -> str:
    """The representation of an option on one line."""
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return repr(np.dtype(value).name)
    return f"array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
