"""The comparison rule. No operator, layer or optimizer has a tolerance of its own.

    |answer − reference|  ≤  K · (movement + rounding + PyTorch's own error)          element by element

    movement     the change of the reference when every input number (inputs, parameters, incoming gradient) changes by
                 one unit in the last place of the tested precision, up or down, at worst: Σ |∂y/∂x| ulp(x), as far as
                 draws can estimate it (movement.py). Numbers that are exact by meaning, such as labels of 0 and 1, do
                 not change
    rounding     half a unit in the last place of the reference, in the tested precision
    own error    the error of PyTorch, in the tested precision, in that element

Results are promised in the normal range of the tested precision, which is the domain of the rule:

    (a) the bound is at least one smallest normal number, finfo.tiny: gradual underflow is not promised;
    (b) an element is not compared where the reference is finite and PyTorch, in the tested precision, is not.

So the bound grows with the condition of each element, and numpyml need not be more accurate than PyTorch by more than
a factor. NaN and ±∞ must be exactly where the reference has them.

The reference is wider than the tested precision:

    float32   PyTorch in float64, on the same numbers. The wide answer below replaces it where it shows that float64 has
              too few digits: where PyTorch's float64 is off by more than one rounding to float32, is NaN or infinite
              though a formula is finite, or has another ∞ or none.
    float64   The wide answer: a formula written independently of both frameworks, in NumPy's extended precision (a
              significand of 64 bits on x86; references/). Components without a formula, such as containers, use
              numpyml's own code in that precision. PyTorch's float64 must confirm it to four units in the last place
              of the largest number in the call, or to K times the movement where the problem is ill-conditioned.

Of an answer whose precision the documentation promises, PyTorch's own error is not granted, nor (b): see the check
``precision``.

The same rule, without its own error, applies to PyTorch. Where PyTorch breaks it, or is infinite or NaN though the
answer is finite in that precision, the error is PyTorch's, and the census counts a finding. Known findings are
documented, each with a script.

An element is not compared where a moved input crosses a pole in one of the draws, so that the movement is infinite; or
where PyTorch's error is so large that every number of the tested precision is within the bound.

Long runs are compared by two related rules, since no elementwise bound remains: a parameter of a trajectory may differ
by 1e-12 of the scale of its array (``STEPWISE``), a loss of a training run by 1e-10 of itself (``TRAINING``), each in
float64, or by K times the effect of roundings on PyTorch's run, if that is more (histories.py,
programs/sidebyside.py). In float32 the rule itself applies to a trajectory.
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

# Fixed once, on seeds that are not the suite's. The largest ratio of correct code on two of them, 9801 and 9802, was
# 7.1, in a float32 trajectory of Adam; `python -m conformance --seed N` prints ratios in units of the bound.
K = 8.0
CONFIRMED = 2.0**-50  # of the largest number in the call: four units in the last place of float64


@dataclass(frozen=True)
class Input:
    """An input array of a call: its values and their memory layout."""

    values: Array
    layout: str = "C"
    kind: str = "ordinary"
    low: float = -np.inf  # limits of moved values
    high: float = np.inf
    exact: bool = False  # by meaning, such as labels of 0 and 1: the numbers do not move

    @property
    def floating(self) -> bool:
        return self.values.dtype.kind == "f"

    def __repr__(self) -> str:
        values = self.values
        shown = np.array2string(values, threshold=12, precision=9, separator=", ") if values.size else "[]"
        kind = f"{self.kind}, exact" if self.exact else self.kind
        return f"{values.dtype.kind}{values.shape} {kind}, {self.layout}: {shown}"


@dataclass(frozen=True)
class Problem:
    """One call that both frameworks can make: named input arrays to named answers, in the dtype of the inputs."""

    inputs: Mapping[str, Input]
    ours: Run
    torch: Run
    wide: Run  # in extended precision
    rounded: Rounded | None = None  # of a composite: PyTorch with intermediate results rounded once more (movement.py)
    formula: str = ""  # describes ``wide`` if it is independent of both frameworks; else it is numpyml's own code
    signed: bool = False  # whether outputs of 0 must have PyTorch's sign
    granted: bool = True  # whether PyTorch's own error is part of the bound, and (b) of the domain applies

    def reference(self, dtype: np.dtype[Any]) -> str:
        """A description of the reference of answers in this precision."""
        wide = self.formula or "numpyml in extended precision, confirmed by PyTorch"
        narrow = "" if dtype == np.float64 else "PyTorch in float64, and where that has too few digits, "
        return f"{dtype}: {narrow}{wide}"


@dataclass
class Verdict:
    """The result of the comparison of one array."""

    answer: Answer
    compared: int = 0
    error: float = 0.0  # in units of the bound: above 1 is a failure
    ulps: Array = field(default_factory=lambda: EMPTY)  # errors of the compared elements, in units in the last place
    torch_ulps: Array = field(default_factory=lambda: EMPTY)
    wrong: int = 0  # elements in which PyTorch breaks the rule
    failure: str = ""


@dataclass
class Reference:
    """The reference of one array, and the terms of the bound of each element."""

    value: Array
    torch: Array  # PyTorch in the tested precision
    rounding: Array
    own: Array  # PyTorch's own error
    smallest: float = 0.0  # the smallest normal number of the tested precision: the floor of the bound
    granted: bool = True  # whether PyTorch's own error is part of the bound
    movement: Array = field(default_factory=lambda: EMPTY)
    failure: str = ""  # why PyTorch does not confirm the reference

    def elements(self, index: Array) -> Reference:
        """The reference of these elements of the flattened array."""
        arrays = (self.value, self.torch, self.rounding, self.own, self.movement)
        value, torch, rounding, own, movement = (x.reshape(-1)[index] for x in arrays)
        return Reference(value, torch, rounding, own, self.smallest, self.granted, movement, self.failure)

    @property
    def bound(self) -> Array:
        if not self.granted:
            return self.bound_of_torch
        with np.errstate(all="ignore"):
            bound: Array = K * (self.movement + self.rounding + np.where(np.isfinite(self.own), self.own, 0))
        return np.maximum(bound, self.smallest)

    @property
    def bound_of_torch(self) -> Array:
        """The bound of PyTorch's answer: without its own error."""
        return np.maximum(K * (self.movement + self.rounding), self.smallest)


