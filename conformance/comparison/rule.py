"""The comparison rule. No operator, layer or optimizer has a tolerance of its own.

    |answer − reference|  ≤  K · (movement + rounding + PyTorch's own error)          element by element

    movement     how far the reference moves when every number that goes in (inputs, parameters, incoming gradient)
                 moves by one unit in the last place of the tested precision, up or down, in the worst case:
                 Σ |∂y/∂x| ulp(x), as far as draws can tell it (movement.py)
    rounding     half a unit in the last place of the reference, in the tested precision
    own error    how far PyTorch, in the tested precision, is from the reference in that element

Results are promised in the normal range of the tested precision, which is the domain of the rule:

    (a) the bound is at least one smallest normal number, finfo.tiny: gradual underflow is not promised;
    (b) where PyTorch in the tested precision is not finite though the reference is, nothing is asked.

So an ill-conditioned element may move as far as its conditioning makes it, a well-conditioned one may not, and nobody
is asked to be better than PyTorch by more than a factor. NaN and ±∞ must be exactly where the reference has them.

The reference is wider than what is tested:

    float32   PyTorch in float64, on the same numbers. Where the wide answer below shows that PyTorch's float64 has run
              out of digits itself (it is off by more than one rounding to float32, or is NaN or infinite where a
              formula is finite, or has another ∞ or none), the wide answer is used instead.
    float64   The wide answer: a formula written again, independently of both frameworks, in NumPy's extended precision
              (a significand of 64 bits on x86; references/); where there is none, as for containers, numpyml's own
              code in that precision, which PyTorch's float64 must confirm to four units in the last place of the
              largest number in the call, or, where the problem is ill-conditioned, to K times what it moves.

PyTorch itself is held to the same rule, its own error left out. Where it breaks that, or is infinite or NaN though the
answer is finite in that precision, the error is PyTorch's, and the census counts a finding; those on record are
documented, each with a script.

Nothing is said and nothing counted where a moved input crosses a pole in one of the draws that were made, so that the
movement is infinite, or where the reference is too large for the tested precision and PyTorch so far from it that every
number of that precision is within the bound.

Two relatives of the rule hold long runs, in which element by element no bound remains: a parameter of a trajectory is
held to 1e-12 of the scale of its array (``STEPWISE``), a loss of a training run to 1e-10 of itself (``TRAINING``), each
in float64, or to K times what roundings alone move PyTorch's run, if that is more (histories.py,
programs/sidebyside.py). In float32 a trajectory is held to the rule itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.comparison.answers import Answer, Select, every, is_output
from conformance.comparison.movement import estimate, with_roundings
from conformance.comparison.ulps import distance, first, largest, lost, shown, ulp
from numpyml.typing import Array

Run = Callable[[Mapping[str, Array]], Mapping[Answer, Array]]
Rounded = Callable[[Mapping[str, Array], Any, int], Mapping[Answer, Array]]  # inputs, dtype, seed
EMPTY = np.zeros(0)

# Fixed once, on seeds that are not the suite's. The largest ratio that right code showed on two of them, 9801 and 9802,
# was 7.1, in a float32 trajectory of Adam; `python -m conformance --seed N` prints it in units of the bound.
K = 8.0
CONFIRMED = 2.0**-50  # of the largest number in the call: four units in the last place of float64


@dataclass(frozen=True)
class Input:
    """An array that goes into a call: its values, and their memory layout."""

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

    inputs: Mapping[str, Input]
    ours: Run
    torch: Run
    wide: Run  # in extended precision
    rounded: Rounded | None = None  # of what is composed: with intermediate results rounded once more, see movement.py
    formula: str = ""  # what is wide, where it owes nothing to either framework; else it is numpyml's own code
    signed: bool = False  # whether outputs of 0 have PyTorch's sign

    def reference(self, dtype: np.dtype[Any]) -> str:
        """What the answers in this precision are held to, in words."""
        wide = self.formula or "numpyml in extended precision, confirmed by PyTorch"
        narrow = "" if dtype == np.float64 else "PyTorch in float64, and where that has run out of digits, "
        return f"{dtype}: {narrow}{wide}"


@dataclass
class Verdict:
    """What the comparison of one array came to."""

    answer: Answer
    compared: int = 0
    error: float = 0.0  # in units of the bound: above 1 is a failure
    ulps: Array = field(default_factory=lambda: EMPTY)  # of every element compared, in units in the last place
    torch_ulps: Array = field(default_factory=lambda: EMPTY)
    wrong: int = 0  # elements in which PyTorch breaks the rule
    failure: str = ""


@dataclass
class Reference:
    """What one array is held to, and what each element may be off by."""

    value: Array
    torch: Array  # PyTorch in the tested precision
    rounding: Array
    own: Array  # PyTorch's own error
    smallest: float = 0.0  # normal number of the tested precision: the floor of the bound
    movement: Array = field(default_factory=lambda: EMPTY)
    failure: str = ""  # a reference that PyTorch does not confirm

    def elements(self, index: Array) -> Reference:
        """What these elements of the flattened array are held to."""
        arrays = (self.value, self.torch, self.rounding, self.own, self.movement)
        value, torch, rounding, own, movement = (x.reshape(-1)[index] for x in arrays)
        return Reference(value, torch, rounding, own, self.smallest, movement, self.failure)

    @property
    def bound(self) -> Array:
        with np.errstate(all="ignore"):
            bound: Array = K * (self.movement + self.rounding + np.where(np.isfinite(self.own), self.own, 0))
        return np.maximum(bound, self.smallest)

    @property
    def bound_of_torch(self) -> Array:
        """PyTorch's own bound: without its own error."""
        return np.maximum(K * (self.movement + self.rounding), self.smallest)


