"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.nn.module import Module, as_floats
from numpyml.options import number
from numpyml.random import default_generator
from numpyml.typing import Array


class Dropout(Module):
    """While training, set each element to zero with probability p, and scale the rest up so that the mean stays.

        y = x ⊙ m,   gx = gy ⊙ m,   m = 1/(1 − p) with probability 1 − p, else 0
        in eval(): y = x

    Args:
        p: probability of a zero, from 0 to 1.
        generator: where the masks come from; by default the one of ``manual_seed``.

    Shapes: y as x, any.
    Raises: OptionError when p is no probability; DTypeError when x is not floating.
    Source: Srivastava et al. 2014, JMLR 15. PyTorch: nn.Dropout.
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        self.p = number(self, "p", p, 0, 1)
        self.generator = generator

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        x = as_floats(x, None, self)
        if not self.training or self.p == 0:
            return x, None
        mask = self.mask(x.shape, x.dtype)
        return x * mask, mask

    def pullback(self, mask: Array | None, gy: Array) -> Array:
        return gy if mask is None else gy * mask

    def mask(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A new mask: 1/(1 − p) where an element is kept, 0 where it is dropped."""
        return new_mask(self.p, shape, dtype, self.generator)


def new_mask(p: float, shape: tuple[int, ...], dtype: np.dtype[Any], generator: np.random.Generator | None) -> Array:
    """1/(1 − p) with probability 1 − p, else 0."""
    kept = (generator or default_generator()).random(shape, np.float32) >= p
    mask: Array = kept * dtype.type(0 if p == 1 else 1 / (1 - p))
    return mask
