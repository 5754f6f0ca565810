"""Activation layers, the simplest first."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from numpyml.errors import ShapeError, kind_of
from numpyml.kernels.elementwise import blockwise
from numpyml.kernels.erf import NEAR, gelu_near, normal_tail
from numpyml.kernels.sums import over_rows
from numpyml.nn.module import Module, as_floats
from numpyml.options import choice, integer, require
from numpyml.typing import Array

__all__ = ["GELU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Tanh"]


class ReLU(Module):
    """Negative elements become zero.

        y = max(x, 0)
        gx = gy where y > 0, else 0          (0 at x = 0; passed through at NaN)

    Shapes: y as x, any. The context is y, which the next layer keeps as well.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.ReLU.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        x = as_floats(x, None, self)
        y = np.maximum(x, zeros_beside(x))
        return y, y

    def pullback(self, y: Array, gy: Array) -> Array:
        return masked(gy, y != 0)


class Sigmoid(Module):
    """Squash every element into (0, 1).

        y = 1 / (1 + e⁻ˣ)
        gx = gy y (1 − y)

    With e = e^−|x| both keep all their digits, however large x is: y = max(e, [x ≥ 0]) / (1 + e) and
    y (1 − y) = e / (1 + e)². The context is that slope; from y alone its digits could not be had back.

    Shapes: y as x, any.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.Sigmoid.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        y, slope = sigmoid(as_floats(x, None, self))
        return y, slope

    def pullback(self, slope: Array, gy: Array) -> Array:
        return gy * slope


class _Gated(Module):
    """What GELU and SiLU share: x times a gate F(x) that opens from 0 to 1, with F(x) + F(−x) = 1.

        y = x F(x) = max(x, 0) − t G,   t = |x|,   G = F(−t)
        gx = gy (F(x) + x F′(x)),   F(x) = |[x ≥ 0] − G|

    G keeps all its digits however small it is, and so does y. The context is the slope alone: one array, as if x were
    kept, and its exponential is not taken twice.

    Shapes: y as x, any.
    Raises: DTypeError when x is not floating.
    """

    def gate(self, x: Array, t: Array, G: Array, slope: Array, d: Array, h: Array) -> None:
        """Write F(−t) into G and x F′(x) into slope; d and h are room to work in."""
        raise NotImplementedError

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        return blockwise(self._block, as_floats(x, None, self), 5)

    def pullback(self, slope: Array, gy: Array) -> Array:
        return gy * slope

    def _block(self, x: Array, y: Array, slope: Array | None, t: Array, G: Array, *room: Array) -> None:
        np.maximum(x, zeros_beside(x), out=y)
        np.abs(x, out=t)
        end = constant(x.dtype).end
        if not np.maximum.reduce(t) <= end:  # ∞ and NaN among them: 0 · ∞ would be NaN
            x = np.clip(x, -end, end)
            np.abs(x, out=t)
        d, h, spare = room
        self.gate(x, t, G, spare if slope is None else slope, d, h)
        t *= G
        y -= t
        if slope is not None:
            F = np.greater_equal(x, 0, out=t)
            F -= G
            np.abs(F, out=F)
            slope += F


class SiLU(_Gated):
    """x, faded out where it is negative.

        y = x σ(x)
        gx = gy (σ(x) + x σ′(x)),   σ(−t) = e / (1 + e),   σ′ = e / (1 + e)²,   e = e⁻ᵗ,   t = |x|

    Shapes: y as x, any.
    Raises: DTypeError when x is not floating.
    Source: Elfwing, Uchibe, Doya 2018, arXiv:1702.03118. PyTorch: nn.SiLU.
    """

    def gate(self, x: Array, t: Array, G: Array, slope: Array, d: Array, h: Array) -> None:
        e = np.exp(np.negative(t, out=G), out=G)
        np.add(e, 1, out=d)
        G /= d
        np.divide(G, d, out=slope)
        slope *= x


class GELU(_Gated):
    """x, times the chance that a normal number is smaller.

        y = x Φ(x)
        gx = gy (Φ(x) + x φ(x)),   φ(x) = e^(−x²/2) / √(2π)                             approximate='none'

        y = x σ(u),   u = √(8/π) (x + 0.044715 x³)
        gx = gy (σ(u) + x σ′(u) u′),   u′ = √(8/π) (1 + 3·0.044715 x²)                  approximate='tanh'

    ½ (1 + tanh(u/2)) is σ(u), but for the digits that 1 + tanh loses where x < 0. Φ keeps them, too: see erf.py.
    Where no x is below −9, e = e⁻ᵘ is far from overflow, and fewer passes do: σ(u) = 1 / (1 + e) = F and
    F (1 + y e u′) for the slope. So for Φ in float32, where few |x| are above 2.4: those are computed once more.

    Args:
        approximate: 'none' or 'tanh'.

    Shapes: y as x, any.
    Raises: OptionError when approximate is another word; DTypeError when x is not floating.
    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415. PyTorch: nn.GELU.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = choice(self, "approximate", approximate, ("none", "tanh"))

    def _block(self, x: Array, y: Array, slope: Array | None, t: Array, G: Array, *room: Array) -> None:
        if self.approximate == "none" and x.dtype == np.float32:
            square = np.square(x, out=t)
            far = np.flatnonzero(square > NEAR**2)
            if not far.size or 3 * far.size + 2048 <= x.size:  # otherwise twice is slower
                gelu_near(x, square, y, slope, G)
                self._anew(far, x, y, slope, t, G, *room)
                return
        c = constant(x.dtype)
        if self.approximate == "none" or not (np.minimum.reduce(x) >= -9 and np.maximum.reduce(x) <= c.end):
            super()._block(x, y, slope, t, G, *room)
            return
        square = np.square(x, out=t)
        e = np.multiply(square, -c.root * c.cubic, out=room[0])
        e -= c.root
        e *= x
        np.exp(e, out=e)
        F = np.add(e, 1, out=G)
        np.divide(1, F, out=F)
        np.multiply(x, F, out=y)
        if slope is not None:
            u_slope = square
            u_slope *= 3 * c.root * c.cubic
            u_slope += c.root
            u_slope *= e
            u_slope *= y
            u_slope += 1
            np.multiply(u_slope, F, out=slope)

    def _anew(self, places: Array, x: Array, y: Array, slope: Array | None, *room: Array) -> None:
        """Write the elements at these places again, by the formula that holds everywhere."""
        if places.size:
            parts = [np.empty(places.size, x.dtype) for _ in range(1 if slope is None else 2)]
            super()._block(x[places], parts[0], None if slope is None else parts[1], *(r[: places.size] for r in room))
            y[places] = parts[0]
            if slope is not None:
                slope[places] = parts[1]

    def gate(self, x: Array, t: Array, G: Array, slope: Array, d: Array, h: Array) -> None:
        if self.approximate == "none":
            E = slope
            normal_tail(E, G, t, h, d)
            np.multiply(E, x, out=slope)
            slope *= constant(x.dtype).normal
            return
        r, a = constant(x.dtype).root, constant(x.dtype).cubic
        square = np.square(t, out=d)
        square *= a
        u = np.add(square, 1, out=h)
        u *= t
        u *= -r
        e = np.exp(u, out=G)
        u_slope = d
        u_slope *= 3 * r
        u_slope += r
        np.add(e, 1, out=h)
        G /= h
        np.divide(G, h, out=slope)
        slope *= u_slope
        slope *= x


