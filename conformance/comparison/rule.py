"""The one comparison rule. No operator, layer or optimizer has a tolerance of its own.

    |answer − reference|  ≤  K · (movement + rounding + PyTorch's own error)          element by element

    movement     how far the reference moves when every number that goes in (inputs, parameters, incoming gradient)
                 moves by one unit in the last place of the tested precision, up or down, in the worst case:
                 Σ |∂y/∂x| ulp(x), as far as draws can tell it (below)
    rounding     half a unit in the last place of the reference, in the tested precision
    own error    how far PyTorch, in the tested precision, is from the reference in that element

Results are promised in the normal range of the tested precision, which is the domain of the rule:

    (a) the bound is at least one smallest normal number, finfo.tiny: gradual underflow is not promised;
    (b) where PyTorch in the tested precision is not finite though the reference is, nothing is asked.

So an ill-conditioned element may move as far as its conditioning makes it, a well-conditioned one may not, and nobody
is asked to be better than PyTorch by more than a factor. NaN and ±∞ must stand exactly where the reference has them.

The reference is wider than what is tested:

    float32   PyTorch in float64, on the same numbers. Where the wide answer below shows that PyTorch's float64 has run
              out of digits itself (it is off by more than one rounding to float32, or is no number where a formula has
              one, or another ∞ or none), the wide answer takes its place.
    float64   The wide answer: a formula written again, independently of both frameworks, in NumPy's extended precision
              (a significand of 64 bits on x86; references/); where there is none, as for containers, numpyml's own
              code in that precision, which PyTorch's float64 must confirm to four units in the last place of the
              largest number in the call, or, where the problem is ill-conditioned, to K times what it moves.

The worst case of a sum of n numbers is √n times what random signs show, and plain addition comes near it. So movement
is the larger of two estimates: the largest of several draws in which every number moves by one unit, and the median
of |Σ cᵢ ∂y/∂xᵢ ulp(xᵢ)| over draws with cᵢ from the standard Cauchy distribution. Such a sum is distributed as one c
times Σ |∂y/∂xᵢ| ulp(xᵢ), and the median of |c| is 1 (Indyk 2006, Stable distributions, J. ACM 53). Where every draw of
the first kind moves an element by as much, it is taken to hang on one number alone, of which the first estimate is
exact; where none moves it, two numbers may have gone the same way each time. A long run takes in the roundings of its
own steps instead, and moves by units alone. Every draw only widens the bound: where two of them show that the rule is
kept, and that no error is the largest of its check so far, no more are made. Before anything but a long run is said to
be off, there are more of the first kind: two numbers that all but cancel may have done so each time.

What is composed of other components (attention with its projections, a container) computes numbers on the way that
no precision keeps: two of them may cancel though no move of the inputs parts them. There the movement is at least what
one more rounding of every result on the way, forwards and backwards, does to PyTorch in float64 (the largest of
several draws). So a part's answer is asked of it to the accuracy with which it is given its inputs, as anywhere.

PyTorch itself is held to the same rule, its own error left out. Where it breaks that, or is infinite or NaN though the
answer is a number that the precision has, it is PyTorch who is wrong, and the census counts a finding; those on record
stand in divergences.py, each with a script.

Nothing is said and nothing counted where a moved input crosses a pole in one of the draws that were made, so that the
movement is infinite, or where the reference is too large for the tested precision and PyTorch so far from it that every
number of that precision is within the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from numpyml.typing import Array

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
Stage = tuple[bool, dict[str, Array]]  # whether it is settled, and how far each element moves
EMPTY = np.zeros(0)

# Fixed once, on seeds that are not the suite's. The largest ratio that right code showed on two of them, 9801 and 9802,
# was 7.1, in a float32 trajectory of Adam; `python -m conformance --seed N` prints it in units of the bound.
K = 8.0
DRAWS = 8  # of moves by one unit, and as many of roundings on the way
FEW = 2  # so many of them may show already that nothing is off, see judge
FURTHER = 8  # before anything is off: in eight, two numbers that all but cancel do so each time in one case of 256
SWINGS = 5  # of moves by c units; odd, for the median
ALONE = 0.45  # an element that one number alone moves goes as far up as down, or, at a power of two, half as far
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
    rounded: Callable[[Mapping[str, Array], Any, int], Mapping[str, Array]] | None = (
        None  # of what is composed: see top
    )
    formula: str = ""  # what is wide, where it owes nothing to either framework; else it is numpyml's own code
    signed: bool = False  # whether outputs of 0 have PyTorch's sign

    def reference(self, dtype: np.dtype[Any]) -> str:
        """What the answers in this precision are held to, in words."""
        wide = self.formula or "numpyml in extended precision, confirmed by PyTorch"
        first = "" if dtype == np.float64 else "PyTorch in float64, and where that has run out of digits, "
        return f"{dtype}: {first}{wide}"


@dataclass
class Verdict:
    """What one comparison of one named array came to."""

    what: str
    compared: int = 0
    error: float = 0.0  # in units of the bound: above 1 is a failure
    ulps: Array = field(default_factory=lambda: EMPTY)  # of every element compared, in units in the last place
    torch_ulps: Array = field(default_factory=lambda: EMPTY)
    wrong: int = 0  # elements in which PyTorch breaks the rule
    failure: str = ""


@dataclass
class Reference:
    """What one named array is held to, and what each element may be off by."""

    value: Array
    torch: Array  # PyTorch in the tested precision
    movement: Array
    rounding: Array
    own: Array
    failure: str = ""  # a reference that PyTorch does not confirm
    signed: bool = False  # whether 0 is another answer than -0
    smallest: float = 0.0  # normal number of the tested precision: the floor of the bound

    def elements(self, places: Array) -> Reference:
        """What these elements are held to."""
        arrays = (self.value, self.torch, self.movement, self.rounding, self.own)
        value, torch, movement, rounding, own = (x.reshape(-1)[places] for x in arrays)
        return Reference(value, torch, movement, rounding, own, self.failure, smallest=self.smallest)

    @property
    def bound(self) -> Array:
        with np.errstate(all="ignore"):
            bound: Array = K * (self.movement + self.rounding + np.where(np.isfinite(self.own), self.own, 0))
        return np.maximum(bound, self.smallest)


def judge(
    problem: Problem, dtype: np.dtype[Any], seed: int, prefixes: tuple[str, ...] = ("",), worst: float = 0.0
) -> list[Verdict]:
    """Hold the framework's answers, those whose names start with a prefix, to the rule.

    The movement is measured no further than to show that both frameworks keep the rule and no error is larger than
    ``worst``, in units of the bound: every further draw only widens it. Once it is settled, more draws are made where
    something is off, and there alone.
    """
    exact = arrays_of(problem, dtype)
    answers = {name: y for name, y in problem.ours(exact).items() if name.startswith(prefixes)}
    verdicts: list[Verdict] = []
    for settled, held in _held(problem, exact, dtype, seed, list(answers)):
        verdicts = [_verdict(name, y, held, dtype, problem.signed) for name, y in answers.items()]
        off = any(verdict.failure or verdict.wrong for verdict in verdicts)
        if not off and (settled or max((verdict.error for verdict in verdicts), default=0.0) <= worst):
            break
    return verdicts


def _verdict(name: str, answer: Array, held: Mapping[str, Reference], dtype: np.dtype[Any], signed: bool) -> Verdict:
    if name not in held:
        return Verdict(name, failure=f"{name}: there is no such thing in PyTorch")
    held[name].signed = signed and name.startswith("output")
    return compare(name, answer, held[name], dtype)


def arrays_of(problem: Problem, dtype: np.dtype[Any]) -> dict[str, Array]:
    """What goes in, in one dtype."""
    with np.errstate(all="ignore"):
        return {name: given.values.astype(dtype) for name, given in problem.given.items()}


def moved(given: Given, exact: Array, rng: np.random.Generator) -> Array:
    """Every number one unit in its last place up or down; zeros, ∞ and NaN stay.

    Equal numbers move together where ties are what the values are for: a tie stays a tie. Where the numbers say
    which way to round, it is any way.
    """
    if given.kind == ROUNDINGS:
        return 2 * rng.integers(0, 2, exact.shape).astype(exact.dtype) - 1
    if given.kind in COUPLED:
        distinct, place = np.unique(np.abs(exact), return_inverse=True)
        away = rng.integers(0, 2, distinct.shape)[place].reshape(exact.shape)
    else:
        away = rng.integers(0, 2, exact.shape)
    with np.errstate(all="ignore"):
        towards = np.where(away, np.copysign(np.inf, exact), 0).astype(exact.dtype)
        stepped = np.where((exact == 0) | ~np.isfinite(exact), exact, np.nextafter(exact, towards))
        return np.clip(stepped, exact.dtype.type(given.low), exact.dtype.type(given.high))


def swung(given: Given, exact: Array, rng: np.random.Generator, carrier: np.dtype[Any]) -> Array:
    """Every number moved by c units in its last place, c from the standard Cauchy distribution, or by half its size."""
    if given.kind in COUPLED:
        distinct, place = np.unique(np.abs(exact), return_inverse=True)
        away = rng.standard_cauchy(distinct.shape)[place].reshape(exact.shape)
    else:
        away = rng.standard_cauchy(exact.shape)
    with np.errstate(all="ignore"):
        x, half = exact.astype(carrier), np.abs(exact.astype(carrier)) / 2
        step = np.clip(np.sign(x) * away * ulp(exact, exact.dtype).astype(carrier), -half, half)
        return np.clip(np.where(np.isfinite(x), x + step, x), given.low, given.high)


COUPLED = frozenset({"ties", "signed zeros"})
ROUNDINGS = "roundings"  # of what a long run computes on the way: no number of these moves, or each by one unit


def references(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Sequence[str]
) -> dict[str, Reference]:
    """What these answers are held to."""
    *_, (_, found) = _held(problem, exact, dtype, seed, names)
    return found


def _held(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, names: Sequence[str]
) -> Iterator[tuple[bool, dict[str, Reference]]]:
    """What these answers are held to, by a few draws of the movement, and by more; and whether that is settled."""
    single = dtype == np.float32
    run = problem.torch if single else problem.wide
    carrier = np.dtype(np.float64 if single else np.longdouble)

    def at(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return run({name: x.astype(carrier) for name, x in inputs.items()})

    def widely(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return problem.wide({name: x.astype(np.longdouble) for name, x in inputs.items()})

    value = at(exact)
    names = [name for name in names if name in value]
    wide = widely(exact) if single else value
    peer = problem.torch(exact)
    confirming = value if single else peer
    stages = _movement(problem, exact, carrier, seed, at, {name: value[name] for name in names})
    lost = {name: _lost(wide[name], value[name]) for name in names} if single and problem.formula else {}
    if any(places.any() for places in lost.values()):  # PyTorch's float64 cannot tell how far these move
        longer = np.dtype(np.longdouble)
        own = _movement(problem, exact, longer, seed, widely, {name: wide[name] for name in names})
        stages = (
            (settled, {name: np.where(lost[name], wider[name], most) for name, most in movement.items()})
            for (settled, movement), (_, wider) in zip(stages, own, strict=True)
        )
    largest = max(map(_largest, exact.values()), default=0.0)
    for settled, movement in _rounded(problem, exact, dtype, seed, stages):
        found = {}
        for name, most in movement.items():
            if wide[name].shape != peer[name].shape:
                failure = f"{name}: shape {wide[name].shape} in extended precision, PyTorch's is {peer[name].shape}"
                found[name] = Reference(value[name], peer[name], most, most, most, failure)
                continue
            ceiling = 0 if problem.formula else CONFIRMED * max(largest, _largest(wide[name]))
            found[name] = _reference(name, value[name], wide[name], peer[name], confirming[name], most, dtype, ceiling)
        yield settled, found


def _movement(
    problem: Problem, exact: Mapping[str, Array], carrier: Any, seed: int, at: Run, value: Mapping[str, Array]
) -> Iterator[Stage]:
    """How far each element moves at the worst (see the head of this file): by a few draws, and by more."""

    def distances(draw: int, move: Callable[..., Array]) -> dict[str, Array]:
        inputs, alone = {}, np.random.default_rng([seed, draw])
        for name, x in exact.items():
            given = problem.given[name]
            # Where ties are what the values are for, equal numbers move together, in whichever array they stand.
            together = given.kind in COUPLED
            inputs[name] = move(given, x, np.random.default_rng([seed, draw, 1]) if together else alone)
        values = at(inputs)
        return {name: _distance(values[name], x) for name, x in value.items()}

    def most(draws: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.max([moves[name] for moves in draws], axis=0) for name in value}

    units = [distances(draw, moved) for draw in range(1, FEW + 1)]
    yield False, most(units)
    units += [distances(draw, moved) for draw in range(FEW + 1, DRAWS + 1)]
    by_units = any(given.kind == ROUNDINGS for given in problem.given.values())
    movement = most(units)
    yield by_units, movement
    if by_units:
        return
    with np.errstate(all="ignore"):
        several = {
            name: (np.min([moves[name] for moves in units], axis=0) < ALONE * moves) | (moves == 0)
            for name, moves in movement.items()
        }
    start = DRAWS + 1
    if any(places.any() for places in several.values()):
        swing = partial(swung, carrier=carrier)
        swings = [distances(draw, swing) for draw in range(start, start + SWINGS)]
        middles = {name: np.median([moves[name] for moves in swings], axis=0) for name in value}
        movement = {
            name: np.where(several[name] & np.isfinite(middles[name]), np.maximum(moves, middles[name]), moves)
            for name, moves in movement.items()
        }
    yield True, movement
    start += SWINGS
    yield True, most([movement, *(distances(draw, moved) for draw in range(start, start + FURTHER))])


def _rounded(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, stages: Iterable[Stage]
) -> Iterator[Stage]:
    """The movement of what is composed is at least what the roundings on the way do."""
    least: dict[str, Array] = {}
    for settled, movement in stages:
        if settled and problem.rounded is not None and not least:
            inputs = {name: x.astype(np.float64) for name, x in exact.items()}
            still = problem.torch(inputs)
            shaken = [problem.rounded(inputs, dtype, seed + draw) for draw in range(DRAWS)]
            least = {name: np.max([_distance(x[name], still[name]) for x in shaken], axis=0) for name in movement}
        yield settled, {name: np.maximum(moves, least[name]) if least else moves for name, moves in movement.items()}


def _lost(wide: Array, narrow: Array) -> Array:
    """Where only the wider of two answers is a number, or is ∞ and the other NaN or −∞."""
    if wide.shape != narrow.shape:
        return np.zeros(narrow.shape, bool)
    return ~np.isnan(wide) & ~np.isfinite(narrow) & (wide != narrow)


def _reference(
    name: str, value: Array, wide: Array, peer: Array, confirming: Array, movement: Array, dtype: Any, ceiling: float
) -> Reference:
    """Where there is a ceiling, the wide answer is numpyml's own, and counts only as far as PyTorch confirms it."""
    with np.errstate(all="ignore"):
        apart = _distance(confirming, wide)
        finite = np.isfinite(wide) & np.isfinite(confirming)
        rounding = ulp(np.where(np.isfinite(wide), wide, value), dtype) / 2
        taken = finite & (apart > rounding)
        if not ceiling:
            taken |= _lost(wide, confirming)
        chosen = np.where(taken, wide, value) if dtype == np.float32 else value
        smallest = float(np.finfo(dtype).tiny)
        reference = Reference(chosen, peer, movement, rounding, _distance(peer, chosen), smallest=smallest)
        lost = np.isfinite(confirming) & ~np.isfinite(wide)
        if lost.any():
            at = _first(lost)
            reference.failure = (
                f"{name}{list(at)}: PyTorch in float64 gives {confirming[at]!r}, the wider reference {wide[at]!r}"
            )
        if ceiling:
            narrower = np.finfo(np.float64).eps / np.finfo(dtype).eps  # a movement in float64, from one in dtype
            limit = np.asarray(np.maximum(ceiling, K * narrower * (movement + rounding)))
            unconfirmed = finite & (apart > limit) & np.isfinite(limit)
            if unconfirmed.any():
                at = _first(unconfirmed)
                reference.failure = (
                    f"{name}{list(at)}: got {wide[at]!r} (computed in extended precision), expected {confirming[at]!r} "
                    f"(PyTorch in float64)\noff by {float(apart[at]):.3g}, allowed is {float(limit[at]):.3g}; "
                    f"{int(unconfirmed.sum())} of {unconfirmed.size} elements are off"
                )
    return reference


