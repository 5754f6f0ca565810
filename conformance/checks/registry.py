"""The registry of checks. A decorator says all there is to say of a check; the runner asks here and nowhere else.

    @check(rows=ModuleRow, needs=(*ESSENTIAL, "zero_grad"))
    def accumulation(case: ModuleCase, note: Note) -> None:
        '''Backward adds to the gradients that are there; zero_grad fills them with zeros.'''

A check is a plain function of a drawn case and the note it writes to. Its name is that of the task, its docstring is
what reports say of it. It runs on every row of the class ``rows``. The runner runs the modules of checks in its
``ORDER``, and the checks of one module as they are defined.
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

ESSENTIAL = ("make", "forward", "backward", "parameters", "gradients")  # what an adapter of modules defines
BOTH = ("float32", "float64")
COMPOSED = 0.2  # of the examples, on a row of many parts: each takes as long as dozens, and holds thousands of numbers


@dataclass(frozen=True)
class Profile:
    """How much a run does."""

    examples: float  # of those that a check asks for
    steps: int  # of a long trajectory


PROFILES = {"quick": Profile(0.25, 300), "default": Profile(1.0, 1_000), "thorough": Profile(12.0, 10_000)}

Run = Callable[[Any, "Note"], None]
Cases = Callable[[Any, Profile], Strategy[Any]]
Function = TypeVar("Function", bound=Callable[..., None])

# What a check draws from a row, where it says nothing else.
DRAWN: dict[type[Any], Callable[[Any], Strategy[Any]]] = {
    ModuleRow: module_cases,
    FunctionRow: function_cases,
    OptimizerRow: optimizer_cases,
    SchedulerRow: scheduler_cases,
    InitialRow: initial_cases,
}


def _drawn(row: Any, profile: Profile) -> Strategy[Any]:
    return next(DRAWN[kind] for kind in type(row).__mro__ if kind in DRAWN)(row)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check and everything that the runner and the reports know of it."""

    run: Run
    rows: type[Any]  # the class of the rows that it runs on
    cases: Cases = _drawn  # its strategy, by row and profile; by default that of the rows
    where: Callable[[Any], bool] = lambda row: True  # of these rows, which it runs on
    needs: tuple[str, ...] = ()  # what it calls of an adapter; where that is missing, the check is not offered
    numpyml_only: bool = False  # it speaks to numpyml itself, through no adapter
    examples: int = 24  # how many the default profile draws
    fewer_composed: bool = True  # a row of many parts gets a fifth of them
    covers: bool = False  # the runner draws on until the check has passed on every value that the strategies promise
    sensitivity: tuple[
        str, ...
    ] = ()  # precisions in which it plants errors; the runner draws on until each is measured

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def text(self) -> str:
        """What it holds a component to, in a line."""
        return " ".join((self.run.__doc__ or "").split())

    def fits(self, row: Any) -> bool:
        """Whether it runs on this row."""
        return isinstance(row, self.rows) and self.where(row)

    def examples_on(self, row: Any, profile: Profile) -> int:
        """How many examples it gets on a row."""
        fewer = self.fewer_composed and getattr(row, "composed", False)
        return max(2, round(self.examples * profile.examples * (COMPOSED if fewer else 1)))


_checks: dict[str, Check] = {}


def check(**fields: Any) -> Callable[[Function], Function]:
    """Register a function as a :class:`Check` with these fields; the function itself stays as it is."""

    def registered(run: Function) -> Function:
        known = _checks.setdefault(run.__name__, Check(run=run, **fields))
        assert known.run is run, f"two checks are called {run.__name__}"
        return run

    return registered


def checks_of(module: Any) -> list[Check]:
    """The checks that a module defines, in their order."""
    return [known for known in _checks.values() if known.run.__module__ == module.__name__]