class Constant(NamedTuple):
    """Of the gates: where the last of them, e⁻ᵗ, has closed; 1/√(2π), √(8/π), and the factor of x³."""

    end: Any
    normal: Any
    root: Any
    cubic: Any


@cache
def constant(dtype: np.dtype[Any]) -> Constant:
    pi = 4 * np.arctan(np.longdouble(1))
    end = 1 - np.log(np.finfo(dtype).smallest_subnormal)
    return Constant(
        *(dtype.type(c) for c in (end, 1 / np.sqrt(2 * pi), np.sqrt(8 / pi), np.longdouble(44715) / 1_000_000))
    )


class Tanh(Module):
    """Squash every element into (−1, 1).

        y = tanh(x)
        gx = gy (1 − y²)

    The slope 1 − y² = 4e / (1 + e)², e = e^−2|x|, is the context; from y alone its digits could not be had back.

    Shapes: y as x, any.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.Tanh.
    """

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        return blockwise(tanh, as_floats(x, None, self), 1)

    def pullback(self, slope: Array, gy: Array) -> Array:
        return gy * slope


def tanh(x: Array, y: Array, slope: Array | None, e: Array) -> None:
    """tanh x, and its slope from one exponential that does not overflow."""
    np.tanh(x, out=y)
    if slope is not None:
        np.abs(x, out=e)
        e *= -2
        np.exp(e, out=e)
        np.add(e, 1, out=slope)
        slope *= slope
        np.divide(e, slope, out=slope)
        slope *= 4


class _Distribution(Module):
    """What Softmax and LogSoftmax share: the axis.

    PyTorch's default, None, picks axis 0 or 1 by the number of axes, and is deprecated there. Here it is an error.
    """

    def __init__(self, dim: int | None = None) -> None:
        require(dim is not None, self, "dim", dim, "the axis to normalise, such as -1 for the last")
        self.dim = integer(self, "dim", dim)

    def axis(self, x: Array) -> int:
        """``dim``, counted from the front."""
        axes = max(x.ndim, 1)
        if not -axes <= self.dim < axes:
            raise ShapeError(f"expected x to have an axis {self.dim}, got {kind_of(x)}; dim counts its axes", self)
        return self.dim % axes

    def shifted(self, x: Array) -> tuple[Array, int]:
        """x − max x along the axis, new, so that no exponential overflows; and the axis."""
        x = as_floats(x, None, self)
        axis = self.axis(x)
        x = np.atleast_1d(x)
        z = np.empty(x.shape, x.dtype)
        largest = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf if x.shape[axis] == 0 else None)
        with np.errstate(invalid="ignore"):
            np.subtract(x, largest, out=z)
        return z, axis


