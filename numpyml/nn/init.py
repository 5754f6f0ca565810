"""Initial values, written into an array in place."""

from __future__ import annotations

from math import inf, prod, sqrt

import numpy as np

from numpyml.autograd.tape import Array
from numpyml.errors import DTypeError, ShapeError, kind_of
from numpyml.nn.options import number, require
from numpyml.random import default_generator

__all__ = ["kaiming_uniform_", "normal_", "uniform_", "xavier_uniform_"]


def uniform_(array: Array, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill with values drawn evenly from [a, b), and return the array.

    Shapes: array any.
    Raises: OptionError when a or b is not finite, or b below a; DTypeError when the array is not floating; ValueError
    (NumPy's) when it is read-only; OverflowError (NumPy's) when b − a is not finite.
    PyTorch: nn.init.uniform_.
    """
    _require_floats(array, "uniform_")
    number("uniform_", "a", a, -inf)
    require(number("uniform_", "b", b, -inf) >= a, "uniform_", "b", b, f"a = {a} or more")
    array[...] = (generator or default_generator()).uniform(a, b, array.shape)
    return array


def kaiming_uniform_(array: Array, a: float = 0.0, generator: np.random.Generator | None = None) -> Array:
    """Fill so that a layer of leaky ReLUs of slope ``a`` keeps the variance of its input.

        U(−k, k),   k = √(6 / ((1 + a²) fan_in)),   fan_in = the length of all axes but the first

    Shapes: array (fan_out, ...), of at least one axis; zeros where fan_in is 0.
    Raises: OptionError when a is not finite; ShapeError when the array has no axes; else see :func:`uniform_`.
    Source: He, Zhang, Ren, Sun 2015, arXiv:1502.01852. PyTorch: nn.init.kaiming_uniform_ (mode fan_in).
    """
    number("kaiming_uniform_", "a", a, -inf)
    _require_axes(array, 1, "kaiming_uniform_")
    fan_in = array[0].size if len(array) else 0
    k = sqrt(6 / ((1 + a * a) * fan_in)) if fan_in else 0.0
    return uniform_(array, -k, k, generator)


def normal_(array: Array, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill with values of the normal distribution, and return the array.

    Shapes: array any.
    Raises: OptionError when mean or std is not finite, or std negative; DTypeError when the array is not floating;
    ValueError (NumPy's) when it is read-only.
    PyTorch: nn.init.normal_.
    """
    _require_floats(array, "normal_")
    mean, std = number("normal_", "mean", mean, -inf), number("normal_", "std", std)
    array[...] = (generator or default_generator()).normal(mean, std, array.shape)
    return array


def xavier_uniform_(array: Array, gain: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill so that a linear layer keeps the variance, forward and backward, as well as one number can.

        U(−k, k),   k = gain √(6 / (fan_in + fan_out))

    Shapes: array (fan_out, fan_in, ...); further axes count to both.
    Raises: OptionError when gain is negative or not finite; ShapeError when the array has fewer than two axes; else see
    :func:`uniform_`.
    Source: Glorot, Bengio 2010, AISTATS. PyTorch: nn.init.xavier_uniform_.
    """
    number("xavier_uniform_", "gain", gain)
    _require_axes(array, 2, "xavier_uniform_")
    fans = (array.shape[0] + array.shape[1]) * prod(array.shape[2:])
    k = gain * sqrt(6 / fans) if fans else 0.0
    return uniform_(array, -k, k, generator)


def _require_floats(array: Array, name: str) -> None:
    if array.dtype.kind != "f":  # whole numbers would be what is left of the drawn ones
        raise DTypeError(f"{name} expected an array of floats, got {kind_of(array)}")


def _require_axes(array: Array, least: int, name: str) -> None:
    if array.ndim < least:
        raise ShapeError(f"{name} expected an array of {least} axes or more, got {kind_of(array)}")
