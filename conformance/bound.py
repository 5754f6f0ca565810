"""The one comparison rule. No operator, layer or optimizer has a tolerance of its own.

    |answer − reference|  ≤  K · (movement + rounding + PyTorch's own error)          element by element

    movement     how far the reference moves when every number that goes in (inputs, parameters, incoming gradient)
                 moves by one unit in the last place of the tested precision, up or down: the largest of several draws
    rounding     half a unit in the last place of the reference, in the tested precision
    own error    how far PyTorch itself is from the reference at the same inputs: the largest of what it is there, at
                 the moved inputs, and at a few inputs nearby (up to 1 % off), so that PyTorch's luck in one place does
                 not make it the measure

So an ill-conditioned element may move as far as its conditioning makes it, a well-conditioned one may not, and nobody
is asked to be better than PyTorch by more than a factor. NaN and ±∞ must stand exactly where the reference has them.

What the reference is:

    float32   PyTorch in float64, on the same numbers. Where it runs out of digits itself (1 - a sigmoid, in the tail),
              its distance from numpyml in extended precision counts as PyTorch's own error, up to four units in the
              last place of the largest number in the call.
    float64   numpyml's own code in NumPy's extended precision (a significand of 64 bits on x86). PyTorch in float64
              must confirm it: its distance from this reference must satisfy the rule, too, where its own error counts
              as at most four units in the last place of the largest number in the call. A formula that is wrong in
              both our precisions is therefore seen, down to that. Formulas written again, independently, in arbitrary
              precision are not used yet.

One exception, that no rule can do without: where PyTorch in the tested precision overflows on the way though the
reference is finite, the answer may do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

# Twice the largest ratio that correct code showed on seeds that are not the suite's: 4.0, in the gradient of cumsum.
#     for seed in 9001 9003 9004 9006 9007; do python -m conformance --profile quick --seed $seed; done
# prints it in units of the bound (0.500).
K = 8.0
DRAWS = 4
NEARBY = 3
DISTANCE = 0.01
CONFIRMED = 2.0**-50  # of the largest number in the call: four units in the last place of float64


@dataclass(frozen=True)
class Given:
    """An array that goes into a call: its values, and how they are to lie in memory."""

    values: Array
    layout: str = "C"
    kind: str = "ordinary"
    low: float = -np.inf  # a moved value stays between these
    high: float = np.inf

    @property
    def floating(self) -> bool:
        return self.values.dtype.kind == "f"

    def __repr__(self) -> str:
        values = self.values
        shown = np.array2string(values, threshold=12, precision=9, separator=", ") if values.size else "[]"
        return f"{values.dtype.kind}{values.shape} {self.kind}, {self.layout}: {shown}"


@dataclass(frozen=True)
class Problem:
    """One call that both frameworks can make: numbers in, named arrays out, in the dtype of what goes in."""

    given: Mapping[str, Given]
    ours: Run
    torch: Run
    wide: Run  # in extended precision


@dataclass
class Verdict:
    """What one comparison of one named array came to."""

    what: str
    compared: int = 0
    error: float = 0.0  # in units of the bound: above 1 is a failure
    ulps: float = 0.0
    torch_ulps: float = 0.0
    failure: str = ""


@dataclass
class _Reference:
    value: Array
    torch: Array  # PyTorch in the tested precision
    movement: Array
    own: Array


def judge(problem: Problem, dtype: np.dtype[Any], seed: int, prefixes: tuple[str, ...] = ("",)) -> Iterator[Verdict]:
    """Hold numpyml's answers, those whose names start with a prefix, to the rule."""
    exact = arrays_of(problem, dtype)
    answers = {name: y for name, y in problem.ours(exact).items() if name.startswith(prefixes)}
    references = _references(problem, exact, dtype, seed, answers)
    wider = problem.wide({name: x.astype(np.longdouble) for name, x in exact.items()}) if dtype == np.float32 else {}
    largest = max([0.0, *(_largest(given) for given in exact.values())])
    for name, answer in answers.items():
        reference = references[name]
        if answer.shape != reference.value.shape:
            yield Verdict(name, failure=f"{name}: shape {answer.shape}, expected {reference.value.shape}")
            continue
        if answer.dtype != dtype:
            yield Verdict(name, failure=f"{name}: {answer.dtype}, expected {dtype}")
            continue
        ceiling = CONFIRMED * max(largest, _largest(reference.value))
        if dtype == np.float32:
            with np.errstate(all="ignore"):
                reference.own = reference.own + np.minimum(
                    np.nan_to_num(_distance(wider[name], reference.value)), ceiling
                )
        else:
            reference.own = np.minimum(reference.own, ceiling)
            confirmed = _compare(f"{name}, PyTorch against extended precision", reference.torch, reference, dtype)
            if confirmed.failure:
                yield confirmed
                continue
        yield _compare(name, answer, reference, dtype)