def judge(
    problem: Problem, dtype: np.dtype[Any], seed: int, select: Select = every, worst: float = 0.0
) -> list[Verdict]:
    """Hold the framework's answers, or some of them, to the rule.

    The movement is measured no further than to show that both frameworks keep the rule and no error is larger than
    ``worst``, in units of the bound: every further draw only widens it. Once it is settled, more draws are made where
    something is off, and there alone.
    """
    exact = arrays_of(problem, dtype)
    answers = {answer: y for answer, y in problem.ours(exact).items() if select(answer)}
    held = Held(problem, exact, dtype, seed, list(answers))
    comparisons = [
        Comparison(answer, y, held.references.get(answer), dtype, problem.signed and is_output(answer))
        for answer, y in answers.items()
    ]
    verdicts: list[Verdict] = []
    for settled in held.stages():
        verdicts = [comparison.verdict() for comparison in comparisons]
        off = any(verdict.failure or verdict.wrong for verdict in verdicts)
        if not off and (settled or max((verdict.error for verdict in verdicts), default=0.0) <= worst):
            break
    for comparison, verdict in zip(comparisons, verdicts, strict=True):
        comparison.count(verdict)
    return verdicts


def arrays_of(problem: Problem, dtype: np.dtype[Any]) -> dict[str, Array]:
    """What goes in, in one dtype."""
    with np.errstate(all="ignore"):
        return {name: x.values.astype(dtype) for name, x in problem.inputs.items()}


def references(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Sequence[Answer]
) -> dict[Answer, Reference]:
    """What these answers are held to, after all draws of the movement."""
    held = Held(problem, exact, dtype, seed, names)
    for _ in held.stages():
        pass
    return held.references


