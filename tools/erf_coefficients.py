"""Derive the coefficients of numpyml/kernels/erf.py: `python tools/erf_coefficients.py` prints them.

R(t) = Φ(−t) e^(t²/2), Mills' ratio, is approximated by P(t) / Q(t) at three times as many points as there are
coefficients, denser near 0. Each step solves P − R Q = 0 for the coefficients by least squares, weighted for the
relative error; Lawson's weights then grow where the error is largest, until it equioscillates. L, log(Φ(x)/Φ(−x))/x as
a function of x², is interpolated at Chebyshev points, which is nearly the best approximation.
"""

from __future__ import annotations

import mpmath
from mpmath import mp, mpf

DIGITS = 80


def ratio(t: mpf) -> mpf:
    """Mills' ratio R(t)."""
    return mpmath.erfc(t / mpmath.sqrt(2)) * mpmath.exp(t * t / 2) / 2


def value(coefficients: list[mpf], t: mpf) -> mpf:
    """The polynomial, its lowest power first."""
    return mpmath.polyval(coefficients[::-1], t)


def rational_fit(m: int, n: int, end: float) -> tuple[list[mpf], list[mpf]]:
    """P of degree m and Q of degree n for 0 ≤ t ≤ end, highest power first, Q monic."""
    count = 3 * (m + n + 2)
    right = (mpf(end) - 3) / (mpf(end) + 3)
    nodes = [-1 + (right + 1) * (1 - mpmath.cos(mpmath.pi * (i + 0.5) / count)) / 2 for i in range(count)]
    ts = [3 * (1 + s) / (1 - s) for s in nodes]
    values = [ratio(t) for t in ts]
    weights, best, q = [mpf(1)] * count, None, [mpf(1)]
    for step in range(20):
        scale = [mpmath.sqrt(w) / (r * value(q, t)) for w, r, t in zip(weights, values, ts, strict=True)]
        rows = [
            [c * t**j for j in range(m + 1)] + [-c * r * t**j for j in range(1, n + 1)]
            for c, r, t in zip(scale, values, ts, strict=True)
        ]
        right_side = [c * r for c, r in zip(scale, values, strict=True)]
        solution = list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(right_side)))
        p, q = solution[: m + 1], [mpf(1), *solution[m + 1 :]]
        errors = [abs(value(p, t) / value(q, t) / r - 1) for t, r in zip(ts, values, strict=True)]
        if best is None or max(errors) < best[0]:
            best = (max(errors), p, q)
        if step >= 6:
            weights = [w * e for w, e in zip(weights, errors, strict=True)]
            weights = [w * count / sum(weights) for w in weights]
    assert best is not None
    _, p, q = best
    return [c / q[-1] for c in p[::-1]], [c / q[-1] for c in q[::-1]]


def odds(z: mpf) -> mpf:
    """L(z), z = x²."""
    x = mpmath.sqrt(z)
    return mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / mpmath.erfc(x / mpmath.sqrt(2))) / x


def interpolant(count: int, end: float) -> list[mpf]:
    """The polynomial that interpolates L in ``count`` Chebyshev points of 0 ≤ z ≤ end², highest power first."""
    zs = [mpf(end) ** 2 * (1 - mpmath.cos(mpmath.pi * (i + mpf(0.5)) / count)) / 2 for i in range(count)]
    rows = [[z**j for j in range(count)] for z in zs]
    return list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix([odds(z) for z in zs])))[::-1]


if __name__ == "__main__":
    with mp.workdps(DIGITS):
        print("L", ", ".join(mpmath.nstr(c, 10) for c in interpolant(7, 2.4)))
        for degrees, end, digits in (((4, 5), 14.5, 12), ((9, 10), 38.7, 20)):
            for name, coefficients in zip("PQ", rational_fit(*degrees, end), strict=True):
                print(name, ", ".join(mpmath.nstr(c, digits) for c in coefficients))
