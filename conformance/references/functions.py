"""NumPy's functions: a table of values and derivatives, a line or two each, from simple to hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

from conformance.references.arithmetic import LN2, LN10, PI, Wide, difference, fold, total, wide
from conformance.references.kinds import (
    Answers,
    Function,
    FunctionReference,
    elementwise,
    linear,
    moves,
    multilinear,
    one,
    reduction,
    selects,
    zero,
)
from numpyml.typing import Array

# Functions that only move elements, and those that add up what they moved

RESHAPING = {
    "reshape": moves(lambda a, shape: a.reshape(shape)),
    "ravel": moves(np.ravel),
    "squeeze": moves(np.squeeze),
    "expand_dims": moves(np.expand_dims),
    "transpose": moves(np.transpose),
    "swapaxes": moves(np.swapaxes),
    "moveaxis": moves(np.moveaxis),
    "broadcast_to": moves(np.broadcast_to),
    "flip": moves(np.flip),
    "fliplr": moves(np.fliplr),
    "flipud": moves(np.flipud),
    "roll": moves(np.roll),
    "rot90": moves(np.rot90),
    "repeat": moves(np.repeat),
    "tile": moves(np.tile),
    "pad": moves(
        lambda a, pad_width, mode, **constant: np.pad(
            a, pad_width, mode, **(dict.fromkeys(constant, 0) if a.dtype.kind == "i" else constant)
        )
    ),
    "atleast_1d": moves(np.atleast_1d),
    "atleast_2d": moves(np.atleast_2d),
    "atleast_3d": moves(np.atleast_3d),
}

JOINING = {
    "concatenate": moves(lambda *xs, axis: np.concatenate(xs, axis)),
    "stack": moves(lambda *xs, axis: np.stack(xs, axis)),
    "vstack": moves(lambda *xs: np.vstack(xs)),
    "hstack": moves(lambda *xs: np.hstack(xs)),
    "dstack": moves(lambda *xs: np.dstack(xs)),
    "column_stack": moves(lambda *xs: np.column_stack(xs)),
    "append": moves(np.append),
    "split": moves(lambda a, cuts, axis: np.split(a, cuts, axis)),
    "array_split": moves(lambda a, cuts, axis: np.array_split(a, cuts, axis)),
    "hsplit": moves(lambda a, cuts=(1, 2): np.hsplit(a, cuts)),
    "vsplit": moves(lambda a, cuts=(1, 2): np.vsplit(a, cuts)),
    "dsplit": moves(lambda a, cuts=(1, 2): np.dsplit(a, cuts)),
}


def order_of(x: Array, axis: int | None, **way: Any) -> Array:
    return np.argsort(x, axis, kind="stable")


def placed(x: Array, order: Array, axis: int | None, **way: Any) -> Array:
    return x.reshape(-1)[order] if axis is None else np.take_along_axis(x, order, axis)


INDEXING = {
    "indexing": moves(lambda x, index: x[index]),
    "take": moves(np.take),
    "take_along_axis": moves(np.take_along_axis),
    "tril": moves(np.tril),
    "triu": moves(np.triu),
    "diagonal": moves(np.diagonal),
    "diag": moves(np.diag),
    "sort": selects(order_of, placed),
    "trace": linear(np.trace),
    "diff": linear(np.diff),
}


def matrices(a: Array, b: Array) -> str:
    """What matmul means: the last axis of a and the one before the last of b go, the batches broadcast."""
    rows, columns = "i" * (a.ndim > 1), "j" * (b.ndim > 1)
    return f"...{rows}k,...k{columns}->...{rows}{columns}"


def axes_gone(left: Sequence[int], right: Sequence[int]) -> Function:
    """Those axes of a, in this order, are summed against those of b; what is left of a comes first, then b's."""

    def spell(a: Array, b: Array) -> str:
        first, second = list(ascii_lowercase[: a.ndim]), list(ascii_uppercase[: b.ndim])
        for i, j in zip(left, right, strict=True):
            second[j] = first[i]
        kept = [letter for letter in (*first, *second) if (letter in first) != (letter in second)]
        return f"{''.join(first)},{''.join(second)}->{''.join(kept)}"

    return spell


def tensordot_axes(a: Array, b: Array, axes: Any = 2) -> str:
    pairs = (range(a.ndim - axes, a.ndim), range(axes)) if isinstance(axes, int) else axes
    return axes_gone(*pairs)(a, b)


def spelled(*_: Array, subscripts: str, optimize: bool) -> str:
    """What einsum was told; without an arrow, the letters that occur once are left, sorted."""
    left = "".join(sorted(letter for letter in set(subscripts) if letter.isalpha() and subscripts.count(letter) == 1))
    return subscripts if "->" in subscripts else f"{subscripts}->{left}"