class Held:
    """What these answers are held to."""

    def __init__(
        self, problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Sequence[Answer]
    ) -> None:
        self.problem, self.exact, self.dtype, self.seed = problem, exact, dtype, seed
        single = dtype == np.float32
        self.value = self._narrow(exact) if single else self._wide(exact)
        self.wide = self._wide(exact) if single else self.value
        peer = problem.torch(exact)
        self.confirming = self.value if single else peer  # PyTorch in float64
        self.names = [name for name in names if name in self.value]
        most = max(map(largest, exact.values()), default=0.0)
        self.ceilings = {
            name: 0.0 if problem.formula else CONFIRMED * max(most, largest(self.wide[name])) for name in self.names
        }
        self.references = {name: self._reference(name, peer[name]) for name in self.names}
        self.unsettled = {name: reference for name, reference in self.references.items() if not reference.failure}

    def _narrow(self, inputs: Mapping[str, Array]) -> Mapping[Answer, Array]:
        return self.problem.torch({name: x.astype(np.float64) for name, x in inputs.items()})

    def _wide(self, inputs: Mapping[str, Array]) -> Mapping[Answer, Array]:
        return self.problem.wide({name: x.astype(np.longdouble) for name, x in inputs.items()})

    def _reference(self, name: Answer, peer: Array) -> Reference:
        """The reference without its movement. Where there is a ceiling, the wide answer is numpyml's own, and counts
        only as far as PyTorch confirms it."""
        value, wide, confirming = self.value[name], self.wide[name], self.confirming[name]
        if wide.shape != peer.shape:
            failure = f"{name}: shape {wide.shape} in extended precision, PyTorch's is {peer.shape}"
            return Reference(value, peer, EMPTY, EMPTY, failure=failure)
        with np.errstate(all="ignore"):
            bounded = np.isfinite(wide)
            rounding = ulp(np.where(bounded, wide, value), self.dtype) / 2
            chosen = value
            if self.dtype == np.float32:
                better = bounded & np.isfinite(confirming) & (distance(confirming, wide) > rounding)
                if not self.ceilings[name]:
                    better |= lost(wide, confirming)
                chosen = np.where(better, wide, value) if better.any() else value
            smallest = float(np.finfo(self.dtype).tiny)
            return Reference(chosen, peer, rounding, distance(peer, chosen), smallest)

    def stages(self) -> Iterator[bool]:
        """Set the movement of every reference, by a few draws and by more; yields whether it is settled."""
        single = self.dtype == np.float32
        run, carrier = (self._narrow, np.float64) if single else (self._wide, np.longdouble)
        value = {name: self.value[name] for name in self.names}
        stages = estimate(self.problem, self.exact, np.dtype(carrier), self.seed, run, value)
        gone = {name: lost(self.wide[name], x) for name, x in value.items()} if single and self.problem.formula else {}
        if any(elements.any() for elements in gone.values()):  # PyTorch's float64 cannot tell how far these move
            wide = {name: self.wide[name] for name in self.names}
            own = estimate(self.problem, self.exact, np.dtype(np.longdouble), self.seed, self._wide, wide)
            stages = (
                (settled, {name: np.where(gone[name], wider[name], moves) for name, moves in movement.items()})
                for (settled, movement), (_, wider) in zip(stages, own, strict=True)
            )
        for settled, movement in with_roundings(
            self.problem, self.exact, self.dtype, self.seed, self.confirming, stages
        ):
            for name, reference in self.unsettled.items():
                reference.movement = movement[name]
                reference.failure = self._unconfirmed(name, reference)
            yield settled

    def _unconfirmed(self, name: Answer, reference: Reference) -> str:
        """Where PyTorch's float64 does not confirm the wide answer, in words."""
        wide, confirming, ceiling = self.wide[name], self.confirming[name], self.ceilings[name]
        with np.errstate(all="ignore"):
            gone = np.isfinite(confirming) & ~np.isfinite(wide)
            if ceiling:
                narrower = (
                    np.finfo(np.float64).eps / np.finfo(self.dtype).eps
                )  # a movement in float64, from one in dtype
                apart = distance(confirming, wide)
                limit = np.asarray(np.maximum(ceiling, K * narrower * (reference.movement + reference.rounding)))
                unconfirmed = np.isfinite(wide) & np.isfinite(confirming) & (apart > limit) & np.isfinite(limit)
                if unconfirmed.any():
                    at = first(unconfirmed)
                    return (
                        f"{name}{list(at)}: got {shown(wide[at])} (computed in extended precision), "
                        f"expected {shown(confirming[at])} (PyTorch in float64)\n"
                        f"off by {float(apart[at]):.3g}, allowed is {float(limit[at]):.3g}; "
                        f"{int(unconfirmed.sum())} of {unconfirmed.size} elements are off"
                    )
        if gone.any():
            at = first(gone)
            numbers = shown(confirming[at]), shown(wide[at])
            return f"{name}{list(at)}: PyTorch in float64 gives {numbers[0]}, the wider reference {numbers[1]}"
        return ""


