"""Sensitivity: the smallest planted error that the rule detects, in units in the last place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.comparison.answers import Answer
from conformance.comparison.rule import K, Problem, Reference, arrays_of, breaks, references
from conformance.comparison.ulps import distance

DETECTED = 64.0  # units; an error of this size must be detected where the problem is well conditioned
CONDITIONED, FAITHFUL = 2.0, 4.0  # well conditioned: the largest movement and the largest error of PyTorch, in units
PLANTS = 4  # errors in each array


@dataclass
class Plant:
    """An error planted in one element of a correct answer."""

    answer: Answer
    element: int  # of the flattened array
    smallest: float  # the smallest detected error, in units in the last place
    conditioned: bool  # whether the problem is well conditioned there


def sensitivity(problem: Problem, dtype: np.dtype[Any], seed: int) -> Iterator[Plant]:
    """Plant errors of 1, 2, 4, ... units in the last place in single elements; yield the smallest detected ones."""
    exact = arrays_of(problem, dtype)
    rng = np.random.default_rng([seed, 1])
    for answer, reference in references(problem, exact, dtype, seed, list(problem.torch(exact))).items():
        if not reference.failure:
            yield from _plants(answer, reference, dtype, rng)


def _plants(answer: Answer, reference: Reference, dtype: np.dtype[Any], rng: np.random.Generator) -> Iterator[Plant]:
    with np.errstate(all="ignore"):
        right = reference.value.astype(dtype)
        bounded = np.isfinite(reference.bound) & (reference.smallest <= K * reference.rounding)  # not by the floor
        usable = np.flatnonzero(np.isfinite(right) & bounded & np.isfinite(reference.own))
        elements = rng.permutation(usable)[:PLANTS]
        of, sign = reference.elements(elements), rng.choice([-1, 1], elements.size)
        unit, bound = 2 * of.rounding, of.bound
        smallest = np.full(elements.size, np.inf)
        for power in range(64):
            if np.isfinite(smallest).all():
                break
            planted = (of.value + sign * 2.0**power * unit).astype(dtype)
            detected = breaks(planted, of.value, distance(planted, of.value) / bound)
            smallest = np.where(detected & np.isinf(smallest), 2.0**power, smallest)
        conditioned = (of.movement <= CONDITIONED * unit) & (of.own <= FAITHFUL * unit)
    for element, ulps, well in zip(elements, smallest, conditioned, strict=True):
        yield Plant(answer, int(element), float(ulps), bool(well))
