"""References of products: their einsum subscripts."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from conformance.references.kinds import Function
from numpyml.typing import Array


def matrices(a: Array, b: Array) -> str:
    """The subscripts of matmul: the last axis of a, the next to last of b, batches broadcast."""
    rows, columns = "i" * (a.ndim > 1), "j" * (b.ndim > 1)
    return f"...{rows}k,...k{columns}->...{rows}{columns}"


def contraction(left: Sequence[int], right: Sequence[int]) -> Function:
    """Subscripts of a contraction of these axes of a with those of b; a's other axes come first, then b's."""

    def spell(a: Array, b: Array) -> str:
        first, second = list(ascii_lowercase[: a.ndim]), list(ascii_uppercase[: b.ndim])
        for i, j in zip(left, right, strict=True):
            second[j] = first[i]
        remaining = [letter for letter in (*first, *second) if (letter in first) != (letter in second)]
        return f"{''.join(first)},{''.join(second)}->{''.join(remaining)}"

    return spell


def tensordot_axes(a: Array, b: Array, axes: Any = 2) -> str:
    pairs = (range(a.ndim - axes, a.ndim), range(axes)) if isinstance(axes, int) else axes
    return contraction(*pairs)(a, b)


def subscripts_of(*_: Array, subscripts: str, optimize: bool) -> str:
    """einsum's subscripts; without an arrow, the result has the letters that occur once, sorted."""
    result = "".join(sorted(letter for letter in set(subscripts) if letter.isalpha() and subscripts.count(letter) == 1))
    return subscripts if "->" in subscripts else f"{subscripts}->{result}"