def ulp(x: Array, dtype: Any) -> Array:
    """One unit in the last place of each element, in a dtype; of 1 where it is not finite."""
    with np.errstate(all="ignore"):
        rounded = np.abs(np.asarray(x).astype(dtype))
        spacing: Array = np.spacing(np.where(np.isfinite(rounded), rounded, 1).astype(dtype)).astype(np.longdouble)
    return spacing


def _distance(a: Array, b: Array) -> Array:
    """|a − b|, 0 between what is the same (NaN and NaN, ∞ and ∞), ∞ where one of them is no number."""
    with np.errstate(all="ignore"):
        distance: Array = np.abs(np.subtract(a, b, dtype=np.result_type(a, b)))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0, np.where(np.isnan(distance), np.inf, distance))


def _first(x: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(x)[0])


def _largest(x: Array) -> float:
    finite = np.abs(x[np.isfinite(x)])
    return float(finite.max()) if finite.size else 0.0


def compare(what: str, answer: Array, reference: Reference, dtype: np.dtype[Any]) -> Verdict:
    """One named answer against what it is held to."""
    value, torch = reference.value, reference.torch
    if reference.failure:
        return Verdict(what, failure=reference.failure)
    if answer.shape != value.shape:
        return Verdict(what, failure=f"{what}: shape {answer.shape}, expected {value.shape}")
    if answer.dtype != dtype:
        return Verdict(what, failure=f"{what}: {answer.dtype}, expected {dtype}")
    with np.errstate(all="ignore"):
        bound, error = reference.bound, _distance(answer, value)
        ratio = error / bound
        largest = np.finfo(dtype).max
        beyond = np.isfinite(value) & (np.abs(value) > largest) & (bound >= np.abs(value) + largest)
        told = np.isfinite(bound) & ~beyond  # else nothing is said: see top
        known = told & (
            np.isfinite(torch) | ~np.isfinite(value) | (torch == value.astype(dtype))
        )  # its domain: see top
        bad = known & _off(answer, reference, ratio)
        measured = known & np.isfinite(value) & np.isfinite(answer)
        both = measured & np.isfinite(torch)
        unit = 2 * reference.rounding
        verdict = Verdict(
            what, int(known.sum()), float(ratio[measured].max(initial=0)), (error / unit)[both],
            (reference.own / unit)[both],
        )  # fmt: skip
        allowed = np.maximum(K * (reference.movement + reference.rounding), reference.smallest)
        off = both & (reference.own > allowed)
        infinite = np.isinf(value) & _lost(value, torch)
        missing = told & ((np.isfinite(value.astype(dtype)) & ~np.isfinite(torch)) | infinite)
        verdict.wrong = int((off | missing).sum())
    if bad.any():
        at = _first(bad)
        verdict.error = float(np.max(ratio[bad & measured], initial=1.0))
        verdict.failure = (
            f"{what}[{', '.join(map(str, at))}]: got {answer[at]!r}, expected {value[at]!r} "
            f"(PyTorch in {dtype}: {torch[at]!r})\n"
            f"off by {float(error[at]):.3g} = {float(ratio[at]):.3g} x the bound {float(bound[at]):.3g} = K {K:g} x "
            f"(movement {float(reference.movement[at]):.3g} + rounding {float(reference.rounding[at]):.3g} "
            f"+ PyTorch's own error {float(reference.own[at]):.3g}); {int(bad.sum())} of {bad.size} elements are off"
        )
    return verdict


