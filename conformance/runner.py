"""Which check runs on which row with how many examples, and the run itself. Hypothesis is the engine."""

from __future__ import annotations

import gc
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import count
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis.internal.conjecture import providers

from conformance import contracts, frameworks
from conformance.cases.functions import function_cases, large_function_cases
from conformance.cases.initial import initial_cases
from conformance.cases.modules import large_cases, module_cases
from conformance.cases.optimizers import optimizer_cases
from conformance.cases.schedulers import scheduler_cases
from conformance.checks.modules import FUNCTION_CHECKS, MODULE_CHECKS, function_large, large
from conformance.checks.optimizers import OPTIMIZER_CHECKS
from conformance.checks.randomness import INITIAL_CHECKS, RANDOM_CHECKS
from conformance.checks.refusals import FUNCTION_REJECTIONS, INITIAL_REJECTIONS, OPTIMIZER_REJECTIONS, REJECTION_CHECKS
from conformance.checks.schedulers import SCHEDULER_CHECKS
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import offers, pytorch, under_test
from conformance.programs.training import PROGRAM_CHECKS, programs
from conformance.results.census import Note
from conformance.rows import FunctionRow, InitialRow, OptimizerRow, Row, SchedulerRow
from conformance.strategies import coverage as reach
from conformance.strategies.coverage import Strategy

# Hypothesis mixes constants that it reads in modules outside site-packages into what it draws: a run of the wheel would
# draw other cases than one of the checkout, and every number in the source would change them all.
_private: Any = providers  # not every Hypothesis has these
if hasattr(_private, "_get_local_constants") and hasattr(_private, "Constants"):
    _NO_CONSTANTS = _private.Constants()
    _private._get_local_constants = lambda: _NO_CONSTANTS

SEED = 20_260_101
PROFILES = {"quick": 0.25, "default": 1.0, "thorough": 12.0}  # of the examples below
LONG = {"quick": 300, "default": 1_000, "thorough": 10_000}  # steps of a long trajectory
EXAMPLES = {
    "long_trajectory": 5,
    "initial_values": 4,
    "initial_distribution": 16,
    "mask_statistics": 24,
    "rejections": 16,
    "function_rejections": 8,
    "optimizer_rejections": 8,
    "initial_rejections": 8,
    "buffers": 16,
    "large": 2,
    "function_large": 2,
    "modes": 12,
    "trajectory": 64,
    "lockstep_float64": 24,
    "lockstep_float32": 20,
    "training_float64": 8,
    "training_float32": 6,
    "state_dict": 24,
    "restart": 24,
    "schedule": 48,
    "schedule_restart": 16,
    "scheduler_rejections": 8,
    "gradients_zeroed": 16,
    "optimizer_state_dict": 16,
    "function_resolution": 12,
    "resolution": 16,
    "optimizer_resolution": 8,
    "frozen": 32,
}
USUAL = 24
CENTRAL = {"output": 80, "input_gradients": 80, "parameter_gradients": 56}
COMPOSED = 0.2  # of these, on a row of many parts: each takes as long as dozens, and holds thousands of numbers
PLAIN = ("mask_statistics",)  # but for these: of the few, none might drop anything
PROGRAMS = "programs"
OWN = (*INITIAL_CHECKS, *INITIAL_REJECTIONS, *PROGRAM_CHECKS)  # they speak to numpyml itself, through no adapter
Check = Callable[[Any, Note], None]


@dataclass(frozen=True)
class Task:
    """One check on one row."""

    row: str
    check: str

    def __str__(self) -> str:
        return f"{self.row}-{self.check}"


@dataclass(frozen=True)
class Job:
    """A task, and all that it needs."""

    check: Check
    cases: Strategy[Any]


