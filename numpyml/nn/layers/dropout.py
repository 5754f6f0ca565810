"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyml.nn.module import Module, as_floats
from numpyml.options import generator_or_none, number
from numpyml.random import default_generator
from numpyml.typing import Array


class Dropout(Module):
    """Dropout: in training, elements are zeroed with probability p and the others scaled to keep the mean.

        y = x ⊙ m,   gx = gy ⊙ m,   m = 1/(1 − p) with probability 1 − p, else 0
        in eval(): y = x

    Args:
        p: probability of a zero, from 0 to 1.
        generator: the source of the masks; by default that of ``manual_seed``.

    Shapes: y as x, any. In eval(), and where p is 0, y is x itself and gx is gy: nothing is copied, as in PyTorch.
    Raises: OptionError when p is not from 0 to 1; DTypeError when x is not floating.
    Source: Srivastava et al. 2014, JMLR 15. PyTorch: nn.Dropout.
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        self.p = number(self, "p", p, 0, 1)
        self.generator = generator_or_none(self, "generator", generator)

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        x = as_floats(x, None, self)
        if not self.training or self.p == 0:
            return x, None
        mask = self.mask(x.shape, x.dtype)
        return x * mask, mask

    def pullback(self, mask: Array | None, gy: Array) -> Array:
        return gy if mask is None else gy * mask

    def mask(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A new mask, drawn from the layer's generator."""
        return new_mask(self.p, shape, dtype, self.generator)


def new_mask(p: float, shape: tuple[int, ...], dtype: np.dtype[Any], generator: np.random.Generator | None) -> Array:
    """A random mask: 1/(1 − p) with probability 1 − p, else 0."""
    keep = (generator or default_generator()).random(shape, np.float32) >= p
    mask: Array = keep * dtype.type(0 if p == 1 else 1 / (1 - p))
    return mask