def judge(
    problem: Problem, dtype: np.dtype[Any], seed: int, select: Select = every, worst: float = 0.0
) -> list[Verdict]:
    """Apply the rule to the framework's answers, or to those that ``select`` accepts.

    The estimate of the movement stops early when both frameworks keep the rule and no error is larger than ``worst``,
    in units of the bound: further draws only widen the bound. After the final estimate, more draws are made only for a
    failure.
    """
    exact = arrays_of(problem, dtype)
    answers = {answer: y for answer, y in problem.ours(exact).items() if select(answer)}
    estimates = ReferenceEstimates(problem, exact, dtype, seed, list(answers))
    comparisons = [
        Comparison(answer, y, estimates.references.get(answer), dtype, problem.signed and is_output(answer))
        for answer, y in answers.items()
    ]
    verdicts: list[Verdict] = []
    for final in estimates.stages():
        verdicts = [comparison.verdict() for comparison in comparisons]
        broken = any(verdict.failure or verdict.wrong for verdict in verdicts)
        if not broken and (final or max((verdict.error for verdict in verdicts), default=0.0) <= worst):
            break
    for comparison, verdict in zip(comparisons, verdicts, strict=True):
        comparison.count(verdict)
    return verdicts


def arrays_of(problem: Problem, dtype: np.dtype[Any]) -> dict[str, Array]:
    """The input arrays in one dtype."""
    with np.errstate(all="ignore"):
        return {name: x.values.astype(dtype) for name, x in problem.inputs.items()}


def references(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Sequence[Answer]
) -> dict[Answer, Reference]:
    """The references of these answers, with the final estimate of the movement."""
    estimates = ReferenceEstimates(problem, exact, dtype, seed, names)
    for _ in estimates.stages():
        pass
    return estimates.references