PRODUCTS = {
    "einsum": multilinear(lambda *xs, subscripts, optimize: np.einsum(subscripts, *xs), spelled),
    "vdot": multilinear(np.vdot, lambda a, b: "i,i->", flatten=True),
    "outer": multilinear(np.outer, lambda a, b: "i,j->ij", flatten=True),
    "inner": multilinear(np.inner, axes_gone([-1], [-1])),
    "matmul": multilinear(np.matmul, matrices),
    "dot": multilinear(np.dot, lambda a, b: axes_gone([-1], [-2 if b.ndim > 1 else -1])(a, b)),
    "tensordot": multilinear(np.tensordot, tensordot_axes),
}

# One operand


def degrees(x: Array) -> Array:
    return x * (180 / PI)


def radians(x: Array) -> Array:
    return x * (PI / 180)


def rounded(x: Array, decimals: int) -> Array:
    return np.rint(x * Wide(10) ** decimals) / Wide(10) ** decimals


def cast(x: Array, dtype: str) -> Array:
    return x.astype(np.float32).astype(Wide) if dtype == "float32" else x


UNARY = {
    "positive": elementwise(np.positive, one),
    "copy": elementwise(lambda x, order, subok: x, one),
    "negative": elementwise(np.negative, lambda x: -1),
    "sign": elementwise(np.sign, zero),
    "floor": elementwise(np.floor, zero),
    "ceil": elementwise(np.ceil, zero),
    "rint": elementwise(np.rint, zero),
    "trunc": elementwise(np.trunc, zero),
    "round": elementwise(rounded, zero),
    "around": elementwise(rounded, zero),
    "absolute": elementwise(np.absolute, np.sign),
    "fabs": elementwise(np.absolute, np.sign),
    "degrees": elementwise(degrees, lambda x: 180 / PI),
    "rad2deg": elementwise(degrees, lambda x: 180 / PI),
    "radians": elementwise(radians, lambda x: PI / 180),
    "deg2rad": elementwise(radians, lambda x: PI / 180),
    "square": elementwise(lambda x: x * x, lambda x: 2 * x),
    "reciprocal": elementwise(lambda x: 1 / x, lambda x: -1 / (x * x)),
    "sqrt": elementwise(np.sqrt, lambda x: 1 / (2 * np.sqrt(x))),
    "cbrt": elementwise(np.cbrt, lambda x: 1 / (3 * np.cbrt(x) ** 2)),
    "exp": elementwise(np.exp, np.exp),
    "exp2": elementwise(np.exp2, lambda x: np.exp2(x) * LN2),
    "expm1": elementwise(np.expm1, np.exp),
    "log": elementwise(np.log, lambda x: 1 / x),
    "log2": elementwise(np.log2, lambda x: 1 / (x * LN2)),
    "log10": elementwise(np.log10, lambda x: 1 / (x * LN10)),
    "log1p": elementwise(np.log1p, lambda x: 1 / (1 + x)),
    "sin": elementwise(np.sin, np.cos),
    "cos": elementwise(np.cos, lambda x: -np.sin(x)),
    "tan": elementwise(np.tan, lambda x: 1 + np.tan(x) ** 2),
    "arcsin": elementwise(np.arcsin, lambda x: 1 / np.sqrt((1 - x) * (1 + x))),
    "arccos": elementwise(np.arccos, lambda x: -1 / np.sqrt((1 - x) * (1 + x))),
    "arctan": elementwise(np.arctan, lambda x: 1 / (1 + x * x)),
    "sinh": elementwise(np.sinh, np.cosh),
    "cosh": elementwise(np.cosh, np.sinh),
    "tanh": elementwise(np.tanh, lambda x: 1 / np.cosh(x) ** 2),  # 1 - tanh² has no digits left at 30
    "arcsinh": elementwise(np.arcsinh, lambda x: 1 / np.hypot(1, x)),
    "arccosh": elementwise(np.arccosh, lambda x: 1 / np.sqrt((x - 1) * (x + 1) + 0)),
    "arctanh": elementwise(np.arctanh, lambda x: 1 / ((1 - x) * (1 + x))),
    # The gradient is cast there and back as well.
    "ndarray.astype": FunctionReference(
        "the cast itself, of the gradient too",
        lambda xs, options, gys: ([cast(xs[0], **options)], [cast(gys[0], **options)]),
    ),
}

# Two operands and more


