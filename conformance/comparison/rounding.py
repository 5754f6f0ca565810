"""PyTorch with every intermediate result rounded once more, forwards and backwards."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

COPIES = ("clone", "copy", "detach", "empty", "zeros", "ones", "full", "fill", "masked_fill", "where", "cat", "stack")


@cache
def _copies(func: Any) -> bool:
    """Whether an operation gives a view, a copy or a constant."""
    name = func._schema.name.removeprefix("aten::").strip("_")
    return name.startswith(COPIES) or any(result.alias_info is not None for result in func._schema.returns)


class Rounded(TorchDispatchMode):
    """Inside, whatever an operation computes is multiplied by 1 ± u, u the rounding unit of a dtype, at random.

    Views, copies and constants are no results; 0 and ∞ stay.
    """

    def __init__(self, seed: int, dtype: Any) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.unit = float(np.finfo(dtype).eps) / 2

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and to say so takes PyTorch longer than to compute

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if _copies(func):
            return result
        return type(result)(map(self.moved, result)) if isinstance(result, (list, tuple)) else self.moved(result)

    def moved(self, y: Any) -> Any:
        """The numbers, each a rounding unit up or down."""
        if not isinstance(y, torch.Tensor) or y.dtype != torch.float64:
            return y
        ways = torch.randint(2, y.shape, generator=self.generator, dtype=y.dtype)
        return y * ways.mul_(2 * self.unit).add_(1 - self.unit)
