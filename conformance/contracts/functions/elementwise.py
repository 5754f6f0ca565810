"""Elementwise functions of NumPy, one row each."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.frameworks.pytorch import tensor
from conformance.records import SATURATED, Finding, NaNAnswer, Refused, Remark
from conformance.references import FunctionReference
from conformance.references import elementwise as exact
from conformance.references.arithmetic import LN2, LN10, PI
from conformance.references.kinds import elementwise, one, zero
from conformance.rows import FunctionRow
from conformance.strategies.arrays import EVERY, NASTY, ORDINARY
from conformance.strategies.calls import VANISHING, clips, on, powers, quotients, two, where
from conformance.strategies.coverage import among
from conformance.strategies.reshaping import fills

any_sign = on(kinds=NASTY)
everything = on(kinds=EVERY)
inside = on(kinds=ORDINARY, into=np.sin) | any_sign
pair = two(NASTY)
divisors = two([kind for kind in NASTY if kind not in VANISHING])  # a subnormal divisor has few digits
decimal = on(kinds=NASTY, decimals=among(0, 1, -1))
flags = among(False, True)


def bounded(bounds: Any, names: str) -> list[Any]:
    """The lower and the upper bound; None if it is missing."""
    named = dict(zip(names.split(), bounds, strict=True))
    return [named.get("low"), named.get("high")]


def clipped(n: Any, a: Any, *limits: Any, bounds: str, spelling: str) -> Any:
    """clip with bounds a_min and a_max by position, or min and max by keyword."""
    both = bounded(limits, bounds)
    if spelling == "a_min a_max":
        return n.clip(a, *both)
    return n.clip(a, **{name: bound for name, bound in zip(("min", "max"), both, strict=True) if bound is not None})


def clipped_by_method(a: Any, *limits: Any, bounds: str, spelling: str) -> Any:
    """The method clip with bounds by position, or min and max by keyword."""
    both = bounded(limits, bounds)
    if spelling == "a_min a_max":
        return a.clip(*both)
    return a.clip(**{name: bound for name, bound in zip(("min", "max"), both, strict=True) if bound is not None})


SQUARE_LOST = Finding("gradient", "arcsin_gradient.py", "1 - x² rounds off the difference between x and 1", "float32")
SQUARE_OVERFLOWS = Finding("gradient", "arcsinh_gradient.py", "x² overflows", "float32")
HYPERBOLIC = Finding("gradient", "sinh_gradient.py", "the derivative overflows, though its product with g does not")
EXPONENTIAL = Finding("gradient", "logaddexp_gradient.py", "an exponential overflows, and small gradients vanish")
QUOTIENT = Finding("output", "fmod_value.py", "the intermediate a / b overflows, and the remainder is NaN")
EXTREME_QUOTIENT = Remark(
    "extreme and infinite numbers are not compared in one array: an infinite sum of quotients in float64 may be "
    "inf - inf in float32."
)
NAN_SIZE = NaNAnswer("gradient", "|NaN| has no gradient; PyTorch has 0")

row = FunctionRow
ROUNDED = elementwise(exact.rounded, zero)
DEGREES = elementwise(lambda x: x * (180 / PI), lambda x: 180 / PI)
RADIANS = elementwise(lambda x: x * (PI / 180), lambda x: PI / 180)
SIZE = elementwise(np.absolute, np.sign)


def ufunc(function: np.ufunc, calls: Any, *partials: Any, value: Any = None, **recorded: Any) -> FunctionRow:
    """A ufunc that PyTorch has under the same name; its value in extended precision is NumPy's own by default."""

    def torch(t: Any, *operands: Any) -> Any:
        return getattr(t, function.__name__)(*operands)

    return FunctionRow(function, torch, calls, elementwise(value or function, *partials), **recorded)