def power_by_base(a: Array, b: Array) -> Array:
    """b·aᵇ / a keeps the digits that b − 1 would round off, but 0, ∞ and NaN need a power of their own; a⁰ is flat.
    The power below an even one is odd, and of a negative zero no other is negative."""
    quotient = (a != 0) & np.isfinite(a) & np.isfinite(b)
    below = np.copysign(np.abs(a) ** (b - 1), np.where(np.fmod(b, 2) == 0, a, 1))
    return np.where(b == 0, 0, b * np.where(quotient, a**b / a, below))


def power_by_exponent(a: Array, b: Array) -> Array:
    return np.where((a == 0) & (b >= 0), 0, a**b * np.log(a))


def copysign_by_size(a: Array, b: Array) -> Array:
    """Whether the sign was turned, ±1: at 0 it is flat, and at ±∞ PyTorch has ∞ / ∞."""
    return np.where(a == 0, 0, np.copysign(a, b) / a)


def quotient(a: Array, b: Array) -> Array:
    """a / b towards zero, exact where the quotient itself would round to a whole number."""
    rounded = a / b
    return np.where(np.isfinite(rounded), np.rint((a - np.fmod(a, b)) / b), rounded)


def beside(e: Array, lost: Array) -> Array:
    """e (1 + lost), and 0 or ∞ as it is."""
    return np.where((e == 0) | np.isinf(e), e, e * (1 + lost))


def exp_difference(a: Array, b: Array) -> Array:
    """exp(a − b)."""
    d, lost = difference(a, b)
    return beside(np.exp(d), lost)


def exp2_difference(a: Array, b: Array) -> Array:
    """2 to the power a − b."""
    d, lost = difference(a, b)
    return beside(np.exp2(d), LN2 * lost)


def logaddexp(a: Array, b: Array) -> Array:
    high, low = np.maximum(a, b), np.minimum(a, b)
    return np.where(np.isinf(high), high, high + np.log1p(exp_difference(low, high)))


def logaddexp2(a: Array, b: Array) -> Array:
    high, low = np.maximum(a, b), np.minimum(a, b)
    return np.where(np.isinf(high), high, high + np.log1p(exp2_difference(low, high)) / LN2)


def angle_partial(numerator: Array, a: Array, b: Array) -> Array:
    """Of arctan2; zero at the origin, where there is no angle."""
    return np.where((a == 0) & (b == 0), 0, numerator / (a * a + b * b))


def larger(a: Array, b: Array) -> Array:
    """The part that maximum passes to a: half of it at a tie, all of it beside a NaN."""
    return np.where(a == b, Wide(0.5), np.where(a < b, 0, 1))


def first(a: Array, b: Array, ahead: Array) -> Array:
    """Whether fmax or fmin takes a: at a tie it does, and beside a NaN."""
    return ahead | (a == b) | np.isnan(b)