class ReferenceEstimates:
    """The references of a problem's answers, whose movements are estimated in stages."""

    def __init__(
        self, problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Sequence[Answer]
    ) -> None:
        self.problem, self.exact, self.dtype, self.seed = problem, exact, dtype, seed
        # Where PyTorch's own error is not granted, its float64 may have lost the same digits as its float32.
        self.single = single = dtype == np.float32 and problem.granted
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
        self.estimated = {name: reference for name, reference in self.references.items() if not reference.failure}

    def _narrow(self, inputs: Mapping[str, Array]) -> Mapping[Answer, Array]:
        return self.problem.torch({name: x.astype(np.float64) for name, x in inputs.items()})

    def _wide(self, inputs: Mapping[str, Array]) -> Mapping[Answer, Array]:
        return self.problem.wide({name: x.astype(np.longdouble) for name, x in inputs.items()})

    def _reference(self, name: Answer, peer: Array) -> Reference:
        """The reference without its movement. A wide answer with a ceiling is numpyml's own, to be confirmed."""
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
            return Reference(chosen, peer, rounding, distance(peer, chosen), smallest, self.problem.granted)

    def stages(self) -> Iterator[bool]:
        """Set the movement of every reference, from more draws at each stage; yield whether it is final."""
        single = self.single
        run, carrier = (self._narrow, np.float64) if single else (self._wide, np.longdouble)
        value = {name: self.value[name] for name in self.names}
        stages = estimate(self.problem, self.exact, np.dtype(carrier), self.seed, run, value)
        gone = {name: lost(self.wide[name], x) for name, x in value.items()} if single and self.problem.formula else {}
        if any(elements.any() for elements in gone.values()):  # PyTorch's float64 cannot show the movement of these
            wide = {name: self.wide[name] for name in self.names}
            own = estimate(self.problem, self.exact, np.dtype(np.longdouble), self.seed, self._wide, wide)
            stages = (
                (final, {name: np.where(gone[name], wider[name], moves) for name, moves in movement.items()})
                for (final, movement), (_, wider) in zip(stages, own, strict=True)
            )
        for final, movement in with_roundings(self.problem, self.exact, self.dtype, self.seed, self.confirming, stages):
            for name, reference in self.estimated.items():
                reference.movement = movement[name]
                reference.failure = self._unconfirmed(name, reference)
            yield final

    def _unconfirmed(self, name: Answer, reference: Reference) -> str:
        """Describe where PyTorch's float64 does not confirm the wide answer; empty if it does."""
        wide, confirming, ceiling = self.wide[name], self.confirming[name], self.ceilings[name]
        with np.errstate(all="ignore"):
            gone = np.isfinite(confirming) & ~np.isfinite(wide)
            if ceiling:
                # converts a movement in dtype to one in float64
                narrower = np.finfo(np.float64).eps / np.finfo(self.dtype).eps
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
    """One answer and its reference. What does not depend on the movement is computed once."""

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
            self.theirs = theirs
            self.error = distance(answer, value)
            self.answered = finite & np.isfinite(answer)
            self.both = self.answered & theirs
            self.domain = theirs | ~finite | (torch == rounded) | (not reference.granted)
            self.missing = (np.isfinite(rounded) & ~theirs) | (np.isinf(value) & lost(value, torch))
            self.beyond = np.where(finite, np.abs(value) + top, np.inf)  # from there on every number of dtype passes
            self.unequal = ~((answer == rounded) | (np.isnan(answer) & np.isnan(value)))
            self.flipped = _flipped(answer, value, torch) if signed else np.False_
        self.compared = self.both

    def verdict(self) -> Verdict:
        """The result with the movement estimated so far."""
        if self.failure or self.reference.failure:
            return Verdict(self.name, error=np.inf, failure=self.failure or self.reference.failure)
        bound = self.reference.bound
        with np.errstate(all="ignore"):
            ratio = self.error / bound
            bounded = np.isfinite(bound) & (bound < self.beyond)  # others are not compared: see the module's docstring
            known = bounded & self.domain
            bad = known & ((self.unequal & ~(self.answered & (ratio <= 1))) | self.flipped)
            measured = known & self.answered
            self.compared = known & self.both
            wrong = (self.compared & (self.reference.own > self.reference.bound_of_torch)) | (bounded & self.missing)
            error = float(ratio[measured].max(initial=0))
            verdict = Verdict(self.name, int(known.sum()), error, wrong=int(wrong.sum()))
        if bad.any():
            off = np.where(measured & (ratio > 1), ratio, np.inf)  # a sign, or what is not finite: no bound holds
            verdict.error = float(off[bad].max())
            # An element in which one side is not finite does not hide one in which all are.
            shown = next(elements for elements in (bad & self.both, bad & self.theirs, bad) if elements.any())
            verdict.failure = self._message(first(shown), bad, ratio, bound)
        return verdict

    def count(self, verdict: Verdict) -> None:
        """Add the errors, in units in the last place, to the verdict."""
        if not verdict.failure or verdict.compared:
            with np.errstate(all="ignore"):
                unit = 2 * self.reference.rounding
                verdict.ulps = (self.error / unit)[self.compared]
                verdict.torch_ulps = (self.reference.own / unit)[self.compared]

    def _message(self, at: tuple[int, ...], bad: Array, ratio: Array, bound: Array) -> str:
        """Describe an element that breaks the rule."""
        reference = self.reference
        head = (
            f"{self.name}{list(at)}: got {shown(self.answer[at])}, expected {shown(reference.value[at])} "
            f"(PyTorch in {self.dtype}: {shown(reference.torch[at])})\n"
        )
        tail = f"; {int(bad.sum())} of {bad.size} elements are off"
        if not self.answered[at]:
            return head + "one of the two is not finite: no bound holds" + tail
        if not ratio[at] > 1:
            return head + "a zero of the other sign" + tail
        error, limit = float(self.error[at]), float(bound[at])
        return head + f"off by {error:.3g} = {float(ratio[at]):.3g} x the bound {limit:.3g} = {self._terms(at)}" + tail

    def _terms(self, at: tuple[int, ...]) -> str:
        """The terms of the bound of an element."""
        reference = self.reference
        if float(reference.bound[at]) == reference.smallest:
            return "the smallest normal number"
        own, granted, remark = float(reference.own[at]), "", ""
        if reference.granted and np.isfinite(own):
            granted = f" + PyTorch's own error {own:.3g}"
        elif reference.granted:
            remark = ", PyTorch itself is not finite"
        return (
            f"K {K:g} x (movement {float(reference.movement[at]):.3g} + rounding {float(reference.rounding[at]):.3g}"
            f"{granted}){remark}"
        )


def _incomparable(name: Answer, answer: Array, reference: Reference | None, dtype: np.dtype[Any]) -> str:
    """Why an answer cannot be compared; empty if it can."""
    if reference is None:
        return f"{name}: PyTorch has no such answer"
    if not reference.failure and answer.shape != reference.value.shape:
        return f"{name}: shape {answer.shape}, expected {reference.value.shape}"
    if not reference.failure and answer.dtype != dtype:
        return f"{name}: {answer.dtype}, expected {dtype}"
    return reference.failure


def breaks(answer: Array, value: Array, ratio: Array) -> Array:
    """Which elements break the rule; ``ratio`` is their errors in units of the bound."""
    equal = (answer == value.astype(answer.dtype)) | (np.isnan(answer) & np.isnan(value))
    near = np.isfinite(value) & np.isfinite(answer) & (ratio <= 1)
    return np.asarray(~equal & ~near)


def _flipped(answer: Array, value: Array, torch: Array) -> Array:
    """Where the answer is a zero of the other sign than the reference's and PyTorch's."""
    zeros, sign = (value == 0) & (torch == 0) & (answer == 0), np.signbit(value)
    return np.asarray(zeros & (np.signbit(torch) == sign) & (np.signbit(answer) != sign))