UNARY = [
    row(np.positive, lambda t, x: +x, any_sign, elementwise(np.positive, one)),
    row(np.negative, lambda t, x: -x, any_sign, elementwise(np.negative, lambda x: -1)),
    ufunc(np.square, any_sign, lambda x: 2 * x),
    ufunc(
        np.reciprocal,
        any_sign,
        lambda x: -1 / (x * x),
        findings=(Finding("gradient", "reciprocal_gradient.py", "1/x² overflows, though its product with g does not"),),
    ),
    ufunc(np.sqrt, any_sign, lambda x: 1 / (2 * np.sqrt(x))),
    row(
        np.cbrt,
        lambda t, x: t.sign(x) * t.abs(x) ** (1 / 3),
        any_sign,
        elementwise(np.cbrt, lambda x: 1 / (3 * np.cbrt(x) ** 2)),
        findings=(Finding("", "cube_root.py", "PyTorch has no cube root; its closest function is the power 1/3"),),
    ),
    row(np.absolute, lambda t, x: t.abs(x), any_sign, SIZE, differences=(NAN_SIZE,)),
    row(np.fabs, lambda t, x: t.abs(x), any_sign, SIZE, differences=(NAN_SIZE,)),
    ufunc(np.exp, everything, np.exp),
    ufunc(np.exp2, everything, lambda x: np.exp2(x) * LN2),
    ufunc(
        np.expm1,
        everything,
        np.exp,
        findings=(Finding("gradient", "expm1_gradient.py", "1 is added to a result that is nearly -1"),),
    ),
    ufunc(np.log, any_sign, lambda x: 1 / x),
    ufunc(np.log2, any_sign, lambda x: 1 / (x * LN2)),
    ufunc(np.log10, any_sign, lambda x: 1 / (x * LN10)),
    ufunc(np.log1p, any_sign, lambda x: 1 / (1 + x)),
    ufunc(np.sin, everything, np.cos),
    ufunc(np.cos, everything, lambda x: -np.sin(x)),
    ufunc(np.tan, any_sign, lambda x: 1 + np.tan(x) ** 2),
    ufunc(np.arcsin, inside, lambda x: 1 / np.sqrt((1 - x) * (1 + x)), findings=(SQUARE_LOST,)),
    ufunc(np.arccos, inside, lambda x: -1 / np.sqrt((1 - x) * (1 + x)), findings=(SQUARE_LOST,)),
    ufunc(np.arctan, any_sign, lambda x: 1 / (1 + x * x)),
    ufunc(np.sinh, everything, np.cosh, findings=(HYPERBOLIC,)),
    ufunc(np.cosh, everything, np.sinh, findings=(HYPERBOLIC,)),
    ufunc(
        np.tanh,
        everything,
        lambda x: 1 / np.cosh(x) ** 2,  # 1 - tanh² has no digits left at 30
        findings=(Finding("gradient", "tanh_gradient.py", SATURATED),),
    ),
    ufunc(np.arcsinh, any_sign, lambda x: 1 / np.hypot(1, x), findings=(SQUARE_OVERFLOWS,)),
    ufunc(
        np.arccosh,
        any_sign,
        lambda x: 1 / np.sqrt((x - 1) * (x + 1) + 0),
        findings=(SQUARE_LOST, SQUARE_OVERFLOWS),
    ),
    ufunc(np.arctanh, inside, lambda x: 1 / ((1 - x) * (1 + x)), findings=(SQUARE_LOST,)),
    row(np.degrees, lambda t, x: t.rad2deg(x), any_sign, DEGREES),
    row(np.rad2deg, lambda t, x: t.rad2deg(x), any_sign, DEGREES),
    row(np.radians, lambda t, x: t.deg2rad(x), any_sign, RADIANS),
    row(np.deg2rad, lambda t, x: t.deg2rad(x), any_sign, RADIANS),
    ufunc(np.sign, any_sign, zero, differences=(NaNAnswer("output", "NumPy's sign of NaN is NaN, PyTorch's is 0"),)),
    ufunc(np.floor, any_sign, zero),
    ufunc(np.ceil, any_sign, zero),
    row(np.rint, lambda t, x: t.round(x), any_sign, elementwise(np.rint, zero)),
    ufunc(np.trunc, any_sign, zero),
    row(np.round, lambda t, a, decimals: t.round(a, decimals=decimals), decimal, ROUNDED),
    row(np.around, lambda t, a, decimals: t.round(a, decimals=decimals), decimal, ROUNDED),
    row(
        np.ndarray.astype,
        lambda t, a, dtype, **_: a.to(getattr(t, dtype)).to(a.dtype),
        on(
            kinds=NASTY,
            dtype=among("float32", "float64"),
            order=among("K", "C", "F", "A"),
            casting=among("unsafe", "same_kind"),
            subok=among(True, False),
            copy=among(True, False),
        ),
        FunctionReference("the cast itself, of the gradient too", exact.cast_both),
        lambda n, a, dtype, **options: a.astype(np.dtype(dtype), **options).astype(a.dtype),
        spellings={
            "options by position": lambda a, dtype, order="K", casting="unsafe", subok=True, copy=True: a.astype(
                np.dtype(dtype), order, casting, subok, copy
            ).astype(a.dtype)
        },
    ),
    row(
        np.copy,
        lambda t, a, **_: a.clone(),
        on(kinds=NASTY, order=among("K", "C", "F", "A"), subok=flags),
        elementwise(lambda x, order, subok: x, one),
    ),
]

