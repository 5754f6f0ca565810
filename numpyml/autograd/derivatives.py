"""The derivatives of NumPy's functions: one table, from simple to hard.

How to read a row. Each operand of the function has one *partial*: a function from the gradient of the output to the
gradient of that operand. A partial asks for what it needs by name, and nothing else is kept from the forward call:

    g        gradient of the output             x, a, b, ...   an operand, by NumPy's own parameter name
    y        the output                         axis, ...      an option; its default is NumPy's
    shape    shape of the operand (one for each array, where the operand is a sequence of arrays)

``derivative(np.log, "x", x=lambda g, x: g / x)`` reads: the gradient of ``log x`` is ``g / x``, and x is kept for it.
A gradient of a broadcast operand is summed back to the operand's shape by the driver, so no row mentions it.
A parameter marked ``!`` is one the derivative does not cover: giving it is an error, never ignored.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from numpyml.autograd.rows import Partial, Row

TABLE: dict[Callable[..., Any], Row] = {}
"""Function -> its row. A row without partials is a function whose result carries no gradient (``argmax``)."""

COMPOSITES: dict[Callable[..., Any], Callable[..., Any]] = {}
"""Function -> the same thing written in functions that have a row, where NumPy itself defines it so."""


def derivative(function: Callable[..., Any], names: str, **partials: Partial) -> None:
    """Add a row."""
    TABLE[function] = Row(function, names, partials)


def unary(function: np.ufunc, x: Partial) -> None:
    """Add the row of an elementwise function of one operand."""
    derivative(function, "x", x=x)


def binary(function: np.ufunc, a: Partial, b: Partial) -> None:
    """Add the row of an elementwise function of two operands."""
    derivative(function, "a b", a=a, b=b)


# Elementwise, one operand

unary(np.positive, lambda g: g)
unary(np.negative, lambda g: -g)
unary(np.exp, lambda g, y: g * y)
unary(np.log, lambda g, x: g / x)
unary(np.sqrt, lambda g, y: g / (2 * y))
unary(np.square, lambda g, x: g * (2 * x))
unary(np.tanh, lambda g, y: g * (1 - y * y))

# Elementwise, two operands

binary(np.add, lambda g: g, lambda g: g)
binary(np.subtract, lambda g: g, lambda g: -g)
binary(np.multiply, lambda g, b: g * b, lambda g, a: g * a)
binary(np.true_divide, lambda g, b: g / b, lambda g, y, b: -g * y / b)

# Reductions


def spread(g: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """The gradient of a reduction, laid over the axes that were reduced."""
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, shape)


derivative(
    np.sum,
    "a axis !dtype !out keepdims !initial !where",
    a=lambda g, shape, axis=None, keepdims=False: spread(g, shape, axis, keepdims),
)

# Products

# Shapes

derivative(np.reshape, "a shape !order", a=lambda g, shape: g.reshape(shape))

# Joining and splitting

derivative(
    np.concatenate,
    "arrays axis !out !dtype !casting",
    arrays=lambda g, shape, axis=0: np.split(g, np.cumsum([s[axis] for s in shape])[:-1], axis),
)

# Indexing

derivative(operator.getitem, "x index", x=lambda g, shape, index: scatter(g, shape, index))


def scatter(g: Any, shape: tuple[int, ...], index: Any) -> Any:
    """Zeros of ``shape`` with ``g`` added at ``index``, as often as each element was taken."""
    gx = np.zeros(shape, g.dtype)
    np.add.at(gx, index, g)
    return gx


# Without a gradient

for _comparison in (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal):
    derivative(_comparison, "a b")
for _function in (np.argmax, np.argmin):
    derivative(_function, "a axis !out keepdims")