def _off(answer: Array, reference: Reference, ratio: Array) -> Array:
    """Which elements, whose errors are so many times their bounds, break the rule."""
    value, torch = reference.value, reference.torch
    equal = (answer == value.astype(answer.dtype)) | (np.isnan(answer) & np.isnan(value))
    near = np.isfinite(value) & np.isfinite(answer) & (ratio <= 1)
    return np.asarray((~equal & ~near) | (reference.signed & _flipped(answer, value, torch)))


def _flipped(answer: Array, value: Array, torch: Array) -> Array:
    """Where the answer is the other zero than the reference's and PyTorch's."""
    zeros, sign = (value == 0) & (torch == 0) & (answer == 0), np.signbit(value)
    return np.asarray(zeros & (np.signbit(torch) == sign) & (np.signbit(answer) != sign))


# How sharp the eye is

NOTICED = 64.0  # units in the last place: an error of so many must be noticed where the problem is well conditioned
CONDITIONED, FAITHFUL = 2.0, 4.0  # units that an element may move, and PyTorch be off by, for that
PLANTS = 4  # elements of each array


@dataclass
class Plant:
    """An error in one element of a right answer: the smallest that is noticed, in units in the last place."""

    what: str
    noticed: float
    conditioned: bool


def sharpness(problem: Problem, dtype: np.dtype[Any], seed: int) -> Iterator[Plant]:
    """Plant errors of 1, 2, 4, ... units in the last place in single elements, and see which are noticed."""
    exact = arrays_of(problem, dtype)
    names = list(problem.torch(exact))
    rng = np.random.default_rng([seed, 1])
    for name, reference in references(problem, exact, dtype, seed, names).items():
        with np.errstate(all="ignore"):
            right = reference.value.astype(dtype)
            bounded = np.isfinite(reference.bound) & (reference.smallest <= K * reference.rounding)  # not by its floor
            usable = np.flatnonzero(np.isfinite(right) & bounded & np.isfinite(reference.own))
        places = rng.permutation(usable)[:PLANTS]
        at, sign = reference.elements(places), rng.choice([-1, 1], places.size)
        unit, bound = 2 * at.rounding, at.bound
        noticed = np.where(reference.failure != "", np.ones(places.size), np.inf)
        with np.errstate(all="ignore"):
            for power in range(64):
                if np.isfinite(noticed).all():
                    break
                planted = (at.value + sign * 2.0**power * unit).astype(dtype)
                seen = _off(planted, at, _distance(planted, at.value) / bound)
                noticed = np.where(seen & np.isinf(noticed), 2.0**power, noticed)
            conditioned = (at.movement <= CONDITIONED * unit) & (at.own <= FAITHFUL * unit)
        for place, ulps, well in zip(places, noticed, conditioned, strict=True):
            yield Plant(f"{name} {place}", float(ulps), bool(well))


