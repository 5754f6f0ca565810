"""References of reductions: values, with the axes kept, and derivatives."""

from __future__ import annotations

import numpy as np

from conformance.references.arithmetic import Wide, total, wide
from numpyml.typing import Array

Axes = tuple[int, ...]


def count(x: Array, axes: Axes) -> Array:
    return wide(np.prod([x.shape[i] for i in axes], dtype=Wide))


def sum_of(x: Array, axes: Axes) -> Array:
    return total(x, axes, keepdims=True)


def centred(x: Array, axes: Axes) -> Array:
    """x − mean(x), done twice, which removes the rounding of the mean where it is finite."""
    once = x - sum_of(x, axes) / count(x, axes)
    rest = sum_of(once, axes) / count(x, axes)
    return np.where(np.isfinite(rest), once - rest, once)


def degrees_of_freedom(x: Array, axes: Axes, ddof: int = 0, correction: int = 0) -> Array:
    return np.maximum(count(x, axes) - (ddof or correction), 0)


def variance(x: Array, axes: Axes, **less: int) -> Array:
    return sum_of(centred(x, axes) ** 2, axes) / degrees_of_freedom(x, axes, **less)


def deviation(x: Array, axes: Axes, **less: int) -> Array:
    return np.sqrt(variance(x, axes, **less))


def variance_partial(x: Array, y: Array, axes: Axes, **less: int) -> Array:
    return 2 * centred(x, axes) / degrees_of_freedom(x, axes, **less)


def deviation_partial(x: Array, y: Array, axes: Axes, **less: int) -> Array:
    return np.where(y == 0, 0, variance_partial(x, y, axes, **less) / (2 * y))


def product(x: Array, axes: Axes) -> Array:
    return np.prod(x, axes, keepdims=True)


def product_partial(x: Array, y: Array, axes: Axes) -> Array:
    """The product of the other elements, without a division: of those before times those after."""
    others = [i for i in range(x.ndim) if i not in axes]
    last = x.transpose(*others, *axes)
    cells = last.reshape(*(x.shape[i] for i in others), -1 if x.size else 0)
    padded = np.pad(cells, [(0, 0)] * len(others) + [(1, 1)], constant_values=1)
    before = np.cumprod(padded, -1)[..., :-2]
    after = np.cumprod(padded[..., ::-1], -1)[..., ::-1][..., 2:]
    return (before * after).reshape(last.shape).transpose(np.argsort([*others, *axes]))


def shared(chosen: Array, axes: Axes) -> Array:
    """Equal shares of 1 for the chosen elements."""
    return chosen / np.sum(chosen, axes, Wide, keepdims=True)


def highest(x: Array, axes: Axes) -> Array:
    return np.max(x, axes, keepdims=True)


def lowest(x: Array, axes: Axes) -> Array:
    return np.min(x, axes, keepdims=True)


def extreme_partial(x: Array, y: Array, axes: Axes) -> Array:
    """Equal shares for all elements equal to y; where y is NaN, none is, and 0 / 0 is NaN."""
    return shared(x == y, axes)


def norm(x: Array, axes: Axes, ord: float | None) -> Array:
    size = np.absolute(x)
    if ord in (np.inf, -np.inf):
        return highest(size, axes) if ord == np.inf else lowest(size, axes)
    p = Wide(2 if ord is None else ord)
    return (
        sum_of(size, axes) if p == 1 else np.sqrt(sum_of(x * x, axes)) if p == 2 else sum_of(size**p, axes) ** (1 / p)
    )


def norm_partial(x: Array, y: Array, axes: Axes, ord: float | None) -> Array:
    """±(|x| / y)^(p − 1), and 0 at 0; of the Euclidean norm, NaN at 0 if y is NaN."""
    size = np.absolute(x)
    if ord in (np.inf, -np.inf):
        return np.sign(x) * extreme_partial(size, y, axes)
    if ord in (None, 2):
        return np.where(y == 0, 0, x / y)
    return np.where(x == 0, 0, np.sign(x) * (size / y) ** (ord - Wide(1)))
