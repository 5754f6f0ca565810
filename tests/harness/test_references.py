"""The references are right to the last digits: every formula is compared with mpmath."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from conformance.contracts import function_rows, module_rows
from conformance.references import FunctionReference

Wide = np.longdouble
EPS = np.finfo(Wide).eps
ULPS = 16
FUNCTIONS = {row.name: row for row in function_rows()}
MODULES = {row.torch: row for row in module_rows() if row.reference}


def reference_of(name: str) -> Any:
    """The reference of a NumPy function, by its name, or of a module, by PyTorch's."""
    return (FUNCTIONS.get(name) or MODULES[name]).reference


# The last digits, against mpmath


def exactly(x: Any) -> mpf:
    """The number itself, with all of its digits."""
    mantissa, exponent = np.frexp(Wide(x))
    high = float(mantissa)
    with mp.workdps(60):
        return mpmath.ldexp(mpf(high) + mpf(float(mantissa - Wide(high))), int(exponent))


def off(got: Any, truth: mpf, size: mpf = 0) -> float:
    """The error of an answer in units in the last place of extended precision, of the size where that is larger."""
    if not np.isfinite(got):
        return 0.0 if abs(truth) > exactly(np.finfo(Wide).max) and np.sign(got) == mpmath.sign(truth) else np.inf
    with mp.workdps(60):
        unit = max(abs(truth) * exactly(EPS), abs(size) * exactly(EPS), exactly(np.nextafter(Wide(0), Wide(1))))
        return float(abs(exactly(got) - truth) / unit)


def precise(point: tuple[float, ...], exponential: bool = True) -> Any:
    """So many digits that a difference quotient has 60 left, also where exp(-2|x|) is added to 1."""
    sizes = [abs(x) for x in point if x]
    digits = sum(0.9 * x for x in sizes if x < 2e4) if exponential else 0
    return mp.workdps(int(150 + digits + sum(4 * abs(np.log10(x)) for x in sizes)))


def derivative(f: Callable[..., Any], points: tuple[float, ...], index: int) -> mpf:
    """The derivative by one argument, from differences."""

    def along(x: Any) -> Any:
        return f(*(x if i == index else mpf(point) for i, point in enumerate(points)))

    return mpmath.diff(along, mpf(points[index]), relative=points[index] != 0)


SUBNORMAL = (5e-324, -3e-320, 1e-310)
TINY = (*SUBNORMAL, 1e-30, -1e-30, 1e-8, -1e-8)
ORDINARY = (0.5, -0.25, 0.9999, -0.7, 1 - 2**-53, 2**-53 - 1)
LARGE = (-3.0, 1.5, 20.0, 40.0, -40.0, 88.7, 700.0, -700.0, 1e4, -9876.5)
HUGE = (1e30, -1e30, 1.5e308)
EVERY = (*TINY, *ORDINARY, *LARGE, *HUGE)
POSITIVE = tuple(abs(x) for x in EVERY)
INSIDE = (*TINY, *ORDINARY)
ROUNDED = tuple(x for x in EVERY if x % 0.5 and abs(x) < 1e15)