# Optimizers and whole training runs: what trajectories are held to, stated once

STEPWISE = 1e-12  # float64, identical gradients: of the largest number in the array, at every step
TRAINING = 1e-10  # float64, each side on its own gradients: of the loss, at every step


RECENT = 10  # an array's scale is its largest number in so many steps: all of it may cross zero at once


def _before(x: Array, steps: int) -> Array:
    """What stood there so many steps earlier."""
    return np.concatenate([x[:1].repeat(min(steps, len(x)), 0), x])[: len(x)]


def off_scale(what: str, got: Array, expected: Array, movement: Array | float = 0.0) -> Verdict:
    """Two float64 histories, axis 0 the steps: every element within STEPWISE of its array's scale, or, where the
    problem is ill-conditioned, within K times what roundings alone move it."""
    if got.shape != expected.shape:
        return Verdict(what, failure=f"{what}: shape {got.shape}, expected {expected.shape}")
    with np.errstate(all="ignore"):
        error = _distance(got, expected)
        finite = np.where(np.isfinite(expected), np.abs(expected), 0)
        scale = np.max(finite, tuple(range(1, got.ndim)), keepdims=True, initial=0)
        scale = np.max([scale, *(_before(scale, n) for n in range(1, RECENT))], axis=0)
        ratio = np.where(error == 0, 0, error / np.maximum(STEPWISE * scale, K * movement))
    verdict = Verdict(what, got.size, float(np.max(ratio, initial=0)))
    if verdict.error > 1 or np.isnan(ratio).any():
        at = tuple(int(i) for i in np.unravel_index(np.nanargmax(ratio), ratio.shape))
        verdict.failure = (
            f"{what}, step {at[0] + 1}, element {list(at[1:])}: got {got[at]!r}, expected {expected[at]!r}: "
            f"off by {float(error[at]):.3g}, allowed are {STEPWISE:g} of the array's scale, "
            f"or {K:g} x what roundings alone move it"
        )
    return verdict
