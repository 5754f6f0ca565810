"""The search for failures of different kinds of one check. Hypothesis is the engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis.internal.conjecture import providers

from conformance import frameworks
from conformance.checks.registry import Check
from conformance.errors import Mismatch
from conformance.frameworks import under_test
from conformance.results.census import Failure, Note, Trial
from conformance.strategies.coverage import Coverage, Strategy, fresh

# Hypothesis mixes constants that it reads in modules outside site-packages into what it draws: a run of the wheel would
# draw other cases than one of the checkout, and every number in the source would change them all.
_private: Any = providers  # not every Hypothesis has these
if hasattr(_private, "_get_local_constants") and hasattr(_private, "Constants"):
    _NO_CONSTANTS = _private.Constants()
    _private._get_local_constants = lambda: _NO_CONSTANTS

Examine = Callable[[Any, Coverage], None]


@dataclass(frozen=True)
class Job:
    """A check on a row, and all that it needs."""

    check: Check
    row: Any
    cases: Strategy[Any]


def search_cases(cases: Strategy[Any], seed: int, number: int, labels: set[str] | None, examine: Examine) -> None:
    """Draw so many cases, any or those alone that hold one of these labels; the first that raises is shrunk."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=number, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False, print_blob=False,
    )  # fmt: skip
    @hypothesis.given(fresh(cases, labels or ()))
    def example(case: Any) -> None:
        coverage = case.coverage()
        hypothesis.assume(labels is None or coverage.reached & labels)
        examine(case, coverage)

    example()


AGAIN = 1_000_003  # between the seeds of one search for differences and the next


@dataclass(frozen=True)
class Difference:
    """A failure, and by what others of its kind are known: the words of its message, the precision, and the labels that
    its smallest case reaches and the simplest case of the row does not."""

    failure: Failure
    words: str
    dtype: str
    labels: frozenset[str]

    def explains(self, words: str, dtype: str, labels: AbstractSet[str]) -> bool:
        """Whether a difference in these words, in a case that reaches these labels, is of this kind."""
        return (self.words, self.dtype) == (words, dtype) and self.labels <= labels


class Differences:
    """The search for failures of different kinds: what is known is passed over, and what is new is shrunk."""

    def __init__(self, job: Job, note: Note) -> None:
        self.job, self.note = job, note
        self.known: list[Difference] = []
        self.latest: Difference | None = None  # the smallest case so far of the failure that is being shrunk
        self.simplest: frozenset[str] | None = None

    def attempt(self, case: Any, coverage: Coverage) -> None:
        """Run the check on a case; only what passes is counted, so that shrinking is not."""
        dtype, labels = str(getattr(case, "dtype", "")), frozenset(coverage.reached)
        trial = Trial(self.note, lambda message: self.explained(message, dtype, labels))
        try:
            with np.errstate(all="ignore"):  # overflow is what some values are for
                self.job.check.run(case, trial)
        except (Exception, SystemExit) as error:  # an adapter that leaves has not passed
            if isinstance(error, NotImplementedError) and under_test().NAME != "numpyml":
                if self.latest is None:
                    self.note.not_offered += 1
                    self.note.lacking += isinstance(error, frameworks.Lacking)
                return
            message = _described(error)
            other = self.latest is not None and (self.latest.words, self.latest.dtype) != (_words(message), dtype)
            if other or self.explained(message, dtype, labels):
                return
            failure = Failure(f"{message}\n{case!r}", _error(error))
            self.latest = Difference(failure, _words(message), dtype, labels)
            raise
        if self.latest is None:
            self.note.add(trial)
            self.note.reach(coverage.promised, coverage.reached, self.job.check.ignores)

    def explained(self, message: str, dtype: str, labels: AbstractSet[str]) -> bool:
        """Whether a failure is of a kind that is known already."""
        return any(known.explains(_words(message), dtype, labels) for known in self.known)

    def record(self, error: BaseException) -> None:
        """Add the failure that a search ended with."""
        if self.latest is None:
            text = f"{type(error).__name__}: {error}"
            self.latest = Difference(Failure(text), _words(text), "", frozenset())
        self.known.append(replace(self.latest, labels=self.latest.labels - self._simplest()))
        self.note.failures.append(self.latest.failure)
        self.latest = None

    def further(self, number: int, seed: int) -> bool:
        """Search for a failure of another kind; whether there is one."""
        try:
            search_cases(self.job.cases, seed, number, None, self.attempt)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as in run
            found = self.latest is not None
            if found:
                self.record(error)
            return found
        return False

    def _simplest(self) -> frozenset[str]:
        """The labels of the simplest case of the row."""
        if self.simplest is None:
            self.simplest = frozenset()

            def stop(case: Any, coverage: Coverage) -> None:
                self.simplest = frozenset(coverage.reached)
                raise Mismatch("a simpler case")

            with suppress(Mismatch, hypothesis.errors.HypothesisException):
                search_cases(self.job.cases, 0, 1, None, stop)
        return self.simplest


def _words(message: str) -> str:
    """What a failure is about: the first line of its message without numbers."""
    line = next(iter(message.splitlines()), "")
    return re.sub(r"\d[\d.,]*(e[-+]\d+)?", "#", re.sub(r"\[[^]]*\]", "", line)).replace("-#", "#")


def _error(error: BaseException) -> float:
    """How far off a failure is, in units of the bound."""
    units = error.error if isinstance(error, Mismatch) else np.inf
    return np.inf if np.isnan(units) else units


def _described(error: BaseException) -> str:
    if isinstance(error, Mismatch):
        return str(error)
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (at {frame.name}, {frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
