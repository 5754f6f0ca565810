"""The registry of checks. A decorator declares a check; the runner and the reports read it here and nowhere else.

    @check(rows=ModuleRow, needs=("zero_grad",))
    def accumulation(case: ModuleCase, note: Note) -> None:
        '''Backward adds to the gradients that are there; zero_grad fills them with zeros.'''

A check is a plain function of a drawn case and the note it writes to. Its name is that of the task, its docstring is
its description in reports. It runs on every row of the class ``rows``; a check for several classes of rows has one
decorator for each. The runner runs the modules of checks in its ``ORDER``, and the checks of one module as they are
defined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from conformance.cases.functions import function_cases
from conformance.cases.initial import initial_cases
from conformance.cases.modules import module_cases
from conformance.cases.optimizers import optimizer_cases
from conformance.cases.schedulers import scheduler_cases
from conformance.rows import FunctionRow, InitialRow, ModuleRow, OptimizerRow, SchedulerRow
from conformance.strategies.coverage import Strategy

if TYPE_CHECKING:
    from conformance.results.census import Note

BOTH = ("float32", "float64")
COMPOSED = 0.2  # of the examples, on a row of many parts: each takes as long as dozens, and holds thousands of numbers


@dataclass(frozen=True)
class Profile:
    """How much a run does."""

    examples: float  # of those that a check asks for
    steps: int  # of a long trajectory


PROFILES = {"quick": Profile(0.25, 300), "default": Profile(1.0, 1_100), "thorough": Profile(12.0, 10_000)}

Run = Callable[[Any, "Note"], None]
Cases = Callable[[Any, Profile], Strategy[Any]]
Function = TypeVar("Function", bound=Callable[..., None])


@dataclass(frozen=True)
class Kind:
    """What the checks of one class of rows share."""

    cases: Callable[[Any], Strategy[Any]]
    needs: tuple[str, ...]  # functions of the adapter that every check of these rows calls


KINDS: dict[type[Any], Kind] = {
    ModuleRow: Kind(module_cases, ("make", "forward", "backward", "parameters", "gradients")),
    FunctionRow: Kind(function_cases, ("NAMESPACE", "differentiate")),
    OptimizerRow: Kind(optimizer_cases, ("optimizer", "step")),
    SchedulerRow: Kind(scheduler_cases, ("optimizer", "scheduler", "scheduler_step", "rates")),
    InitialRow: Kind(initial_cases, ()),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check on one class of rows, and everything that the runner and the reports know of it."""

    run: Run
    rows: type[Any]  # the class of the rows that it runs on
    cases: Cases  # its strategy, by row and profile
    where: Callable[[Any], bool] = lambda row: True  # of these rows, which it runs on
    needs: tuple[str, ...] = ()  # functions of the adapter; where one is missing, the check is not offered
    numpyml_only: bool = False  # it calls numpyml itself, through no adapter
    examples: int = 24  # how many the default profile draws
    fewer_composed: bool = True  # a row of many parts gets a fifth of them
    covers: bool = False  # the runner draws on until the check has passed on every value that the strategies promise
    ignores: str = "nothing"  # labels that begin so need not be reached by it
    sensitivity: tuple[str, ...] = ()  # plants errors in these precisions; the runner draws on until each is measured

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def text(self) -> str:
        """Its description, in a line."""
        return " ".join((self.run.__doc__ or "").split())

    def fits(self, row: Any) -> bool:
        """Whether it runs on this row."""
        return isinstance(row, self.rows) and self.where(row)

    def examples_on(self, row: Any, profile: Profile) -> int:
        """How many examples it gets on a row."""
        fewer = self.fewer_composed and getattr(row, "composed", False)
        return max(2, round(self.examples * profile.examples * (COMPOSED if fewer else 1)))


_checks: list[Check] = []


def check(
    *, rows: type[Any], cases: Cases | None = None, needs: tuple[str, ...] = (), **fields: Any
) -> Callable[[Function], Function]:
    """Register a function as a :class:`Check`; the function itself is returned unchanged.

    ``cases`` are by default those of the class of rows, and ``needs`` are added to those of the class.
    """

    def drawn(row: Any, profile: Profile) -> Strategy[Any]:
        return KINDS[rows].cases(row)

    def register(run: Function) -> Function:
        same_name = [known for known in _checks if known.name == run.__name__]
        assert all(known.run is run for known in same_name), f"two checks are called {run.__name__}"
        every = KINDS[rows].needs if rows in KINDS else ()  # whole programs need no adapter
        _checks.append(Check(run=run, rows=rows, cases=cases or drawn, needs=(*every, *needs), **fields))
        return run

    return register


def checks_of(module: Any) -> list[Check]:
    """The checks that a module defines, in their order."""
    return [known for known in _checks if known.run.__module__ == module.__name__]
