"""A run: all that fits is run, on drawn cases of both precisions, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance import assert_conforms, contracts, runner
from conformance.__main__ import main
from conformance.cases import modules as module_cases
from conformance.checks.refusals import same_refusal
from conformance.checks.registry import checks_of
from conformance.errors import Mismatch
from conformance.faults import named
from conformance.frameworks import pytorch
from conformance.results.census import Note
from conformance.search import search_cases
from conformance.strategies.coverage import Coverage
from numpyml.errors import OptionError
from numpyml.nn import Module

TASKS = [task for name in ("ReLU", "copy") for task in runner.tasks(name)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_has_its_note_however_many_processes_share_the_work(workers: int) -> None:
    notes = list(runner.run_all(TASKS, "quick", 1, 2, workers))
    assert [(note.row, note.check) for note in notes] == [(task.row, task.check) for task in TASKS]
    assert not any(note.failure for note in notes)
    assert all(note.examples for note in notes if note.comparisons) and sum(note.comparisons for note in notes) > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_in_a_worker_is_reported(workers: int) -> None:
    with named("input gradient with the wrong sign").planted():
        notes = list(runner.run_all(runner.tasks("ReLU"), "quick", 1, 8, workers))
    assert "input_gradients" in [note.check for note in notes if note.failure]


def test_a_failing_run_says_so_and_ends_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "planned", lambda *_: [runner.Task("ReLU", "input_gradients")])
    run = ["--only", "ReLU", "--examples", "8", "--jobs", "1"]
    assert main(run) == 0
    assert "FAILED" not in capsys.readouterr().out
    with named("input gradient with the wrong sign").planted():
        assert main(run) == 1
    printed = capsys.readouterr().out
    for part in ("FAILED ReLU-input_gradients", "gradient of x", "expected", "x = f", "seed =", "again: python -m"):
        assert part in printed


def test_every_check_runs_on_every_row_it_fits() -> None:
    rows = (*contracts.rows(), *runner.PROGRAMS)
    fitting = [
        (row.name, check.name) for row in rows for m in runner.ORDER for check in checks_of(m) if check.fits(row)
    ]
    assert [(task.row, task.check) for task in runner.tasks()] == fitting
    assert {row.name for row in rows} == set(runner.names())


def drawn(check: str, row: str, seed: int = 1, examples: int = 12) -> list[Any]:
    """The cases of a check on a row."""
    cases: list[Any] = []

    def attempt(case: Any, coverage: Coverage) -> None:
        cases.append(case)

    pytorch.require()  # its warning filters
    search_cases(runner.jobs("quick")[runner.Task(row, check)].cases, seed, examples, None, attempt)
    return cases


@pytest.mark.parametrize(
    ("row", "check"),
    [("Dense", "output"), ("tanh", "function_gradients"), ("SGD", "trajectory"), ("normal_", "initial_distribution")],
)
def test_every_check_gets_cases_of_both_precisions(row: str, check: str) -> None:
    cases = drawn(check, row)
    assert {np.dtype(case.dtype).name for case in cases} == {"float32", "float64"}
    assert len({repr(case) for case in cases}) > 3


def test_ordinary_numbers_and_incoming_gradients_are_random() -> None:
    numbers = [
        x.values.ravel() for case in drawn("output", "Dense", examples=30) for x in case.inputs if x.kind == "ordinary"
    ]
    assert len(set(np.concatenate(numbers).tolist())) > 10
    gradients = [module_cases.incoming((4, 3), seed).values for seed in range(9)]
    assert max(len(np.unique(gy)) for gy in gradients) > 6


def test_another_seed_draws_other_cases() -> None:
    task, seen = runner.Task("ReLU", "output"), []
    for seed in (1, 1, 2):
        note = runner.run(task, "quick", seed, 8)
        seen.append(Note(**{**vars(note), "again": ""}))
    assert seen[0] == seen[1] != seen[2]


def refuse() -> Any:
    raise OptionError("expected another option")


def crash() -> Any:
    raise TypeError


def test_what_one_side_alone_refuses_is_a_mismatch() -> None:
    note = Note("Dense", "rejections")
    for ours, theirs in ((refuse, crash), (lambda: np.ones(2), lambda: np.zeros(2))):
        same_refusal(note, "input upside down", ours, theirs)
    assert note.comparisons == 2
    different = ((refuse, lambda: 1), (lambda: 1, refuse), (crash, refuse), (lambda: np.ones(2), lambda: np.ones(3)))
    for ours, theirs in different:
        with pytest.raises(Mismatch, match="input upside down"):
            same_refusal(note, "input upside down", ours, theirs)


class Doubling(Module):
    """2 x, and a little more in one precision."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong

    def compute(self, x: Any) -> Any:
        return x * x.dtype.type(2 + 1e-4 * (x.dtype == self.wrong)), None

    def pullback(self, context: Any, gy: Any) -> Any:
        return 2 * gy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_module_wrong_in_one_precision_does_not_conform(dtype: str) -> None:
    x = np.array([[0.5, 1.25, -3.0]])
    assert_conforms(Doubling("none"), x, reference=lambda x: 2 * x)
    with pytest.raises(AssertionError, match=f"does not conform \\({dtype}"):
        assert_conforms(Doubling(dtype), x, reference=lambda x: 2 * x)
