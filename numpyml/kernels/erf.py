"""GELU, and the tail of the normal distribution that it needs, since NumPy has no error function.

    Φ(x) = ∫₋∞ˣ φ,   φ(x) = e^(−x²/2) / √(2π);   erf(x) = 2 Φ(√2 x) − 1,   erfc(x) = 2 Φ(−√2 x)

The tail Φ(−t), t ≥ 0, falls as φ does. Divided by φ it is as smooth as 1/(1 + t), and one quotient of polynomials
approximates it over the whole range, without branches:

    G = Φ(−t) = E R(t),   E = e^(−t²/2),   R(t) ≈ P(t) / Q(t)

In single precision and near 0 the logistic function of an odd u takes half the work:

    Φ(x) = 1 / (1 + e⁻ᵘ),   u = log Φ(x) − log Φ(−x) ≈ x L(x²)

The rounding of u, half a unit, moves Φ by up to |u|/2 units, which limits that range.

All coefficients of P and Q are positive, so nothing cancels. But t² rounded by half a unit moves E by up to t²/4 units,
hundreds of them in the tail. So t² is computed as a sum S + e, and E as e^(−S/2) (1 − e/2).

Source: the plan is Cody's, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), with one
range instead of three. The coefficients are our own; tools/erf_coefficients.py derives them again.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from numpyml.kernels import thresholds
from numpyml.kernels.elementwise import Result, blocks, empty_results, zeros_for
from numpyml.typing import Array


class Tail(NamedTuple):
    """The constants of one precision: P and Q, highest power first, and the mask of the bits of t that h keeps."""

    P: tuple[Array, ...]
    Q: tuple[Array, ...]
    mask: Any


def _numbers(dtype: type[Any], P: tuple[float, ...], Q: tuple[float, ...], mask: Any) -> Tail:
    """The constants as arrays of the dtype, which a ufunc takes faster than Python's numbers."""
    return Tail(tuple(np.array(c, dtype) for c in P), tuple(np.array(c, dtype) for c in Q), np.array(mask))


# The relative error with rounded coefficients is at most 2.7e-8 and 9.1e-17.
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
MINUS_HALF = {dtype: np.array(-0.5, dtype) for dtype in TAILS}

NEAR = np.float32(2.4)
# −L, highest power first; the error of x L is below the machine epsilon.
MINUS_L = tuple(
    np.array(-c, np.float32)
    for c in (
        -5.358191585e-9, -8.801053488e-8, 6.614139799e-6, -1.061003716e-4, -7.228719281e-5, 7.267060858e-2, 1.595769157,
    )
)  # fmt: skip
ONE, PHI_0 = (np.array(c, np.float32) for c in (1, 0.3989422804))


def gelu(x: Array, record: bool) -> Result:
    """y = x Φ(x),   y′ = Φ(x) + x φ(x); the derivative is None unless it is recorded.

    In float32, where few |x| exceed NEAR, Φ(x) = 1 / (1 + e⁻ᵘ), and those few are computed once more from the tail.
    """
    results = empty_results(x, record)
    with np.errstate(all="ignore"):
        for xb, y, d, scratch in blocks(x, *results, 5):
            if xb.dtype != np.float32:
                gelu_from_tail(xb, y, d, scratch)
                continue
            square, e = scratch[:2]
            np.square(xb, out=square)
            far = np.flatnonzero(square > NEAR**2)
            if far.size and xb.size - 3 * far.size < thresholds.FEW_FAR:  # to compute that many twice is slower
                gelu_from_tail(xb, y, d, scratch)
                continue
            np.multiply(square, MINUS_L[0], out=e)
            for c in MINUS_L[1:-1]:
                e += c
                e *= square
            e += MINUS_L[-1]
            e *= xb
            np.exp(e, out=e)
            e += ONE
            np.divide(xb, e, out=y)
            if d is not None:
                square *= MINUS_HALF[xb.dtype]
                np.exp(square, out=square)
                square *= xb
                square *= PHI_0
                np.divide(ONE, e, out=d)
                d += square
            if far.size:
                few = xb[far], np.empty(far.size, xb.dtype), None if d is None else np.empty(far.size, xb.dtype)
                gelu_from_tail(*few, scratch[:, : far.size])
                y[far] = few[1]
                if d is not None:
                    d[far] = few[2]
    return results


def gelu_from_tail(x: Array, y: Array, derivative: Array | None, scratch: Array) -> None:
    """y = max(x, 0) − t G,   y′ = |[x ≥ 0] − G| + x φ(x),   t = |x|,   G = Φ(−t): to the last digits everywhere."""
    t, G, E, h, d = scratch
    np.maximum(x, zeros_for(x), out=y)
    np.abs(x, out=t)
    end, phi_0 = constants(x.dtype)
    if not np.maximum.reduce(t) <= end:  # ∞ and NaN among them: 0 · ∞ would be NaN
        x = np.clip(x, -end, end)
        np.abs(x, out=t)
    normal_tail(E, G, t, h, d)
    t *= G
    y -= t
    if derivative is not None:
        E *= x
        E *= phi_0
        np.greater_equal(x, 0, out=derivative)
        derivative -= G
        np.abs(derivative, out=derivative)
        derivative += E


@cache
def constants(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Where e⁻ᵗ and so Φ(−t) has become 0, and φ(0) = 1/√(2π)."""
    end = 1 - np.log(np.finfo(dtype).smallest_subnormal)
    return dtype.type(end), dtype.type(1 / np.sqrt(8 * np.arctan(np.longdouble(1))))


def normal_tail(E: Array, G: Array, t: Array, h: Array, d: Array) -> None:
    """Write e^(−t²/2) into E and Φ(−t) into G, for finite t ≥ 0; h and d are scratch.

    All are contiguous and of one dtype and length, short enough to stay in the cache.
    """
    if t.dtype not in TAILS:
        _any_precision(E, G, t)
        return
    P, Q, mask = TAILS[t.dtype]
    # t² = h² + d, in which h is t without its lower digits: h² is exact.
    np.bitwise_and(t.view(mask.dtype), mask, out=h.view(mask.dtype))
    np.subtract(t, h, out=d)
    np.add(t, h, out=E)
    d *= E
    h *= h
    S = np.add(h, d, out=E)
    h -= S
    h += d
    e = h
    # E = e^(−S/2) (1 − e/2)
    S *= MINUS_HALF[t.dtype]
    np.exp(S, out=E)
    e *= MINUS_HALF[t.dtype]
    e *= E
    E += e
    # G = E P / Q, by Horner's rule; Q[0] is 1
    np.multiply(t, P[0], out=G)
    for c in P[1:-1]:
        G += c
        G *= t
    G += P[-1]
    np.add(t, Q[1], out=d)
    for c in Q[2:]:
        d *= t
        d += c
    G *= E
    G /= d


def _any_precision(E: Array, G: Array, t: Array) -> None:
    """The same in any precision, such as np.longdouble: slow, and as accurate as the dtype.

    t < 1:  Φ(−t) = ½ − φ(t) t (1 + t²/3 (1 + t²/5 (1 + ...)))
    t ≥ 1:  Φ(−t) = φ(t) / (t + 1/(t + 2/(t + 3/(t + ...)))), with an error of about e^(−2√n t) after n terms
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
