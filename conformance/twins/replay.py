"""PyTorch's dropout with a mask that is given to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from conformance.errors import Mismatch
from numpyml.typing import Array


class Replayed(TorchDispatchMode):  # type: ignore[misc]  # untyped to mypy
    """Context manager: where PyTorch would draw a mask, it takes this one, whatever the axes it is drawn in.

    Dropout draws ones and zeros in place, as Bernoulli variables, and scales them itself.
    """

    def __init__(self, mask: Array) -> None:
        super().__init__()
        self.mask = mask

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in comparison/rounding.py

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        noise = args[0]
        if self.mask.size != noise.numel():
            raise Mismatch(f"a mask is drawn in the shape {self.mask.shape}, PyTorch's in {tuple(noise.shape)}")
        return noise.copy_(torch.from_numpy(np.array(self.mask != 0)).reshape(noise.shape))