class Comparison:
    """One answer, and what it is held to: what does not depend on the movement is computed once."""

    def __init__(
        self, name: Answer, answer: Array, reference: Reference | None, dtype: np.dtype[Any], signed: bool
    ) -> None:
        self.name, self.answer, self.dtype = name, answer, dtype
        self.failure = _incomparable(name, answer, reference, dtype)
        if reference is None or self.failure:
            return
        self.reference = reference
        value, torch = reference.value, reference.torch
        with np.errstate(all="ignore"):
            rounded, top = value.astype(dtype), np.finfo(dtype).max
            finite, theirs = np.isfinite(value), np.isfinite(torch)
            self.error = distance(answer, value)
            self.answered = finite & np.isfinite(answer)
            self.both = self.answered & theirs
            self.domain = theirs | ~finite | (torch == rounded)
            self.missing = (np.isfinite(rounded) & ~theirs) | (np.isinf(value) & lost(value, torch))
            self.beyond = np.where(finite & (np.abs(value) > top), np.abs(value) + top, np.inf)  # of the precision
            self.unequal = ~((answer == rounded) | (np.isnan(answer) & np.isnan(value)))
            self.flipped = _flipped(answer, value, torch) if signed else np.False_
        self.compared = self.both

    def verdict(self) -> Verdict:
        """What the comparison comes to with the movement measured so far."""
        if self.failure or self.reference.failure:
            return Verdict(self.name, failure=self.failure or self.reference.failure)
        bound = self.reference.bound
        with np.errstate(all="ignore"):
            ratio = self.error / bound
            bounded = np.isfinite(bound) & (bound < self.beyond)  # else nothing is said: see top
            known = bounded & self.domain
            bad = known & ((self.unequal & ~(self.answered & (ratio <= 1))) | self.flipped)
            measured = known & self.answered
            self.compared = known & self.both
            wrong = (self.compared & (self.reference.own > self.reference.bound_of_torch)) | (bounded & self.missing)
            error = float(ratio[measured].max(initial=0))
            verdict = Verdict(self.name, int(known.sum()), error, wrong=int(wrong.sum()))
        if bad.any():
            verdict.error = float(np.max(ratio[bad & measured], initial=1.0))
            verdict.failure = self._message(first(bad), bad, float(self.error[first(bad)]), bound)
        return verdict

    def count(self, verdict: Verdict) -> None:
        """Add the errors in units in the last place."""
        if not verdict.failure or verdict.compared:
            with np.errstate(all="ignore"):
                unit = 2 * self.reference.rounding
                verdict.ulps = (self.error / unit)[self.compared]
                verdict.torch_ulps = (self.reference.own / unit)[self.compared]

    def _message(self, at: tuple[int, ...], bad: Array, error: float, bound: Array) -> str:
        """The first element that is off, in words."""
        held = self.reference
        return (
            f"{self.name}{list(at)}: got {shown(self.answer[at])}, expected {shown(held.value[at])} "
            f"(PyTorch in {self.dtype}: {shown(held.torch[at])})\n"
            f"off by {error:.3g} = {error / float(bound[at]):.3g} x the bound {float(bound[at]):.3g} = K {K:g} x "
            f"(movement {float(held.movement[at]):.3g} + rounding {float(held.rounding[at]):.3g} "
            f"+ PyTorch's own error {float(held.own[at]):.3g}); {int(bad.sum())} of {bad.size} elements are off"
        )


def _incomparable(name: Answer, answer: Array, reference: Reference | None, dtype: np.dtype[Any]) -> str:
    """Why an answer cannot be compared; empty where it can."""
    if reference is None:
        return f"{name}: there is no such thing in PyTorch"
    if not reference.failure and answer.shape != reference.value.shape:
        return f"{name}: shape {answer.shape}, expected {reference.value.shape}"
    if not reference.failure and answer.dtype != dtype:
        return f"{name}: {answer.dtype}, expected {dtype}"
    return reference.failure


def breaks(answer: Array, value: Array, ratio: Array) -> Array:
    """Which elements, whose errors are so many times their bounds, break the rule."""
    equal = (answer == value.astype(answer.dtype)) | (np.isnan(answer) & np.isnan(value))
    near = np.isfinite(value) & np.isfinite(answer) & (ratio <= 1)
    return np.asarray(~equal & ~near)


def _flipped(answer: Array, value: Array, torch: Array) -> Array:
    """Where the answer is the other zero than the reference's and PyTorch's."""
    zeros, sign = (value == 0) & (torch == 0) & (answer == 0), np.signbit(value)
    return np.asarray(zeros & (np.signbit(torch) == sign) & (np.signbit(answer) != sign))
