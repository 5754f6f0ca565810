"""Which check runs on which row with how many examples, and the run itself."""

from __future__ import annotations

import gc
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import count
from typing import Any

import hypothesis
import numpy as np

from conformance import contracts, frameworks
from conformance.cases import offering
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
from conformance.checks.registry import PROFILES, checks_of
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import offers, pytorch, under_test
from conformance.programs import histories, training
from conformance.results import floors
from conformance.results.census import UNRECORDED, Census, Note
from conformance.rows import ModuleRow, Row
from conformance.search import AGAIN, Differences, Examine, Job, search_cases
from conformance.strategies.coverage import Coverage
from conformance.strategies.offered import within

SEED = 20_260_101
KINDS = 4  # failures of different kinds that a run looks for in one check
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


def note_of(task: Task, profile: str = "default") -> Note:
    """The note of a task before it runs."""
    check = jobs(profile)[task].check
    return Note(task.row, task.check, covers=check.covers, sensitivity=set(check.sensitivity))


def run(task: Task, profile: str = "default", seed: int = SEED, examples: int | None = None, kinds: int = 1) -> Note:
    """Run one check on one row; differences, up to so many of different kinds, become the note's failures, shrunk."""
    pytorch.require()
    job, note, framework = jobs(profile)[task], note_of(task, profile), under_test()
    foreign = job.check.numpyml_only and framework.NAME != "numpyml"
    note.again = _again(task, profile, seed, examples)
    number, offer = examples_of(task, profile, examples), offering.offer_of(job.row)
    note.offered = offering.names(job.row)
    if foreign or offer is None or not offers(framework, *job.check.needs):
        if floors.applies(task.row, task.check):
            note.not_offered = note.lacking = number
        return note
    note.sensitivity &= set(offer.dtypes)
    frameworks.made.clear()
    with within(offer, offering.has_part):
        _run(job, note, number, zlib.crc32(f"{task} {seed}".encode()), examples is None, kinds)
    note.made = job.row.torch in frameworks.made if isinstance(job.row, ModuleRow) else False
    return note


def _run(job: Job, note: Note, number: int, start: int, in_full: bool, kinds: int) -> None:
    """Search for differences in so many examples, and in more if the check is to run in full."""
    own = under_test().NAME == "numpyml"
    first: dict[str, tuple[int, set[str] | None, int]] = {}  # finding -> the search that met it first
    differences = Differences(job, note)

    def search(
        number: int, labels: set[str] | None = None, again: int = 0, examine: Examine = differences.attempt
    ) -> None:
        """Run the check on so many cases: any, or those alone that hold one of these labels."""
        search_cases(job.cases, start + again, number, labels, examine)
        for finding in note.findings:
            first.setdefault(finding, (number, labels, again))

    try:
        search(number)
        if in_full and note.covers:
            top_up(note, search, PATIENCE if own else 2)
        if in_full:
            measure_sensitivity(note, search)
        if own:  # of another framework, nobody adds findings
            for finding in [finding for finding in first if finding.endswith(UNRECORDED)]:
                with suppress(Mismatch, hypothesis.errors.HypothesisException):
                    search(*first[finding], smallest(finding, job, note))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it becomes the note's failure
        if note.offered and isinstance(error, hypothesis.errors.Unsatisfiable):
            note.not_offered = note.lacking = number  # the check has no case inside the offer
            return
        differences.record(error)
        for again in range(1, kinds):
            if not differences.further(number, start + AGAIN * again):
                break


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
        job = jobs(profile)[task]
        differences = Differences(job, note)
        for again in range(1, 6):
            before, start = dict(note.reached), zlib.crc32(f"{task} {seed} more".encode()) + again
            try:
                search_cases(job.cases, start, sum(missing.values()), set(missing), differences.attempt)
            except hypothesis.errors.Unsatisfiable:
                pass
            except (Exception, SystemExit) as error:  # noqa: BLE001  # it becomes the note's failure
                differences.record(error)
                break
            gained = {label: note.reached.get(label, 0) - before.get(label, 0) for label in missing}
            missing = {label: n - gained[label] for label, n in missing.items() if n > gained[label]}
            if not missing:
                break


PATIENCE = 10  # searches in turn that reach no new promise


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


def top_up(note: Note, search: Callable[[int, set[str], int], None], patience: int = PATIENCE) -> None:
    """Go on until every promise was reached, or until several searches in turn reached no new one."""
    fruitless = 0  # Hypothesis gives up where less than about one case in a hundred will do
    for again in count(1):
        missing, before = note.promised - note.reached.keys(), len(note.reached)
        if not missing or fruitless == patience:
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


def component(name: str, profile: str = "default", seed: int = SEED, examples: int | None = None) -> Census:
    """The census of one component."""
    census = Census()
    census.notes.extend(run(task, profile, seed, examples, KINDS) for task in tasks(name))
    return census


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
    offering.validate()
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
                yield run(task, profile, seed, examples, KINDS)
        finally:
            gc.unfreeze()
            gc.set_threshold(*thresholds)
        return
    # A forked process hangs where the libraries of another framework had threads.
    forks = framework is None and "fork" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with ProcessPoolExecutor(workers, context, _use, (framework,)) as pool:
        waiting = [pool.submit(run, task, profile, seed, examples, KINDS) for task in work]
        for future in waiting:
            yield future.result()
