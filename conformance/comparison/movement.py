"""Movement: the change of a reference when every input number changes by one unit in the last place, at worst.

    movement of y  =  Σ |∂y/∂x| ulp(x)

The worst case of a sum of n numbers is √n times the effect of random signs, and plain addition comes near it. So
movement is the larger of two estimates:

    units    the largest change over several draws in which every number moves by one unit, up or down
    swings   the median of |Σ cᵢ ∂y/∂xᵢ ulp(xᵢ)| over draws of cᵢ from the standard Cauchy distribution. The sum is
             distributed as c Σ |∂y/∂xᵢ| ulp(xᵢ), and the median of |c| is 1 (Indyk 2006, Stable distributions,
             J. ACM 53).

If all unit draws change an element by the same amount, it depends on one number, and the first estimate is exact. If
none changes it, two numbers may have moved together each time, and swings are drawn. A long run has the roundings of
its own steps as inputs, and only unit draws.

Every draw only widens the bound, so the estimate has stages, and the rule uses as few as it needs. The last stage has
more unit draws: two numbers that nearly cancel may have done so in all earlier ones.

The movement of a composite component is at least the effect of one more rounding of every intermediate result of
PyTorch in float64, forward and backward (the largest of several draws): two intermediate results may cancel at all
inputs.
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
Moves = dict[Answer, Array]  # the change of each element
Stage = tuple[bool, Moves]  # whether the estimate is final, and the estimate

DRAWS = 8  # of units, and of intermediate roundings
FEW = 2  # draws of the first stage, which may suffice
FURTHER = 8  # draws of the last stage: two numbers that nearly cancel do so in all eight with probability 1/256
SWINGS = 5  # draws of swings; odd, for the median
ALONE = 0.45  # an element that depends on one number moves as far up as down, or, at a power of two, half as far

COUPLED = frozenset({"ties", "signed zeros"})  # kinds of values whose equal numbers move together
ROUNDINGS = "roundings"  # the kind of inputs that stand for the roundings of a long run, in units


def units(source: Input, exact: Array, rng: np.random.Generator) -> Array:
    """Every number moved by one unit in its last place, up or down; zeros, ∞ and NaN stay.

    Equal numbers of a coupled kind move together, so that ties stay ties. Of ROUNDINGS, ±1 for each number. Numbers
    that are exact by meaning stay.
    """
    if source.exact:
        return exact
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
    """Every number but exact ones moved by c units in its last place, c standard Cauchy, at most by half the number."""
    if source.exact:
        return exact.astype(carrier)
    c = _draw(source, exact, rng.standard_cauchy)
    with np.errstate(all="ignore"):
        x = exact.astype(carrier)
        half = np.abs(x) / 2
        step = np.clip(np.sign(x) * c * ulp(exact, exact.dtype).astype(carrier), -half, half)
        return _limited(np.where(np.isfinite(x), x + step, x), source)


def _draw(source: Input, exact: Array, random: Callable[[Any], Array]) -> Array:
    """A random number for each element; the same for equal elements of a coupled kind."""
    if source.kind not in COUPLED:
        return random(exact.shape)
    distinct, index = np.unique(np.abs(exact), return_inverse=True)
    return random(distinct.shape)[index].reshape(exact.shape)


def _median(xs: Sequence[Array]) -> Array:
    """The elementwise median of an odd number of arrays."""
    middle = len(xs) // 2
    return np.partition(np.stack(xs, -1), middle, -1)[..., middle]


def _limited(x: Array, source: Input) -> Array:
    """The numbers clipped to the limits of their array."""
    if source.low == -np.inf and source.high == np.inf:
        return x
    return np.clip(x, x.dtype.type(source.low), x.dtype.type(source.high))


def estimate(
    problem: Problem, exact: Mapping[str, Array], carrier: Any, seed: int, at: Run, value: Mapping[Answer, Array]
) -> Iterator[Stage]:
    """Yield the movement of each element, estimated from more draws at each stage."""

    def distances(draw: int, move: Callable[..., Array]) -> Moves:
        inputs, rng = {}, np.random.default_rng([seed, draw])
        for name, x in exact.items():
            source = problem.inputs[name]
            # Equal numbers of a coupled kind move together in all arrays.
            coupled = source.kind in COUPLED
            inputs[name] = move(source, x, np.random.default_rng([seed, draw, 1]) if coupled else rng)
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
    """The stages; of a composite, the movement is at least the effect of intermediate roundings on ``still``.

    ``still`` is PyTorch's answers in float64. The first stage has few draws of roundings, the final ones have all.
    """
    if problem.rounded is None:
        yield from stages
        return
    rounded = problem.rounded
    inputs = {name: x.astype(np.float64) for name, x in exact.items()}
    least: Moves = {}
    draws = 0

    def widened(movement: Moves, most: int) -> Moves:
        """The movement, at least the effect of this number of draws of roundings."""
        nonlocal draws
        for draw in range(draws, most):
            answers = rounded(inputs, dtype, seed + draw)
            moves = {name: distance(answers[name], still[name]) for name in movement}
            least.update({name: np.maximum(x, least[name]) if draw else x for name, x in moves.items()})
        draws = max(draws, most)
        return {name: np.maximum(moves, least[name]) for name, moves in movement.items()}

    for final, movement in stages:
        if not draws:
            yield False, movement
        if draws < DRAWS:
            yield False, widened(movement, FEW)
        if final:
            yield True, widened(movement, DRAWS)