def _checks_of(row: Row, profile: str) -> list[tuple[Check, Strategy[Any]]]:
    checks: list[Check]
    many: list[tuple[Check, Strategy[Any]]]
    if isinstance(row, FunctionRow):
        many = [(function_large, large_function_cases(row))] if row.large else []
        return [*((check, function_cases(row)) for check in (*FUNCTION_CHECKS, *FUNCTION_REJECTIONS)), *many]
    if isinstance(row, InitialRow):
        return [(check, initial_cases(row)) for check in (*INITIAL_CHECKS, *INITIAL_REJECTIONS)]
    if isinstance(row, OptimizerRow):
        long = {"long_trajectory": LONG[profile]}
        checks = [*OPTIMIZER_CHECKS, *OPTIMIZER_REJECTIONS]
        return [(check, optimizer_cases(row, long.get(check.__name__, 0))) for check in checks]
    if isinstance(row, SchedulerRow):
        return [(check, scheduler_cases(row)) for check in SCHEDULER_CHECKS]
    plain = not row.container  # bad options of the parts inside are the parts' own
    many = [(large, large_cases(row))] if row.large else []
    checks = [*MODULE_CHECKS, *(REJECTION_CHECKS if plain else []), *(RANDOM_CHECKS if plain and not row.loss else [])]
    return [*((check, module_cases(row)) for check in checks), *many]


@cache
def jobs(profile: str = "default") -> dict[Task, Job]:
    """Every check of every row it fits, in the order of the table."""
    found = {
        Task(row.name, check.__name__): Job(check, cases)
        for row in contracts.rows()
        for check, cases in _checks_of(row, profile)
    }
    return found | {Task(PROGRAMS, check.__name__): Job(check, programs()) for check in PROGRAM_CHECKS}


def examples_of(task: Task, profile: str, examples: int | None = None) -> int:
    """How many examples a check gets on a row."""
    if examples is not None:
        return examples
    usual = CENTRAL.get(task.check) or EXAMPLES.get(task.check, USUAL)
    composed = task.check not in PLAIN and any(row.name == task.row and row.composed for row in contracts.module_rows())
    return max(2, round(usual * PROFILES[profile] * (COMPOSED if composed else 1)))


def run(task: Task, profile: str = "default", seed: int = SEED, examples: int | None = None) -> Note:
    """Run one check on one row; a difference becomes the note's failure, shrunk."""
    pytorch.require()
    job, note, framework = jobs(profile)[task], Note(task.row, task.check), under_test()
    foreign = job.check in OWN and framework.NAME != "numpyml"
    note.again = _again(task, profile, seed, examples)
    if foreign or not offers(framework, *vars(job.check).get("needs", ())):
        note.not_offered = examples_of(task, profile, examples)
        return note

    def search(number: int, wanted: set[str] | None = None, again: int = 0) -> None:
        """Run the check on so many cases: any, or those alone that hold something wanted."""

        @hypothesis.seed(zlib.crc32(f"{task} {seed}".encode()) + again)
        @hypothesis.settings(
            max_examples=number, database=None, deadline=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False, print_blob=False,
        )  # fmt: skip
        @hypothesis.given(reach.fresh(job.cases, wanted or ()))
        def example(case: Any) -> None:
            found = case.coverage()
            hypothesis.assume(wanted is None or found.reached & wanted)
            try:
                with np.errstate(all="ignore"):  # overflow is what some values are for
                    job.check(case, note)
            except (Exception, SystemExit) as error:  # an adapter that leaves has not passed
                if isinstance(error, NotImplementedError) and framework.NAME != "numpyml":
                    note.not_offered += 1
                    return
                note.failure = f"{_told(error)}\n{case!r}"
                raise
            if not note.failure:
                note.examples += 1
                note.promised |= found.promised
                note.reached |= found.reached

        example()

    try:
        search(examples_of(task, profile, examples))
        if examples is None and task.check in reach.REACHING:
            top_up(note, search)
        if examples is None and task.check in reach.SHARP:
            sharpen(note, search)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it becomes the note's failure
        note.failure = note.failure or f"{type(error).__name__}: {error}"
    return note