SEVERAL = [
    row(
        np.full_like,
        lambda t, a, fill_value, shape, **_: t.broadcast_to(fill_value, shape or a.shape).clone(),
        fills(),
        FunctionReference("formula in extended precision", exact.full_like),
        dispatch_operand="a",
    ),
    row(np.add, lambda t, a, b: a + b, pair, elementwise(np.add, one, one)),
    row(np.subtract, lambda t, a, b: a - b, pair, elementwise(np.subtract, one, lambda a, b: -1)),
    row(np.multiply, lambda t, a, b: a * b, pair, elementwise(np.multiply, lambda a, b: b, lambda a, b: a)),
    row(
        np.true_divide,
        lambda t, a, b: a / b,
        divisors,
        elementwise(np.true_divide, lambda a, b: 1 / b, lambda a, b: -a / (b * b)),
    ),
    row(
        np.floor_divide,
        lambda t, a, b: t.floor_divide(a.detach(), b.detach()),
        pair,
        elementwise(np.floor_divide, zero, zero),
        differences=(
            Refused(("incoming gradient",), "PyTorch has no backward for it, and checks no incoming gradient"),
        ),
    ),
    ufunc(
        np.remainder,
        quotients(),
        one,
        lambda a, b: -np.floor_divide(a, b),
        differences=(EXTREME_QUOTIENT,),
        findings=(
            QUOTIENT,
            Finding(
                "gradient of b", "remainder_gradient.py", "the quotient overflows, though its product with g does not"
            ),
        ),
    ),
    ufunc(
        np.fmod,
        quotients(),
        one,
        lambda a, b: -exact.quotient(a, b),
        differences=(EXTREME_QUOTIENT,),
        findings=(QUOTIENT, Finding("gradient of b", "fmod_gradient.py", "a / b is rounded before it is truncated")),
    ),
    row(
        np.power,
        lambda t, a, b: t.pow(a, b),
        powers(),
        elementwise(np.power, exact.power_by_base, exact.power_by_exponent),
        differences=(
            NaNAnswer(
                "gradient of a",
                "(−2) to the 1e-30 is NaN and has no gradient; PyTorch rounds b − 1 to the integer −1",
            ),
            Remark(
                "-inf to a single exponent of 1/2 is not compared: NumPy, whose bits Tensors have, takes the root, "
                "which is NaN; the power is inf."
            ),
        ),
        findings=(
            Finding("gradient of a", "power_gradient.py", "b - 1 is rounded, from odd to even: the sign is lost"),
            Finding(
                "gradient of b", "exponent_gradient.py", "the power is subnormal, has few digits, and is multiplied"
            ),
        ),
    ),
    ufunc(
        np.logaddexp,
        two(EVERY),
        lambda a, b: 1 / (1 + exact.exp_difference(b, a)),
        lambda a, b: 1 / (1 + exact.exp_difference(a, b)),
        value=exact.logaddexp,
        findings=(EXPONENTIAL,),
    ),
    ufunc(
        np.logaddexp2,
        two(EVERY),
        lambda a, b: 1 / (1 + exact.exp2_difference(b, a)),
        lambda a, b: 1 / (1 + exact.exp2_difference(a, b)),
        value=exact.logaddexp2,
        findings=(EXPONENTIAL,),
    ),
    ufunc(
        np.hypot,
        divisors,
        lambda a, b: a / np.hypot(a, b),
        lambda a, b: b / np.hypot(a, b),
    ),
    ufunc(
        np.arctan2,
        divisors,
        lambda a, b: exact.angle_partial(b, a, b),
        lambda a, b: exact.angle_partial(-a, a, b),
        findings=(
            Finding("gradient", "arctan2_gradient.py", "it divides by a² + b², which overflows or has few digits left"),
        ),
    ),
    ufunc(np.copysign, pair, exact.copysign_by_size, zero),
    ufunc(np.maximum, pair, lambda a, b: exact.larger(a, b), lambda a, b: exact.larger(b, a)),
    ufunc(np.minimum, pair, lambda a, b: exact.larger(-a, -b), lambda a, b: exact.larger(-b, -a)),
    ufunc(np.fmax, pair, lambda a, b: exact.takes_first(a, b, a > b), lambda a, b: ~exact.takes_first(a, b, a > b)),
    ufunc(np.fmin, pair, lambda a, b: exact.takes_first(a, b, a < b), lambda a, b: ~exact.takes_first(a, b, a < b)),
    row(
        np.clip,
        lambda t, a, *limits, bounds, spelling: t.clamp(a, *bounded(limits, bounds)),
        clips(),
        FunctionReference("formula in extended precision", exact.clip),
        clipped,
        spellings={"method": clipped_by_method},
    ),
    row(
        np.where,
        lambda t, x, y, condition: t.where(tensor(condition), x, y),
        where(),
        elementwise(
            lambda x, y, condition: np.where(condition, x, y),
            lambda x, y, condition: np.where(condition, 1, 0),
            lambda x, y, condition: np.where(condition, 0, 1),
        ),
        lambda n, x, y, condition: n.where(condition, x, y),
    ),
]

ROWS = [*UNARY, *SEVERAL]