def arrays_of(problem: Problem, dtype: np.dtype[Any]) -> dict[str, Array]:
    """What goes in, in one dtype."""
    with np.errstate(all="ignore"):
        return {name: given.values.astype(dtype) for name, given in problem.given.items()}


def moved(given: Given, exact: Array, rng: np.random.Generator, nearby: bool = False) -> Array:
    """Every number one unit in its last place up or down, or to somewhere nearby; zeros, ∞ and NaN stay.

    Equal numbers move together where ties are what the values are for: a tie stays a tie.
    """
    if given.kind in COUPLED:
        distinct, place = np.unique(np.abs(exact), return_inverse=True)
        away = rng.uniform(-1, 1, distinct.shape)[place].reshape(exact.shape)
    else:
        away = rng.uniform(-1, 1, exact.shape)
    with np.errstate(all="ignore"):
        towards = np.where(away > 0, np.copysign(np.inf, exact), 0).astype(exact.dtype)
        shifted = (exact * (1 + DISTANCE * away)).astype(exact.dtype) if nearby else np.nextafter(exact, towards)
        stepped = np.where((exact == 0) | ~np.isfinite(exact), exact, shifted)
        return np.clip(stepped, exact.dtype.type(given.low), exact.dtype.type(given.high))


COUPLED = frozenset({"ties", "signed zeros"})


def _references(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Mapping[str, Any]
) -> dict[str, _Reference]:
    wide_dtype = np.dtype(np.float64 if dtype == np.float32 else np.longdouble)
    wide = problem.torch if dtype == np.float32 else problem.wide
    references: dict[str, _Reference] = {}
    for draw in range(DRAWS + NEARBY + 1):
        # Every draw has a generator of its own, the same for all arrays: equal numbers move together across them.
        inputs = (
            exact
            if not draw
            else {
                name: moved(problem.given[name], x, np.random.default_rng([seed, draw]), draw > DRAWS)
                for name, x in exact.items()
            }
        )
        values = wide({name: x.astype(wide_dtype) for name, x in inputs.items()})
        peers = problem.torch(inputs)
        for name in names:
            value, peer = values[name], peers[name]
            if not draw:
                references[name] = _Reference(value, peer, np.zeros(value.shape), np.zeros(value.shape))
            r = references[name]
            with np.errstate(all="ignore"):
                same = (value == r.value) | (np.isnan(value) & np.isnan(r.value))
                if draw <= DRAWS:
                    r.movement = np.maximum(r.movement, np.where(same, 0, _distance(value, r.value)))
                finite = np.isfinite(peer) & np.isfinite(value)
                r.own = np.maximum(r.own, np.where(finite, _distance(peer, value), 0))
    return references


def _distance(a: Array, b: Array) -> Array:
    distance: Array = np.abs(np.subtract(a, b, dtype=np.result_type(a, b)))
    return np.where(np.isnan(distance), np.inf, distance)


def _largest(x: Array) -> float:
    finite = np.abs(x[np.isfinite(x)])
    return float(finite.max()) if finite.size else 0.0


