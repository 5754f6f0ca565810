"""How far a reference moves when every number that goes in moves by one unit in the last place, in the worst case.

    movement of y  =  Σ |∂y/∂x| ulp(x)

The worst case of a sum of n numbers is √n times what random signs show, and plain addition comes near it. So movement
is the larger of two estimates: the largest of several draws in which every number moves by one unit, and the median
of |Σ cᵢ ∂y/∂xᵢ ulp(xᵢ)| over draws with cᵢ from the standard Cauchy distribution. Such a sum is distributed as one c
times Σ |∂y/∂xᵢ| ulp(xᵢ), and the median of |c| is 1 (Indyk 2006, Stable distributions, J. ACM 53). Where every draw of
the first kind moves an element by as much, it is taken to depend on one number alone, of which the first estimate is
exact; where none moves it, two numbers may have moved the same way each time. A long run takes in the roundings of its
own steps instead, and moves by units alone.

Every draw only widens the bound, so the estimate comes in stages, of which the rule asks for as many as it needs. The
last stage has more draws of the first kind: two numbers that nearly cancel may have done so in each of those before.

Where a component is composed of others, the movement is at least what one more rounding of every intermediate result,
forwards and backwards, does to PyTorch in float64 (the largest of several draws): two intermediate results may cancel
though no move of the inputs parts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.comparison.answers import Answer
from conformance.comparison.ulps import distance, ulp
from numpyml.typing import Array

if TYPE_CHECKING:
    from conformance.comparison.rule import Input, Problem

Run = Callable[[Mapping[str, Array]], Mapping[Answer, Array]]
Moves = dict[Answer, Array]  # how far each element moves
Stage = tuple[bool, Moves]  # whether the estimate is settled

DRAWS = 8  # of moves by one unit, and of intermediate roundings
FEW = 2  # draws of the first stage, which may show already that the rule is kept
FURTHER = 8  # draws of the last stage: in eight, two numbers that nearly cancel do so each time in one case of 256
SWINGS = 5  # of moves by c units; odd, for the median
ALONE = 0.45  # an element that depends on one number moves as far up as down, or, at a power of two, half as far

COUPLED = frozenset({"ties", "signed zeros"})  # kinds of values of which equal numbers move together
ROUNDINGS = "roundings"  # the kind of what a long run rounds in its steps: no number moves, or each by one unit


def units(source: Input, exact: Array, rng: np.random.Generator) -> Array:
    """Every number one unit in its last place up or down; zeros, ∞ and NaN stay.

    Equal numbers move together where ties are what the values are for: a tie stays a tie. Where the numbers say
    which way to round, it is any way.
    """
    if source.kind == ROUNDINGS:
        return 2 * rng.integers(0, 2, exact.shape).astype(exact.dtype) - 1
    away = _draw(source, exact, lambda shape: rng.integers(0, 2, shape))
    with np.errstate(all="ignore"):
        fixed = (exact == 0) | ~np.isfinite(exact)
        towards = np.where(away, np.copysign(exact.dtype.type(np.inf), exact), exact.dtype.type(0))
        stepped = np.nextafter(exact, towards)
    if fixed.any():
        stepped = np.where(fixed, exact, stepped)
    return _limited(stepped, source)


def swings(source: Input, exact: Array, rng: np.random.Generator, carrier: np.dtype[Any]) -> Array:
    """Every number moved by c units in its last place, c from the standard Cauchy distribution, or by half its size."""
    c = _draw(source, exact, rng.standard_cauchy)
    with np.errstate(all="ignore"):
        x = exact.astype(carrier)
        half = np.abs(x) / 2
        step = np.clip(np.sign(x) * c * ulp(exact, exact.dtype).astype(carrier), -half, half)
        return _limited(np.where(np.isfinite(x), x + step, x), source)


def _draw(source: Input, exact: Array, random: Callable[[Any], Array]) -> Array:
    """A random number for each element, the same for those that are coupled."""
    if source.kind not in COUPLED:
        return random(exact.shape)
    distinct, index = np.unique(np.abs(exact), return_inverse=True)
    return random(distinct.shape)[index].reshape(exact.shape)


def _median(xs: Sequence[Array]) -> Array:
    """The median of an odd number of arrays, element by element."""
    middle = len(xs) // 2
    return np.partition(np.stack(xs, -1), middle, -1)[..., middle]


def _limited(x: Array, source: Input) -> Array:
    """The numbers between the limits of their array."""
    if source.low == -np.inf and source.high == np.inf:
        return x
    return np.clip(x, x.dtype.type(source.low), x.dtype.type(source.high))


def estimate(
    problem: Problem, exact: Mapping[str, Array], carrier: Any, seed: int, at: Run, value: Mapping[Answer, Array]
) -> Iterator[Stage]:
    """How far each element moves, by a few draws, and by more."""

    def distances(draw: int, move: Callable[..., Array]) -> Moves:
        inputs, alone = {}, np.random.default_rng([seed, draw])
        for name, x in exact.items():
            source = problem.inputs[name]
            # Where ties are what the values are for, equal numbers move together, in whichever array they are.
            together = source.kind in COUPLED
            inputs[name] = move(source, x, np.random.default_rng([seed, draw, 1]) if together else alone)
        values = at(inputs)
        return {name: distance(values[name], x) for name, x in value.items()}

    def extremes(draws: Sequence[Moves], of: Callable[[Array, Array], Array] = np.maximum) -> Moves:
        return {name: reduce(of, [moves[name] for moves in draws]) for name in value}

    by_units = [distances(draw, units) for draw in range(1, FEW + 1)]
    yield False, extremes(by_units)
    by_units += [distances(draw, units) for draw in range(FEW + 1, DRAWS + 1)]
    long = any(source.kind == ROUNDINGS for source in problem.inputs.values())
    movement = extremes(by_units)
    yield long, movement
    if long:
        return
    least = extremes(by_units, np.minimum)
    with np.errstate(all="ignore"):
        several = {name: (least[name] < ALONE * moves) | (moves == 0) for name, moves in movement.items()}
    start = DRAWS + 1
    if any(elements.any() for elements in several.values()):
        swing = partial(swings, carrier=carrier)
        by_swings = [distances(draw, swing) for draw in range(start, start + SWINGS)]
        medians = {name: _median([moves[name] for moves in by_swings]) for name in value}
        movement = {
            name: np.where(several[name] & np.isfinite(medians[name]), np.maximum(moves, medians[name]), moves)
            for name, moves in movement.items()
        }
    yield True, movement
    start += SWINGS
    yield True, extremes([movement, *(distances(draw, units) for draw in range(start, start + FURTHER))])


def with_roundings(
    problem: Problem, exact: Mapping[str, Array], dtype: np.dtype[Any], seed: int, still: Mapping[Answer, Array],
    stages: Iterable[Stage],
) -> Iterator[Stage]:  # fmt: skip
    """The stages, in which what is composed moves at least as far as intermediate roundings move it from ``still``,
    PyTorch's answers in float64: after the first by a few draws, once settled by all."""
    if problem.rounded is None:
        yield from stages
        return
    rounded = problem.rounded
    inputs = {name: x.astype(np.float64) for name, x in exact.items()}
    least: Moves = {}
    draws = 0

    def widened(movement: Moves, most: int) -> Moves:
        """The movement, at least what so many draws of the roundings do."""
        nonlocal draws
        for draw in range(draws, most):
            answers = rounded(inputs, dtype, seed + draw)
            moves = {name: distance(answers[name], still[name]) for name in movement}
            least.update({name: np.maximum(x, least[name]) if draw else x for name, x in moves.items()})
        draws = max(draws, most)
        return {name: np.maximum(moves, least[name]) for name, moves in movement.items()}

    for settled, movement in stages:
        if not draws:
            yield False, movement
        if draws < DRAWS:
            yield False, widened(movement, FEW)
        if settled:
            yield True, widened(movement, DRAWS)
