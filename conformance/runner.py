"""Which check runs on which row with how many examples, and the run itself. Hypothesis is the engine."""

from __future__ import annotations

import gc
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from itertools import count
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis.internal.conjecture import providers

from conformance import contracts, frameworks
from conformance.checks import (
    defaults,
    functions,
    initial,
    large,
    modules,
    optimizers,
    own_masks,
    precision,
    randomness,
    recording,
    refusals,
    schedulers,
    sizes,
    steps,
)
from conformance.checks.registry import PROFILES, Check, checks_of
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import offers, pytorch, under_test
from conformance.programs import histories, training
from conformance.results.census import UNRECORDED, Note
from conformance.rows import Row
from conformance.strategies.coverage import Coverage, Strategy, fresh

# Hypothesis mixes constants that it reads in modules outside site-packages into what it draws: a run of the wheel would
# draw other cases than one of the checkout, and every number in the source would change them all.
_private: Any = providers  # not every Hypothesis has these
if hasattr(_private, "_get_local_constants") and hasattr(_private, "Constants"):
    _NO_CONSTANTS = _private.Constants()
    _private._get_local_constants = lambda: _NO_CONSTANTS

SEED = 20_260_101
ORDER = (
    modules,
    functions,
    large,
    optimizers,
    sizes,
    schedulers,
    steps,
    initial,
    defaults,
    refusals,
    randomness,
    recording,
    own_masks,
    precision,
    training,
    histories,
)  # of the checks of a component
PROGRAMS = training.Programs(), histories.Histories()


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
    row: Any
    cases: Strategy[Any]


@cache
def jobs(profile: str = "default") -> dict[Task, Job]:
    """Every check of every row it fits, in the order of the table."""
    return {
        Task(row.name, check.name): Job(check, row, check.cases(row, PROFILES[profile]))
        for row in (*contracts.rows(), *PROGRAMS)
        for module in ORDER
        for check in checks_of(module)
        if check.fits(row)
    }


def examples_of(task: Task, profile: str, examples: int | None = None) -> int:
    """How many examples a check gets on a row."""
    if examples is not None:
        return examples
    job = jobs(profile)[task]
    return job.check.examples_on(job.row, PROFILES[profile])


def note_of(task: Task) -> Note:
    """The note of a task before it runs."""
    check = jobs()[task].check
    return Note(task.row, task.check, covers=check.covers, sensitivity=set(check.sensitivity))


def run(task: Task, profile: str = "default", seed: int = SEED, examples: int | None = None) -> Note:
    """Run one check on one row; a difference becomes the note's failure, shrunk."""
    pytorch.require()
    job, note, framework = jobs(profile)[task], note_of(task), under_test()
    foreign = job.check.numpyml_only and framework.NAME != "numpyml"
    note.again = _again(task, profile, seed, examples)
    if foreign or not offers(framework, *job.check.needs):
        note.not_offered = examples_of(task, profile, examples)
        return note

    first: dict[str, tuple[int, set[str] | None, int]] = {}  # finding -> the search that met it first

    def attempt(case: Any, coverage: Coverage) -> None:
        _attempt(job, note, case, coverage)

    def search(number: int, labels: set[str] | None = None, again: int = 0, examine: Examine = attempt) -> None:
        """Run the check on so many cases: any, or those alone that hold one of these labels."""
        _search(job.cases, zlib.crc32(f"{task} {seed}".encode()) + again, number, labels, examine)
        for finding in note.findings:
            first.setdefault(finding, (number, labels, again))

    try:
        search(examples_of(task, profile, examples))
        if examples is None and note.covers:
            top_up(note, search)
        if examples is None:
            measure_sensitivity(note, search)
        if framework.NAME == "numpyml":  # of another framework, nobody adds findings
            for finding in [finding for finding in first if finding.endswith(UNRECORDED)]:
                with suppress(Mismatch, hypothesis.errors.HypothesisException):
                    search(*first[finding], smallest(finding, job, note))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it becomes the note's failure
        note.failure = note.failure or f"{type(error).__name__}: {error}"
    return note


def _attempt(job: Job, note: Note, case: Any, coverage: Coverage) -> None:
    """Run a check on a case, and count what it has reached."""
    framework = under_test()
    try:
        with np.errstate(all="ignore"):  # overflow is what some values are for
            job.check.run(case, note)
    except (Exception, SystemExit) as error:  # an adapter that leaves has not passed
        if isinstance(error, NotImplementedError) and framework.NAME != "numpyml":
            note.not_offered += 1
            return
        note.failure = f"{_described(error)}\n{case!r}"
        raise
    if not note.failure:
        note.examples += 1
        note.reach(coverage.promised, coverage.reached, job.check.ignores)


