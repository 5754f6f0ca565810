"""Initial values, written into an array in place."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from numpyml.autograd.tape import Array
from numpyml.random import default_generator

__all__ = ["kaiming_uniform_", "normal_", "uniform_", "xavier_uniform_"]


def uniform_(array: Array, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill with values drawn evenly from [a, b), and return the array.

    Shapes: array any. Raises: ValueError (NumPy's) when the array is read-only; OverflowError when b − a is not finite.
    PyTorch: nn.init.uniform_.
    """
    array[...] = (generator or default_generator()).uniform(a, b, array.shape)
    return array


def kaiming_uniform_(array: Array, a: float = 0.0, generator: np.random.Generator | None = None) -> Array:
    """Fill so that a layer of leaky ReLUs of slope ``a`` keeps the variance of its input.

        U(−k, k),   k = √(6 / ((1 + a²) fan_in)),   fan_in = the length of all axes but the first

    Shapes: array (fan_out, ...), of at least one axis; zeros where fan_in is 0.
    Raises: TypeError (Python's) when the array has no axes.
    Source: He, Zhang, Ren, Sun 2015, arXiv:1502.01852. PyTorch: nn.init.kaiming_uniform_ (mode fan_in).
    """
    fan_in = array[0].size if len(array) else 0
    k = sqrt(6 / ((1 + a * a) * fan_in)) if fan_in else 0.0
    return uniform_(array, -k, k, generator)


def normal_(array: Array, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill with values of the normal distribution, and return the array.

    Shapes: array any. Raises: ValueError (NumPy's) when the array is read-only or std is negative.
    PyTorch: nn.init.normal_.
    """
    array[...] = (generator or default_generator()).normal(mean, std, array.shape)
    return array


def xavier_uniform_(array: Array, gain: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill so that a linear layer keeps the variance, forward and backward, as well as one number can.

        U(−k, k),   k = gain √(6 / (fan_in + fan_out))

    Shapes: array (fan_out, fan_in, ...); further axes count to both.
    Raises: IndexError (Python's) when the array has fewer than two axes.
    Source: Glorot, Bengio 2010, AISTATS. PyTorch: nn.init.xavier_uniform_.
    """
    fans = (array.shape[0] + array.shape[1]) * prod(array.shape[2:])
    k = gain * sqrt(6 / fans) if fans else 0.0
    return uniform_(array, -k, k, generator)
