"""PyTorch with one more rounding of every intermediate result, forward and backward."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

COPIES = ("clone", "copy", "detach", "empty", "zeros", "ones", "full", "fill", "masked_fill", "where", "cat", "stack")


@cache
def _copies(func: Any) -> bool:
    """Whether an operation returns a view, a copy or a constant."""
    name = func._schema.name.removeprefix("aten::").strip("_")
    return name.startswith(COPIES) or any(result.alias_info is not None for result in func._schema.returns)


class Rounded(TorchDispatchMode):
    """Context manager: every result of an operation is multiplied by 1 ± u at random, u the unit roundoff of a dtype.

    Views, copies and constants are not rounded.
    """

    def __init__(self, seed: int, dtype: Any) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.unit = float(np.finfo(dtype).eps) / 2

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled; the default check takes longer than the computation

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if _copies(func):
            return result
        return type(result)(map(self.rounded, result)) if isinstance(result, (list, tuple)) else self.rounded(result)

    def rounded(self, y: Any) -> Any:
        """The numbers, each times 1 + u or 1 − u."""
        if not isinstance(y, torch.Tensor) or y.dtype != torch.float64:
            return y
        signs = torch.randint(2, y.shape, generator=self.generator, dtype=y.dtype)
        return y * signs.mul_(2 * self.unit).add_(1 - self.unit)