def _compare(what: str, answer: Array, reference: _Reference, dtype: np.dtype[Any]) -> Verdict:
    value = reference.value
    with np.errstate(all="ignore"):
        rounded = value.astype(dtype)
        ulp = np.spacing(np.where(np.isfinite(rounded), np.abs(rounded), 1)).astype(value.dtype)
        bound = K * (reference.movement + ulp / 2 + reference.own)
        error = _distance(answer, value)
        ratio = np.where(bound > 0, error / bound, np.inf)
        equal = (answer == rounded) | (np.isnan(answer) & np.isnan(rounded))
        overflow = np.isfinite(value) & ~np.isfinite(reference.torch) & ~np.isfinite(answer)
        close = np.isfinite(value) & np.isfinite(answer) & (ratio <= 1)
        measured = np.isfinite(value) & np.isfinite(answer) & np.isfinite(bound)
        unmeasured = ~np.isfinite(bound)  # the movement crosses a pole: no statement
        bad = ~(equal | overflow | close | unmeasured)
        torch_error = _distance(reference.torch, value) / ulp
        verdict = Verdict(what, int(value.size - unmeasured.sum()))
        if measured.any():
            verdict.error = float(ratio[measured].max())
            verdict.ulps = float((error / ulp)[measured].max())
        both = measured & np.isfinite(reference.torch)
        if both.any():
            verdict.torch_ulps = float(torch_error[both].max())
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        verdict.error = float(np.nanmax(np.where(bad & measured, ratio, 1.0))) if measured.any() else 1.0
        verdict.failure = (
            f"{what}[{', '.join(map(str, at))}]: got {answer[at]!r}, expected {value[at]!r} "
            f"(PyTorch in {dtype}: {reference.torch[at]!r})\n"
            f"off by {float(error[at]):.3g} = {float(ratio[at]):.3g} x the bound {float(bound[at]):.3g} = K {K:g} x "
            f"(movement {float(reference.movement[at]):.3g} + rounding {float(ulp[at] / 2):.3g} "
            f"+ PyTorch's own error {float(reference.own[at]):.3g}); {int(bad.sum())} of {bad.size} elements are off"
        )
    return verdict


# Optimizers and whole training runs: what issue and README promise of trajectories, stated once

STEPWISE = 1e-12  # float64, identical gradients: of the largest number in the array, at every step
TRAINING = 1e-10  # float64, each side on its own gradients: of the loss, at every step


def off_scale(what: str, got: Array, expected: Array) -> Verdict:
    """Two float64 histories, axis 0 the steps: every element within STEPWISE of its array's scale at that step."""
    if got.shape != expected.shape:
        return Verdict(what, failure=f"{what}: shape {got.shape}, expected {expected.shape}")
    with np.errstate(all="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        error = np.where(same, 0, _distance(got, expected))
        scale = np.max(
            np.where(np.isfinite(expected), np.abs(expected), 0), tuple(range(1, got.ndim)), keepdims=True, initial=0
        )
        ratio = np.where(error == 0, 0, error / (STEPWISE * scale))
    verdict = Verdict(what, got.size, float(np.max(ratio, initial=0)))
    if verdict.error > 1 or np.isnan(ratio).any():
        at = tuple(int(i) for i in np.unravel_index(np.nanargmax(ratio), ratio.shape))
        verdict.failure = (
            f"{what}, step {at[0] + 1}, element {list(at[1:])}: got {got[at]!r}, expected {expected[at]!r}: "
            f"off by {float(error[at]):.3g}, allowed are {STEPWISE:g} of the array's scale"
        )
    return verdict


def off_course(what: str, ours: Array, theirs: Array, reference: Array | None = None) -> Verdict:
    """Two loss curves: within TRAINING of each other; or, with PyTorch's float64 curve as the reference, the largest
    distance of ours from it at most K times (PyTorch's largest + one rounding)."""
    with np.errstate(all="ignore"):
        if reference is None:
            ratios = np.abs(ours - theirs) / (TRAINING * np.abs(theirs))
            ratio, where = float(np.max(ratios)), int(np.argmax(ratios))
        else:
            mine, peer = np.abs(ours - reference), np.abs(theirs - reference)
            rounding = np.spacing(np.abs(reference).max().astype(np.float32)) / 2
            ratio, where = float(mine.max() / (K * (peer.max() + rounding))), int(np.argmax(mine))
    verdict = Verdict(what, ours.size, ratio)
    if not ratio <= 1:
        verdict.failure = (
            f"{what}, step {where + 1}: loss {ours[where]!r}, PyTorch's {theirs[where]!r}; "
            f"{ratio:.3g} x what is allowed"
        )
    return verdict