# What each function is, and where: a formula in mpmath, without a derivative.
UNARY: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "positive": (lambda x: x, EVERY),
    "negative": (lambda x: -x, EVERY),
    "copy": (lambda x: x, EVERY),
    "square": (lambda x: x * x, EVERY),
    "reciprocal": (lambda x: 1 / x, EVERY),
    "sqrt": (mpmath.sqrt, POSITIVE),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), EVERY),
    "absolute": (abs, EVERY),
    "fabs": (abs, EVERY),
    "exp": (mpmath.exp, EVERY),
    "exp2": (lambda x: mpf(2) ** x, EVERY),
    "expm1": (mpmath.expm1, EVERY),
    "log": (mpmath.log, POSITIVE),
    "log2": (lambda x: mpmath.log(x) / mpmath.log(2), POSITIVE),
    "log10": (lambda x: mpmath.log(x) / mpmath.log(10), POSITIVE),
    "log1p": (lambda x: mpmath.log(1 + x), (*INSIDE, *POSITIVE)),
    "sin": (mpmath.sin, EVERY),
    "cos": (mpmath.cos, EVERY),
    "tan": (mpmath.tan, EVERY),
    "arcsin": (mpmath.asin, INSIDE),
    "arccos": (mpmath.acos, INSIDE),
    "arctan": (mpmath.atan, EVERY),
    "sinh": (mpmath.sinh, EVERY),
    "cosh": (mpmath.cosh, EVERY),
    "tanh": (lambda x: (1 - mpmath.exp(-2 * x)) / (1 + mpmath.exp(-2 * x)) if x > 0 else mpmath.tanh(x), EVERY),
    "arcsinh": (mpmath.asinh, EVERY),
    "arccosh": (mpmath.acosh, (1 + 2**-52, 1.0001, 1.5, 40.0, 1e4, 1e30, 1.5e308)),
    "arctanh": (mpmath.atanh, INSIDE),
    "degrees": (lambda x: x * 180 / mpmath.pi, EVERY),
    "rad2deg": (lambda x: x * 180 / mpmath.pi, EVERY),
    "radians": (lambda x: x * mpmath.pi / 180, EVERY),
    "deg2rad": (lambda x: x * mpmath.pi / 180, EVERY),
    "sign": (mpmath.sign, EVERY),
    "floor": (mpmath.floor, ROUNDED),
    "ceil": (mpmath.ceil, ROUNDED),
    "rint": (mpmath.nint, ROUNDED),
    "trunc": (lambda x: mpmath.sign(x) * mpmath.floor(abs(x)), ROUNDED),
    "round": (mpmath.nint, ROUNDED),
    "around": (mpmath.nint, ROUNDED),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "round": {"decimals": 0},
    "around": {"decimals": 0},
    "copy": {"order": "K", "subok": True},
    "clip": {"bounds": "low high", "spelling": "a_min a_max"},
    "ndarray.astype": {"dtype": "float32"},
}

PAIRS = (
    (0.5, 0.3), (-3.0, 0.3), (0.5, -1.7), (-3.0, -1.7), (40.0, 39.9), (39.9, -40.0), (-40.0, 1e-8), (1e-8, -3.0),
    (1e-30, -1e-8), (1e-310, 0.3), (-1.7, 5e-324), (1e30, -3.0), (0.5, 1e30), (-1e30, 1e-30), (700.25, -0.1),
)  # fmt: skip
NEAR = (*(pair for pair in PAIRS if abs(pair[1]) > 1e-300 and max(map(abs, pair)) < 1e5), (876.5, 876.25))
SATURATED = (*(pair for pair in NEAR if pair[0] != 1e-310), (-700.0, 700.25), (5876.5, 1e-8))
POWERS = tuple((abs(a), b) for a, b in NEAR)
BINARY: dict[str, tuple[Callable[..., Any], tuple[tuple[float, ...], ...]]] = {
    "add": (lambda a, b: a + b, PAIRS),
    "subtract": (lambda a, b: a - b, PAIRS),
    "multiply": (lambda a, b: a * b, PAIRS),
    "divide": (lambda a, b: a / b, PAIRS),
    "remainder": (lambda a, b: a - b * mpmath.floor(a / b), NEAR),
    "fmod": (lambda a, b: a - b * mpmath.sign(a / b) * mpmath.floor(abs(a / b)), NEAR),
    "power": (lambda a, b: a**b, POWERS),
    "hypot": (lambda a, b: mpmath.sqrt(a * a + b * b), PAIRS),
    "arctan2": (lambda a, b: mpmath.atan2(a, b), PAIRS),
    "logaddexp": (lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)), SATURATED),
    "logaddexp2": (lambda a, b: mpmath.log(mpf(2) ** a + mpf(2) ** b) / mpmath.log(2), SATURATED),
}
FORMULAS = {name: (f, tuple((x,) for x in points)) for name, (f, points) in UNARY.items()} | BINARY
EXPONENTIAL = {"expm1", "tanh", "logaddexp", "logaddexp2"}  # those that add an exponential to 1


