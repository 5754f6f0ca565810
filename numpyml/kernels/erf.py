"""The tail of the normal distribution, and so the error function, which NumPy lacks: to the last digits everywhere.

    Φ(x) = ∫₋∞ˣ φ,   φ(x) = e^(−x²/2) / √(2π);   erf(x) = 2 Φ(√2 x) − 1,   erfc(x) = 2 Φ(−√2 x)

Everything rests on the tail Φ(−t), t ≥ 0, which falls as φ does. What is left when that is divided out is as smooth as
1/(1 + t), and one quotient of polynomials gives it over the whole range, without branches:

    G = Φ(−t) = E R(t),   E = e^(−t²/2),   R(t) ≈ P(t) / Q(t)

In single precision, and as long as x is not far from 0, the logistic function does with half the work, u being odd:

    Φ(x) = 1 / (1 + e⁻ᵘ),   u = log Φ(x) − log Φ(−x) ≈ x L(x²)

The half unit by which u is rounded moves Φ by up to |u|/2 units: hence the end of that range.

All of P and Q is positive, so that no digit cancels. The exponent is another matter: t² rounded by half a unit moves
E by up to t²/4 units, hundreds of them in the tail. So t² is taken as a sum S + e, and E is e^(−S/2) (1 − e/2).

Source: the plan is Cody's, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), with one
range instead of three. The coefficients are our own; tests/harness/mills.py derives them again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from numpyml.typing import Array

__all__ = ["gelu_near", "normal_tail"]


class Tail(NamedTuple):
    """What the tail takes in one precision: P and Q, highest power first, and the bits of t that h keeps."""

    P: tuple[Array, ...]
    Q: tuple[Array, ...]
    kept: Any


def _numbers(dtype: type[Any], P: tuple[float, ...], Q: tuple[float, ...], kept: Any) -> Tail:
    """The numbers as arrays of the dtype, which cost a ufunc less than Python's do."""
    return Tail(tuple(np.array(c, dtype) for c in P), tuple(np.array(c, dtype) for c in Q), np.array(kept))


# Off by 2.7e-8 and 9.1e-17 at most, relative, once the coefficients are rounded.
TAILS: dict[Any, Tail] = {
    np.dtype(np.float32): _numbers(
        np.float32,
        (0.398946918262, 3.93860321536, 17.7627214375, 42.4913218262, 48.4779674537),
        (1.0, 9.87324000167, 45.5100116324, 116.577447459, 162.342327593, 96.9559343045),
        np.int32(-1 << 12),
    ),
    np.dtype(np.float64): _numbers(
        np.float64,
        (
            0.3989422804001912646, 10.733499650563396142, 141.38265936915156365, 1179.523913985987978,
            6816.807597850653528, 28205.25838330474319, 83561.263193346322164, 171628.67596029842057,
            223956.04113573872326, 144571.32807807219727,
        ),
        (
            1.0, 26.90489370920379041, 355.39377157668962757, 2983.5328837893296135, 17439.596564772059968,
            73602.912911869758036, 225845.51177217626033, 495264.02211907262154, 740142.09082796922307,
            678614.54348799381389, 289142.65615614440933,
        ),
        np.int64(-1 << 27),
    ),
}  # fmt: skip
HALF = {dtype: np.array(-0.5, dtype) for dtype in TAILS}

NEAR = np.float32(2.4)
# −L, highest power first; x L is off by less than a unit of 1.
L = tuple(
    np.array(-c, np.float32)
    for c in (
        -5.358191585e-9, -8.801053488e-8, 6.614139799e-6, -1.061003716e-4, -7.228719281e-5, 7.267060858e-2, 1.595769157,
    )
)  # fmt: skip
ONE, PHI_0 = (np.array(c, np.float32) for c in (1, 0.3989422804))


def gelu_near(x: Array, z: Array, y: Array, slope: Array | None, e: Array) -> None:
    """Write x Φ(x) into y and Φ(x) + x φ(x) into slope, for float32 and z = x² up to NEAR²; e, and then z, is room.

    All are contiguous and of one length, short enough to stay in the cache.
    """
    _polynomial(L, z, e)
    e *= x
    np.exp(e, out=e)
    e += ONE
    np.divide(x, e, out=y)
    if slope is not None:
        z *= HALF[z.dtype]
        np.exp(z, out=z)
        z *= x
        z *= PHI_0
        np.divide(ONE, e, out=slope)
        slope += z


def normal_tail(E: Array, G: Array, t: Array, h: Array, d: Array) -> None:
    """Write e^(−t²/2) into E and Φ(−t) into G; h and d are room to work in.

    All are contiguous and of one dtype and length, short enough to stay in the cache; t ≥ 0, and no larger than where
    e^(−t²/2) ends.
    """
    if t.dtype not in TAILS:
        _any_precision(E, G, t)
        return
    P, Q, kept = TAILS[t.dtype]
    minus_half = HALF[t.dtype]
    # t² = h² + d, in which h is t without its lower digits: h² is exact.
    np.bitwise_and(t.view(kept.dtype), kept, out=h.view(kept.dtype))
    np.subtract(t, h, out=d)
    np.add(t, h, out=E)
    d *= E
    h *= h
    S = np.add(h, d, out=E)
    h -= S
    h += d
    e = h
    # E = e^(−S/2) (1 − e/2)
    S *= minus_half
    np.exp(S, out=E)
    e *= minus_half
    e *= E
    E += e
    # G = E P / Q
    _polynomial(P, t, G)
    _polynomial(Q, t, d)
    G *= E
    G /= d


def _polynomial(coefficients: tuple[Array, ...], t: Array, into: Array) -> None:
    first, *rest = coefficients
    if first == 1:
        np.add(t, rest.pop(0), out=into)
    else:
        np.multiply(t, first, out=into)
        into += rest.pop(0)
    for c in rest:
        into *= t
        into += c


def _any_precision(E: Array, G: Array, t: Array) -> None:
    """The same where no quotient was derived, as for np.longdouble: slow, and as exact as the dtype is.

    t < 1:  Φ(−t) = ½ − φ(t) t (1 + t²/3 (1 + t²/5 (1 + ...)))
    t ≥ 1:  Φ(−t) = φ(t) / (t + 1/(t + 2/(t + 3/(t + ...)))), of which n terms leave about e^(−2√n t)
    """
    digits = -float(np.log(np.finfo(t.dtype).eps))
    h = t.astype(np.float32).astype(t.dtype)  # h² is exact
    np.multiply(np.exp(h * h / -2), np.exp((t - h) * (t + h) / -2), out=E)
    phi = E / np.sqrt(8 * np.arctan(t.dtype.type(1)))
    small, large = np.minimum(t, 1), np.maximum(t, 1)
    series, fraction = np.zeros_like(t), large
    for n in range(int(digits), 0, -1):
        series = small * small / (2 * n + 1) * (1 + series)
    for n in range(int(digits**2 / 4) + 9, 0, -1):
        fraction = large + n / fraction
    G[...] = np.where(t < 1, t.dtype.type(0.5) - phi * small * (1 + series), phi / fraction)