class Softmax(_Distribution):
    """Exponentials along an axis, divided by their sum.

        y = e^(x − max x) / Σ e^(x − max x)
        gx = y (h − Σ h y),   h = gy − gy where y is above 1/2, if it is anywhere

    As Σ y = 1, gx = y (gy − Σ gy y) as well; but there a y that is all but 1 cancels.

    Args:
        dim: the axis along which y sums to 1. It has to be given.

    Shapes: y as x, any. The context is y. A row of −∞ alone, or with a +∞, gives NaN, as in PyTorch.
    Raises: OptionError when dim is None or no whole number; ShapeError when x has no such axis; DTypeError when x is
        not floating.
    PyTorch: nn.Softmax.
    """

    def compute(self, x: Array) -> tuple[Array, tuple[Array, int]]:
        y, axis = self.shifted(x)
        with np.errstate(under="ignore", invalid="ignore"):
            np.exp(y, out=y)
            y /= sums(y, axis)
        y = y.reshape(x.shape)
        return y, (y, axis)

    def pullback(self, context: tuple[Array, int], gy: Array) -> Array:
        y, axis = context
        if not y.size or not y.ndim:
            return np.multiply(gy, y - y, out=np.empty(y.shape, y.dtype))  # of one element: 0, but NaN stays NaN
        with np.errstate(over="ignore", invalid="ignore"):
            h, sure = gy, np.maximum.reduce(y, axis=axis, keepdims=True) > 0.5
            if sure.any():
                h = gy - np.where(sure, np.take_along_axis(gy, y.argmax(axis=axis, keepdims=True), axis), 0)
            gx = h * y
            total = sums(gx, axis)
        if not np.isfinite(total).all():  # h overflowed, or there was no number before
            h, total = gy, sums(gy * y, axis)
        h = h - total
        return np.multiply(h, y, out=gx)


class LogSoftmax(_Distribution):
    """The logarithm of Softmax, with the digits that a logarithm of small numbers would have lost.

        y = z − log Σ eᶻ,   z = x − max x
        gx = gy − eʸ Σ gy

    Args:
        dim: the axis along which eʸ sums to 1. It has to be given.

    Shapes: y as x, any. The context is y. A row of −∞ alone, or with a +∞, gives NaN, as in PyTorch.
    Raises: OptionError when dim is None or no whole number; ShapeError when x has no such axis; DTypeError when x is
        not floating.
    PyTorch: nn.LogSoftmax.
    """

    def compute(self, x: Array) -> tuple[Array, tuple[Array, int]]:
        y, axis = self.shifted(x)
        with np.errstate(under="ignore", invalid="ignore", divide="ignore"):
            y -= np.log(sums(np.exp(y), axis))
        y = y.reshape(x.shape)
        return y, (y, axis)

    def pullback(self, context: tuple[Array, int], gy: Array) -> Array:
        y, axis = context
        with np.errstate(under="ignore"):
            gx = np.exp(y, out=np.empty(y.shape, y.dtype))
        gx *= sums(gy, axis) if y.ndim else gy
        return np.subtract(gy, gx, out=gx)


def sums(x: Array, axis: int) -> Array:
    """Along an axis, which stays. Short rows at the end are summed all at once by einsum, three times as fast; long
    columns by matrix products, which keep more digits.
    """
    n = x.shape[axis]
    if axis == x.ndim - 1 and 0 < n <= 256:
        return np.einsum("...i->...", x)[..., None]
    if n <= 256:
        return np.add.reduce(x, axis=axis, keepdims=True)
    if axis == x.ndim - 1:
        return np.add.reduce(np.ascontiguousarray(x), axis=axis, keepdims=True)
    after = x.shape[axis + 1 :]
    return over_rows(x.reshape(*x.shape[: axis + 1], prod(after))).reshape(*x.shape[:axis], 1, *after)


def sigmoid(x: Array) -> tuple[Array, Array]:
    """1 / (1 + e⁻ˣ) and its derivative, from the one exponential that does not overflow."""
    e = np.abs(x, out=np.empty(x.shape, x.dtype))  # arrays also where x has no axes
    np.exp(np.negative(e, out=e), out=e)
    d = np.add(e, 1, out=np.empty_like(e))
    y = np.greater_equal(x, 0, out=np.empty_like(e))
    np.maximum(e, y, out=y)
    y /= d
    d *= d
    e /= d
    return y, e


def masked(g: Array, alive: Array) -> Array:
    """g where ``alive``, else 0: the product of the bits with 0 or 1, since ∞ · 0 would be NaN among floats."""
    if g.dtype.itemsize > 8:
        return np.where(alive, g, g.dtype.type(0))
    bits: Array = g.view(f"i{g.dtype.itemsize}") * alive
    return bits.view(g.dtype)


def zeros_beside(x: Array) -> Array:
    """Zeros to compare x with: three times as fast as one zero, since NumPy has no vector code for a scalar operand."""
    if x.size <= 1 << 15:
        return np.zeros(x.shape, x.dtype)
    return np.zeros(x.shape[-1] if x.shape[-1] >= 256 else (), x.dtype)