@cache
def truths(name: str) -> list[tuple[tuple[float, ...], list[mpf]]]:
    """At every point, the value and the derivatives."""
    f, points = FORMULAS[name]
    exact_values = []
    for point in points:
        with precise(point, name in EXPONENTIAL):
            exact = [f(*map(mpf, point)), *(derivative(f, point, i) for i in range(len(point)))]
        with mp.workdps(60):
            exact_values.append((point, [+x for x in exact]))
    return exact_values


def answers(reference: FunctionReference, name: str, point: tuple[float, ...]) -> list[Any]:
    operands = {f"x{i}": np.array([x], Wide) for i, x in enumerate(point)}
    (y,), gradients = reference(operands, OPTIONS.get(name, {}), [np.ones(1, Wide)])
    return [y[0], *(g[0] for g in gradients.values())]


def wrong(name: str, reference: FunctionReference, ulps: float = ULPS) -> Iterator[str]:
    """Where the error of a formula exceeds a number of units in the last place."""
    for point, true in truths(name):
        for what, got, truth in zip(
            ("value", "first partial", "second partial"), answers(reference, name, point), true, strict=False
        ):
            if not off(got, truth) <= ulps:
                yield f"{what} of {name}{point}: {got!r}, not {mpmath.nstr(truth, 25)}: {off(got, truth):.3g} units off"


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_accurate_to_extended_precision(name: str) -> None:
    reference = reference_of(name)
    assert list(wrong(name, reference)) == []


def planted(reference: FunctionReference, index: int, factor: Any) -> FunctionReference:
    """The reference with one of its answers, the value first, multiplied by a number."""

    def compute(*arguments: Any) -> Any:
        outputs, gradients = reference.compute(*arguments)
        answers = [*outputs, *gradients]
        answers[index] = answers[index] * factor
        return answers[:1], answers[1:]

    return dataclasses.replace(reference, compute=compute)


@pytest.mark.parametrize("name", FORMULAS)
def test_planted_error_of_64_units_is_detected_in_any_answer(name: str) -> None:
    reference = reference_of(name)
    for i, values in enumerate(zip(*(true for _, true in truths(name)), strict=True)):
        if any(values):  # zero times anything is zero
            assert list(wrong(name, planted(reference, i, 1 + 64 * EPS))), f"answer {i} of {name}"


@pytest.mark.parametrize(
    ("name", "partial"),
    [
        ("tanh", lambda x: 1 - np.tanh(x) ** 2),
        ("arcsin", lambda x: 1 / np.sqrt(1 - x * x)),
        ("expm1", lambda x: np.exp(x.astype(np.float64))),
    ],
)
def test_inaccurate_formula_is_detected(name: str, partial: Any) -> None:
    reference = reference_of(name)
    loses = FunctionReference("", lambda xs, o, gys: (reference.compute(xs, o, gys)[0], [gys[0] * partial(xs[0])]))
    assert list(wrong(name, loses))


# Cells of several numbers

CELL = (0.5, -1.25, 3.0, 0.1, -2.75, 1e-3)
REDUCTIONS: dict[tuple[str, Any], Callable[..., Any]] = {
    ("sum", None): lambda *xs: sum(xs),
    ("mean", None): lambda *xs: sum(xs) / len(xs),
    ("prod", None): lambda *xs: mpmath.fprod(xs),
    ("var", 0): lambda *xs: _variance(xs, 0),
    ("var", 1): lambda *xs: _variance(xs, 1),
    ("std", 0): lambda *xs: mpmath.sqrt(_variance(xs, 0)),
    ("std", 1): lambda *xs: mpmath.sqrt(_variance(xs, 1)),
} | {
    ("linalg.norm", p): lambda *xs, p=p: sum(abs(x) ** mpf(p) for x in xs) ** (1 / mpf(p)) for p in (0.5, 1, 2, 2.5, 3)
}


