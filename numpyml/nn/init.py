"""Initial values, written into an array in place."""

from __future__ import annotations

from math import inf, isfinite, prod, sqrt

import numpy as np

from numpyml.autograd.tensor import Tensor
from numpyml.errors import DTypeError, OptionError, ShapeError, kind_of
from numpyml.options import generator_or_none, number, require
from numpyml.random import default_generator
from numpyml.typing import Array

__all__ = ["kaiming_uniform_", "normal_", "uniform_", "xavier_uniform_"]


def uniform_(array: Array, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill with values of the uniform distribution on [a, b), and return the array.

    Shapes: array any.
    Raises: OptionError when a or b is not finite, b below a, or one or b − a beyond the array's precision; DTypeError
    when the array is not a writable one of floats.
    PyTorch: nn.init.uniform_.
    """
    source = _source("uniform_", array, generator)
    a, b = float(number("uniform_", "a", a, -inf)), float(number("uniform_", "b", b, -inf))
    require(b >= a, "uniform_", "b", b, f"a = {a} or more")
    _require_room("uniform_", array, max(-a, b, b - a), a=a, b=b)
    array[...] = source.uniform(a, b, array.shape)
    return array


def kaiming_uniform_(array: Array, a: float = 0.0, generator: np.random.Generator | None = None) -> Array:
    """Fill so that a layer of leaky ReLUs of negative slope ``a`` preserves the variance of its input.

        U(−k, k),   k = √(6 / ((1 + a²) fan_in)),   fan_in = the length of all axes but the first

    Shapes: array (fan_out, ...), of at least one axis; zeros where fan_in is 0.
    Raises: OptionError when a² is not finite; ShapeError when the array has no axes; else see :func:`uniform_`.
    Source: He, Zhang, Ren, Sun 2015, arXiv:1502.01852. PyTorch: nn.init.kaiming_uniform_ (mode fan_in).
    """
    source = _source("kaiming_uniform_", array, generator, axes=1)
    slope = float(number("kaiming_uniform_", "a", a, -inf))
    require(isfinite(slope * slope), "kaiming_uniform_", "a", a, "a slope whose square is finite")
    fan_in = array[0].size if len(array) else 0
    k = sqrt(6 / ((1 + slope * slope) * fan_in)) if fan_in else 0.0
    return uniform_(array, -k, k, source)


def normal_(array: Array, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill with values of the normal distribution, and return the array.

    Shapes: array any.
    Raises: OptionError when mean or std is not finite, std negative, or a value might be beyond the array's precision;
    DTypeError when the array is not a writable one of floats.
    PyTorch: nn.init.normal_.
    """
    source = _source("normal_", array, generator)
    mean, std = float(number("normal_", "mean", mean, -inf)), float(number("normal_", "std", std))
    _require_room(
        "normal_",
        array,
        abs(mean) + _FARTHEST * std,
        f"values, up to {_FARTHEST} std from the mean,",
        mean=mean,
        std=std,
    )
    array[...] = source.normal(mean, std, array.shape)
    return array


_FARTHEST = 16  # standard deviations: from 53 random bits NumPy draws nothing farther than 14 from the mean


def xavier_uniform_(array: Array, gain: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Fill so that a linear layer approximately preserves the variance, forward and backward.

        U(−k, k),   k = gain √(6 / (fan_in + fan_out))

    Shapes: array (fan_out, fan_in, ...); further axes count to both.
    Raises: OptionError when gain is negative, not finite, or 2k beyond the array's precision; ShapeError when the array
    has fewer than two axes; else see :func:`uniform_`.
    Source: Glorot, Bengio 2010, AISTATS. PyTorch: nn.init.xavier_uniform_.
    """
    source = _source("xavier_uniform_", array, generator, axes=2)
    gain = float(number("xavier_uniform_", "gain", gain))
    fans = (array.shape[0] + array.shape[1]) * prod(array.shape[2:])
    k = gain * sqrt(6 / fans) if fans else 0.0
    _require_room("xavier_uniform_", array, 2 * k, gain=gain)
    return uniform_(array, -k, k, source)


def _source(name: str, array: Array, generator: np.random.Generator | None, axes: int = 0) -> np.random.Generator:
    """The generator to draw from, after checks of the array."""
    if not isinstance(array, np.ndarray):
        remedy = "pass its .data" if isinstance(array, Tensor) else "make one, such as np.empty((3, 2), np.float32)"
        raise DTypeError(f"{name} expected an array to write into, got a {type(array).__name__}; {remedy}")
    if array.dtype.kind != "f":  # integers would truncate the values
        remedy = f"make it of floats, such as np.empty({array.shape}, np.float32)"
        raise DTypeError(f"{name} expected an array of floats, got {kind_of(array)}; {remedy}")
    if not array.flags.writeable:
        raise DTypeError(f"{name} expected a writable array, got a read-only one, shape {array.shape}; pass a copy")
    if array.ndim < axes:
        remedy = "fill it by uniform_ or normal_"
        raise ShapeError(f"{name} expected an array of {axes} axes or more, got {kind_of(array)}; {remedy}")
    return generator_or_none(name, "generator", generator) or default_generator()


def _require_room(name: str, array: Array, reach: float, what: str = "values", **options: float) -> None:
    """Raise where a value, or the distance between two, would be too large for the array; they are drawn in float64."""
    largest = min(float(np.finfo(array.dtype).max), float(np.finfo(np.float64).max))
    if reach > largest:
        settings = ", ".join(f"{option} = {value}" for option, value in options.items())
        raise OptionError(
            f"{name} expected {what} no larger, and no farther apart, than {largest:.3g}, the largest number of "
            f"{array.dtype}, got {settings}; pass {' and '.join(options)} nearer to 0"
        )