def _again(task: Task, profile: str, seed: int, examples: int | None) -> str:
    """The command that runs this component in the same way."""
    framework = under_test()
    given = {
        "--profile": "" if profile == "default" else profile,
        "--seed": "" if seed == SEED else seed,
        "--examples": examples or "",
        "--framework": getattr(framework, "GIVEN", ""),
    }
    options = "".join(f" {name} {value}" for name, value in given.items() if value != "")
    return f"python -m conformance --only {task.row}{options}"


def top_up(note: Note, search: Callable[[int, set[str], int], None]) -> None:
    """Go on until nothing promised is left that was not reached, or often enough nothing was found."""
    fruitless = 0  # Hypothesis gives up where less than about one case in a hundred will do
    for again in count(1):
        missing, before = note.promised - note.reached, len(note.reached)
        if not missing or fruitless == 5:
            return
        with suppress(hypothesis.errors.Unsatisfiable):
            search(len(missing), missing, again)  # as many as may take one each
        fruitless += len(note.reached) == before


def sharpen(note: Note, search: Callable[[int, set[str], int], None]) -> None:
    """Go on until errors were planted in well-conditioned elements of either precision, or often enough none was."""
    for again in range(1, 10):
        blind = note.blind
        if not blind or note.not_offered:
            return
        with suppress(hypothesis.errors.Unsatisfiable):
            search(2, blind, again)


def _told(error: BaseException) -> str:
    if isinstance(error, Mismatch):
        return str(error)
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (at {place.name}, {place.filename.rsplit('/', 1)[-1]}:{place.lineno})"


def tasks(only: str | None = None) -> list[Task]:
    """The tasks of one component, or all."""
    row = row_of(only) if only is not None else None
    found = [task for task in jobs() if only is None or task.row == (row.name if row else only)]
    if not found:
        known = {name.lower(): name for name in names()}
        near = get_close_matches(str(only).lower(), known, 1)
        meant = f"; did you mean {known[near[0]]}?" if near else ";"
        raise Misuse(f"unknown component {only!r}{meant} `python -m conformance list` shows all {len(names())}")
    return found


def names() -> list[str]:
    """Every component."""
    return list(dict.fromkeys(task.row for task in jobs()))


def row_of(name: str) -> Row | None:
    """The contract row of a component, by our name or PyTorch's (nn.Linear, Linear); whole programs have none."""
    rows = contracts.rows()
    known = next((row for row in rows if name in (row.name, row.torch)), None)
    return known or next((row for row in rows if isinstance(row.torch, str) and row.torch.endswith(f".{name}")), None)


def planned(only: Sequence[str] | None, profile: str, examples: int | None) -> list[Task]:
    """The tasks of a command line, or a Misuse that says what is wrong with it."""
    if profile not in PROFILES:
        raise Misuse(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if examples is not None and examples < 1:
        raise Misuse(f"--examples expects a number of 1 or more, got {examples}")
    return list(dict.fromkeys(task for name in only for task in tasks(name))) if only else tasks()


def ready() -> None:
    """Raise a Misuse with the remedy unless the supported PyTorch is there, and numbers wider than float64."""
    pytorch.require()
    if np.finfo(np.longdouble).nmant < 63:
        raise Misuse(
            "conformance holds float64 to wider numbers, and NumPy's longdouble is no wider on this machine; "
            "run it on x86-64 with Linux or macOS, or in a container of that"
        )


def _use(framework: str | None) -> None:
    """What every worker begins with: a process that was spawned has forgotten it."""
    frameworks.use(frameworks.load(framework))
    gc.freeze()  # what is imported stays; to look through it for garbage takes a worker a fourteenth of its time
    gc.set_threshold(100_000, 20, 50)


def run_all(
    wanted: list[Task], profile: str, seed: int, examples: int | None, workers: int, framework: str | None = None
) -> Iterator[Note]:
    """The notes of all tasks in their order, however many processes share the work."""
    if workers < 2 or len(wanted) < 8:
        for task in wanted:
            yield run(task, profile, seed, examples)
        return
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    with ProcessPoolExecutor(workers, context, _use, (framework,)) as pool:
        waiting = [pool.submit(run, task, profile, seed, examples) for task in wanted]
        for future in waiting:
            yield future.result()