def full_like(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
    (a, fill_value), (gy,) = operands, gys
    y = np.broadcast_to(fill_value, options["shape"] or a.shape)
    return [wide(y)], [np.zeros_like(a), fold(gy, fill_value.shape)]


def clip(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
    """A bound that is not given is infinite."""
    (a, *given), (gy,) = operands, gys
    bounds = dict(zip(options["bounds"].split(), given, strict=True))
    low, high = bounds.get("low", -Wide(np.inf)), bounds.get("high", Wide(np.inf))
    passed = {"a": (low <= a) & (a <= high), "low": (a < low) & (low < high), "high": (a > high) | (low > high)}
    return [np.minimum(np.maximum(a, low), high)], [wide(gy * passed[name]) for name in ("a", *bounds)]


BINARY = {
    "add": elementwise(np.add, one, one),
    "subtract": elementwise(np.subtract, one, lambda a, b: -1),
    "multiply": elementwise(np.multiply, lambda a, b: b, lambda a, b: a),
    "divide": elementwise(np.true_divide, lambda a, b: 1 / b, lambda a, b: -a / (b * b)),
    "full_like": FunctionReference("formula in extended precision", full_like),
    "where": elementwise(
        lambda x, y, condition: np.where(condition, x, y),
        lambda x, y, condition: np.where(condition, 1, 0),
        lambda x, y, condition: np.where(condition, 0, 1),
    ),
    "maximum": elementwise(np.maximum, lambda a, b: larger(a, b), lambda a, b: larger(b, a)),
    "minimum": elementwise(np.minimum, lambda a, b: larger(-a, -b), lambda a, b: larger(-b, -a)),
    "fmax": elementwise(np.fmax, lambda a, b: first(a, b, a > b), lambda a, b: ~first(a, b, a > b)),
    "fmin": elementwise(np.fmin, lambda a, b: first(a, b, a < b), lambda a, b: ~first(a, b, a < b)),
    "clip": FunctionReference("formula in extended precision", clip),
    "copysign": elementwise(np.copysign, copysign_by_size, zero),
    "floor_divide": elementwise(np.floor_divide, zero, zero),
    "remainder": elementwise(np.remainder, one, lambda a, b: -np.floor_divide(a, b)),
    "fmod": elementwise(np.fmod, one, lambda a, b: -quotient(a, b)),
    "power": elementwise(np.power, power_by_base, power_by_exponent),
    "hypot": elementwise(np.hypot, lambda a, b: a / np.hypot(a, b), lambda a, b: b / np.hypot(a, b)),
    "arctan2": elementwise(np.arctan2, lambda a, b: angle_partial(b, a, b), lambda a, b: angle_partial(-a, a, b)),
    "logaddexp": elementwise(
        logaddexp, lambda a, b: 1 / (1 + exp_difference(b, a)), lambda a, b: 1 / (1 + exp_difference(a, b))
    ),
    "logaddexp2": elementwise(
        logaddexp2, lambda a, b: 1 / (1 + exp2_difference(b, a)), lambda a, b: 1 / (1 + exp2_difference(a, b))
    ),
}

# Reductions. Below, the axes of y are kept, and n numbers make one.

Axes = tuple[int, ...]


def count(x: Array, axes: Axes) -> Array:
    return wide(np.prod([x.shape[i] for i in axes], dtype=Wide))


def sum_of(x: Array, axes: Axes) -> Array:
    return total(x, axes, keepdims=True)


def centred(x: Array, axes: Axes) -> Array:
    """x − mean(x), and once more, which takes away what the mean itself was rounded by, where that is a number."""
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
    """The product of all the others: of those before and those behind, and no division."""
    kept = [i for i in range(x.ndim) if i not in axes]
    moved = x.transpose(*kept, *axes)
    cells = moved.reshape(*(x.shape[i] for i in kept), -1 if x.size else 0)
    beside = np.pad(cells, [(0, 0)] * len(kept) + [(1, 1)], constant_values=1)
    before = np.cumprod(beside, -1)[..., :-2]
    behind = np.cumprod(beside[..., ::-1], -1)[..., ::-1][..., 2:]
    return (before * behind).reshape(moved.shape).transpose(np.argsort([*kept, *axes]))


def shared(chosen: Array, axes: Axes) -> Array:
    """Equal parts for those chosen."""
    return chosen / np.sum(chosen, axes, Wide, keepdims=True)


def highest(x: Array, axes: Axes) -> Array:
    return np.max(x, axes, keepdims=True)


def lowest(x: Array, axes: Axes) -> Array:
    return np.min(x, axes, keepdims=True)


def extreme_partial(x: Array, y: Array, axes: Axes) -> Array:
    """Equal parts for all that equal y; none does where y is NaN, and 0 / 0 is NaN for the whole cell."""
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
    """±(|x| / y)^(p − 1), and zero at zero; beside NaN, the Euclidean one is NaN at zero, too."""
    size = np.absolute(x)
    if ord in (np.inf, -np.inf):
        return np.sign(x) * extreme_partial(size, y, axes)
    if ord in (None, 2):
        return np.where(y == 0, 0, x / y)
    return np.where(x == 0, 0, np.sign(x) * (size / y) ** (ord - Wide(1)))


REDUCTIONS = {
    "sum": reduction(sum_of, one),
    "mean": reduction(lambda x, axes: sum_of(x, axes) / count(x, axes), lambda x, y, axes: 1 / count(x, axes)),
    "nansum": reduction(lambda x, axes: sum_of(np.where(np.isnan(x), 0, x), axes), lambda x, y, axes: ~np.isnan(x)),
    "cumsum": linear(np.cumsum),
    "max": reduction(highest, extreme_partial),
    "min": reduction(lowest, extreme_partial),
    "amax": reduction(highest, extreme_partial),
    "amin": reduction(lowest, extreme_partial),
    "ptp": reduction(
        lambda x, axes: highest(x, axes) - lowest(x, axes),
        lambda x, y, axes: shared(x == highest(x, axes), axes) - shared(x == lowest(x, axes), axes),
    ),
    "var": reduction(variance, variance_partial),
    "std": reduction(deviation, deviation_partial),
    "prod": reduction(product, product_partial),
    "linalg.norm": reduction(norm, norm_partial),
}

FUNCTIONS = RESHAPING | JOINING | INDEXING | PRODUCTS | UNARY | BINARY | REDUCTIONS