def draw_more(
    notes: Sequence[Note], rare: Mapping[str, Mapping[str, int]], least: int, profile: str, seed: int
) -> None:
    """Go on with a check of each of these components until what it has rarely drawn was drawn so many times."""
    for row, few in rare.items():
        covering = [n for n in notes if n.row == row and n.covers and n.check != "large" and n.comparisons]
        if not covering:
            continue
        note, missing = covering[-1], {label: least - met for label, met in few.items()}
        task = Task(row, note.check)
        for again in range(1, 6):
            before = dict(note.reached)
            try:
                _search(
                    jobs(profile)[task].cases,
                    zlib.crc32(f"{task} {seed} more".encode()) + again,
                    sum(missing.values()),
                    set(missing),
                    partial(_attempt, jobs(profile)[task], note),
                )
            except hypothesis.errors.Unsatisfiable:
                pass
            except (Exception, SystemExit) as error:  # noqa: BLE001  # it becomes the note's failure
                note.failure = note.failure or f"{type(error).__name__}: {error}"
                break
            gained = {label: note.reached.get(label, 0) - before.get(label, 0) for label in missing}
            missing = {label: n - gained[label] for label, n in missing.items() if n > gained[label]}
            if not missing:
                break


Examine = Callable[[Any, Coverage], None]


def _search(cases: Strategy[Any], seed: int, number: int, labels: set[str] | None, examine: Examine) -> None:
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


def _again(task: Task, profile: str, seed: int, examples: int | None) -> str:
    """The command that runs this component in the same way."""
    framework = under_test()
    values = {
        "--profile": "" if profile == "default" else profile,
        "--seed": "" if seed == SEED else seed,
        "--examples": examples or "",
        "--framework": getattr(framework, "ADAPTER_PATH", ""),
    }
    options = "".join(f" {name} {value}" for name, value in values.items() if value != "")
    return f"python -m conformance --only {task.row}{options}"


def top_up(note: Note, search: Callable[[int, set[str], int], None]) -> None:
    """Go on until every promise was reached, or until several searches in turn reached no new one."""
    fruitless = 0  # Hypothesis gives up where less than about one case in a hundred will do
    for again in count(1):
        missing, before = note.promised - note.reached.keys(), len(note.reached)
        if not missing or fruitless == 5:
            return
        with suppress(hypothesis.errors.Unsatisfiable):
            search(len(missing), missing, again)  # as many as may take one each
        fruitless += len(note.reached) == before


def measure_sensitivity(note: Note, search: Callable[[int, set[str], int], None]) -> None:
    """Go on until errors were planted in well-conditioned elements of each precision, or several searches met none."""
    for again in range(1, 10):
        blind = note.blind
        if not blind or note.not_offered:
            return
        with suppress(hypothesis.errors.Unsatisfiable):
            search(2, blind, again)


def smallest(finding: str, job: Job, note: Note) -> Examine:
    """Stop at a case with this finding, so that the search shrinks it; the note keeps the last of them."""

    def stop(case: Any, coverage: Coverage) -> None:
        alone = Note(note.row, note.check)
        with np.errstate(all="ignore"):
            job.check.run(case, alone)
        if finding in alone.findings:
            note.unrecorded[finding] = repr(case)
            raise Mismatch(finding)

    return stop


def _described(error: BaseException) -> str:
    if isinstance(error, Mismatch):
        return str(error)
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (at {frame.name}, {frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"


def tasks(only: str | None = None) -> list[Task]:
    """The tasks of one component, or all."""
    row = row_of(only) if only is not None else None
    selection = [task for task in jobs() if only is None or task.row == (row.name if row else only)]
    if not selection:
        known = {name.lower(): name for name in names()}
        near = get_close_matches(str(only).lower(), known, 1)
        meant = f"; did you mean {known[near[0]]}?" if near else ";"
        raise Misuse(f"unknown component {only!r}{meant} `python -m conformance list` shows all {len(names())}")
    return selection


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
    _freeze()


def _freeze() -> None:
    """What is imported stays: to look through it for garbage takes a fourteenth of the time of a run."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def run_all(
    work: list[Task], profile: str, seed: int, examples: int | None, workers: int, framework: str | None = None
) -> Iterator[Note]:
    """The notes of all tasks in their order, however many processes share the work."""
    if workers < 2 or len(work) < 8:
        thresholds = gc.get_threshold()
        _freeze()
        try:
            for task in work:
                yield run(task, profile, seed, examples)
        finally:
            gc.unfreeze()
            gc.set_threshold(*thresholds)
        return
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    with ProcessPoolExecutor(workers, context, _use, (framework,)) as pool:
        waiting = [pool.submit(run, task, profile, seed, examples) for task in work]
        for future in waiting:
            yield future.result()