def _variance(xs: Any, ddof: int) -> Any:
    mean = sum(xs) / len(xs)
    return sum((x - mean) ** 2 for x in xs) / (len(xs) - ddof)


@pytest.mark.parametrize("shift", [0.0, 1e6], ids=["around zero", "far from zero"])
@pytest.mark.parametrize(("name", "option"), REDUCTIONS, ids=lambda x: str(x))
def test_reductions_are_accurate_to_extended_precision(name: str, option: Any, shift: float) -> None:
    reference, f = reference_of(name), REDUCTIONS[name, option]
    cell = tuple(x + shift for x in CELL)
    options = {"axis": None, "keepdims": False} | ({"ddof": option} if name in ("var", "std") else {})
    options |= {"ord": option} if name == "linalg.norm" else {}
    (y,), gradients = reference({"x": np.array(cell, Wide)}, options, [np.ones((), Wide)])
    with mp.workdps(80):
        assert off(y[()], f(*map(mpf, cell))) <= ULPS
        for i, g in enumerate(gradients["x"]):
            assert off(g, derivative(f, cell, i)) <= ULPS


# Losses and activations: one row of a batch, every option


def _softplus(x: Any) -> Any:
    return mpmath.log(1 + mpmath.exp(x))


def _huber(delta: float) -> Callable[..., Any]:
    return lambda o, t: (o - t) ** 2 / 2 if abs(o - t) <= delta else mpf(delta) * (abs(o - t) - mpf(delta) / 2)


POINTWISE: list[tuple[str, dict[str, Any], Callable[..., Any], tuple[float, ...]]] = [
    ("nn.Sigmoid", {}, lambda x: 1 / (1 + mpmath.exp(-x)), (-1.0,)),
    ("nn.ReLU", {}, lambda x: max(x, mpf(0)), (-1.0,)),
    ("nn.Tanh", {}, UNARY["tanh"][0], (-1.0,)),
    ("nn.SiLU", {}, lambda x: x / (1 + mpmath.exp(-x)), (-1.0,)),
    ("nn.MSELoss", {}, lambda o, t: (o - t) ** 2, (0.1, -3.0, 1e30)),
    ("nn.HuberLoss", {"delta": 1.0}, _huber(1.0), (0.1, -3.0, 1e30)),
    ("nn.HuberLoss", {"delta": 0.3}, _huber(0.3), (0.1, -3.0, 1e30)),
] + [
    (
        "nn.BCEWithLogitsLoss",
        {"pos_weight": np.array([w]), "weight": np.array([0.3])},
        lambda o, t, w=w: mpf(0.3) * (mpf(w) * t * _softplus(-o) + (1 - t) * _softplus(o)),
        (0.0, 1.0, 0.3, 1e-30),
    )
    for w in (1.0, 0.25, 3.0)
]


@pytest.mark.parametrize(("name", "options", "f", "targets"), POINTWISE, ids=lambda x: x if isinstance(x, str) else "")
def test_pointwise_modules_are_accurate_to_extended_precision(
    name: str, options: Any, f: Any, targets: tuple[float, ...]
) -> None:
    reference = reference_of(name)
    names = ["outputs", "targets"] if name.endswith("Loss") else ["x"]
    for x in (*TINY[3:], *ORDINARY, *LARGE[:-2]):
        for t in targets:
            point = (x, t)[: len(names)]
            inputs = {what: np.array([value]) for what, value in zip(names, point, strict=True)}
            results = reference(options, inputs, {}, np.ones(() if options else (1,) * (len(names) == 1)))
            with precise(point):
                assert off(np.ravel(results["output"])[0], f(*map(mpf, point))) <= ULPS, point
                for i, what in enumerate(names):
                    got, truth = results[f"gradient of {what}"][0], derivative(f, point, i)
                    assert off(got, truth) <= ULPS, (what, point, got, truth)


def test_gelu_and_its_gradient_are_accurate_to_extended_precision() -> None:
    """At points where a difference quotient of erfc would take thousands of digits; the derivative is written out."""
    reference = reference_of("nn.GELU")
    for x in (*TINY, *ORDINARY, -3.0, 1.5, 20.0, 40.0, -1.0, 1.0, -11.25, -11.1, -15.7, -40.0, -88.7):
        results = reference({"approximate": "none"}, {"x": np.array([x])}, {}, np.ones(1))
        with mp.workdps(60):
            chance = mpmath.erfc(-mpf(x) / mpmath.sqrt(2)) / 2
            moving = x * mpmath.exp(-(mpf(x) ** 2) / 2) / mpmath.sqrt(2 * mpmath.pi)
            assert off(results["output"][0], x * chance) <= ULPS, x
            assert off(results["gradient of x"][0], chance + moving, max(chance, abs(moving))) <= ULPS, x


LOGITS = [
    (0.5, -1.0, 2.0),
    (40.0, 0.25, -3.0),
    (0.25, 40.0, -3.0),
    (700.25, 0.1, -700.0),
    (1000.5, 0.3, 1e-8),
    (-9876.5, -9876.25, -9800.1),
    (1e-30, -1e-8, 0.0),
]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 0.25]], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("target", [0, 1, (0.25, 0.5, 0.25), (0.1, 0.0, 0.3)], ids=str)
def test_cross_entropy_is_accurate_to_extended_precision(target: Any, weight: Any, smoothing: float) -> None:
    reference = reference_of("nn.CrossEntropyLoss")
    soft = isinstance(target, tuple)
    options = {"weight": None if weight is None else np.array(weight), "label_smoothing": smoothing, "reduction": "sum"}
    w = weight or [1.0] * 3

    def f(*numbers: Any) -> Any:
        logits, probabilities = numbers[:3], numbers[3:] or [mpf(c == target) for c in range(3)]
        log_sum = mpmath.log(sum(mpmath.exp(x) for x in logits))
        s = mpf(smoothing)
        return sum(w[c] * ((1 - s) * probabilities[c] + s / 3) * (log_sum - logits[c]) for c in range(3))

    for logits in LOGITS:
        point = (*logits, *target) if soft else logits
        inputs = {"outputs": np.array([logits]), "targets": np.array([target])}
        results = reference(options, inputs, {}, np.ones(()))
        gradients = [g for name, x in results.items() if name != "output" for g in x[0]]
        assert len(gradients) == len(point)
        with precise((max(logits) - min(logits), 1e-30)):
            assert off(results["output"][()], f(*map(mpf, point))) <= ULPS, point
            for i, got in enumerate(gradients):
                truth = derivative(f, point, i)
                size = _terms(logits, w, target, smoothing)[i] if i < 3 else 0  # a difference, which may cancel
                assert off(got, truth, size) <= ULPS, (i, point)


def _terms(logits: Any, w: Any, target: Any, s: float) -> list[Any]:
    """The larger of the two terms of each logit's gradient, p·(q of the others) and q·(p of the others)."""
    e = [mpmath.exp(mpf(x)) for x in logits]
    p = [x / sum(e) for x in e]
    probabilities = target if isinstance(target, tuple) else [c == target for c in range(3)]
    q = [mpf(w[c]) * ((1 - mpf(s)) * mpf(probabilities[c]) + mpf(s) / 3) for c in range(3)]
    return [
        max(p[c] * sum(q[j] for j in range(3) if j != c), q[c] * sum(p[j] for j in range(3) if j != c))
        for c in range(3)
    ]  # fmt: skip


# What is there


def test_every_function_and_module_of_the_contract_has_a_reference() -> None:
    assert [name for name, row in FUNCTIONS.items() if row.reference is None] == []
    containers = {"nn.Sequential", "nn.ModuleList", "nn.ModuleDict"}  # each of their parts has one
    composed = {row.torch for row in module_rows() if row.composed}
    assert {row.torch for row in module_rows()} - set(MODULES) == containers | composed
