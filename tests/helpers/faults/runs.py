"""Faults in a run of the harness: what is drawn, run, demanded and reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from conformance import __main__ as command_line
from conformance import api, divergences, runner
from conformance.cases import modules
from conformance.checks import own_masks, randomness, refusals, turns
from conformance.programs import compared
from conformance.report import terminal
from conformance.results import completeness, floors
from conformance.strategies import arrays, coverage
from conformance.twins import twin
from faults import instead, seen_by

EACH = "harness/test_each_check.py"
RUNS = "harness/test_runs.py"
REPORT = "harness/test_report.py"
COMPLETENESS = "harness/test_completeness.py"
API = "harness/test_api.py"
STRATEGIES = "harness/test_strategies.py"
REACH = "harness/test_reach.py"
GAPS = "harness/test_gaps.py"


def _failure_lost(right: Any) -> Any:
    def run(*arguments: Any, **options: Any) -> Any:
        note = right(*arguments, **options)
        note.failures = []
        return note

    return run


def _last_note_lost(right: Any) -> Any:
    def run_all(*arguments: Any, **options: Any) -> Iterator[Any]:
        *notes, _ = right(*arguments, **options)
        yield from notes

    return run_all


def _failures_of_workers_lost(right: Any) -> Any:
    def run_all(work: Any, profile: str, seed: int, examples: Any, workers: int, *rest: Any) -> Iterator[Any]:
        for note in right(work, profile, seed, examples, workers, *rest):
            note.failures = [] if workers > 1 else note.failures
            yield note

    return run_all


def _first_of_all(right: Any) -> Any:
    def run_all(*arguments: Any, **options: Any) -> Iterator[Any]:
        first = None
        for note in right(*arguments, **options):
            first = first or note
            yield first

    return run_all


def _row_filtered(right: Any) -> Any:
    return lambda profile="default": {task: job for task, job in right(profile).items() if task.row != "LayerNorm"}


def _precision_skipped(right: Any) -> Any:
    """The check output, on float32 alone."""

    def jobs(profile: str = "default") -> Any:
        return {
            task: replace(job, cases=job.cases.filter(lambda case: case.dtype == np.float32))
            for task, job in right(profile).items()
        }

    return jobs


def _one_example(right: Any) -> Any:
    return lambda task, profile, examples=None: 1 if examples is None else right(task, profile, examples)


def _one_seed(right: Any) -> Any:
    return lambda task, profile="default", seed=0, examples=None: right(task, profile, runner.SEED, examples)


def _all_zero(right: Any) -> Any:
    return {kind: (lambda rng, shape: np.zeros(shape)) if kind == "ordinary" else draw for kind, draw in right.items()}


def _no_nan(right: Any) -> Any:
    return {**right, "nan": right["ordinary"]}


def _contiguous(right: Any) -> Any:
    return lambda x, layout: np.ascontiguousarray(x)


def _ones(right: Any) -> Any:
    def incoming(shape: Any, *seed: int) -> Any:
        gy = right(shape, *seed)
        return replace(gy, values=np.ones_like(gy.values))

    return incoming


def _all_reached(right: Any) -> Any:
    def add(self: Any, name: str, known: Any, *value: Any) -> None:
        right(self, name, known, *value)
        self.reached |= self.promised

    return add


def _nothing_promised(right: Any) -> Any:
    def add(self: Any, name: str, known: Any, *value: Any) -> None:
        right(self, name, known, *value)
        self.promised.clear()

    return add


def _first_value(right: Any) -> Any:
    return lambda *values: right(values[0])


def _nothing(right: Any) -> Any:
    return lambda *arguments, **options: []


def _two_failures_hidden(right: Any) -> Any:
    return lambda census: "All components conform"


def _first_line(right: Any) -> Any:
    return lambda note: right(note).splitlines()[0]


def _any_reason(right: Any) -> Any:
    return lambda *arguments, **options: right(*arguments, **options) or "documented"


def _valid_or_not(right: Any) -> Any:
    return lambda note, what, ours, theirs, valid=False, **options: (
        None if valid else right(note, what, ours, theirs, **options)
    )


def _in_turn(right: Any) -> Any:
    return lambda *calls: [call() for call in calls]


def _errors_lost(right: Any) -> Any:
    def results(calls: Any) -> Any:
        try:
            return right(calls)
        except ZeroDivisionError:
            return [None] * len(calls)

    return results


def _own_weights(right: Any) -> Any:
    def make(module: Any, dtype: Any = None) -> Any:
        peer = right(module, dtype)
        for p in peer.parameters():
            p.data.add_(1e-3)
        return peer

    return make


FAULTS = [
    *seen_by(
        f"{REPORT}::test_a_failure_is_told_in_full_and_escaped",
        ("the headline hides failures", terminal, "headline", _two_failures_hidden),
        ("failures have no marks in the table", terminal, "marks", _nothing),
    ),
    *seen_by(
        f"{RUNS}::test_a_failing_run_says_so_and_ends_with_exit_code_1",
        (
            "the exit code is 0 in spite of failures",
            command_line,
            "suite",
            lambda right: lambda options: 0 * right(options),
        ),
        ("the first line of a failure alone", terminal, "failure", _first_line),
        ("the runner loses failures", runner, "run", _failure_lost),
    ),
    *seen_by(
        f"{RUNS}::test_every_task_has_its_note_however_many_processes_share_the_work",
        ("the last note is lost", runner, "run_all", _last_note_lost),
        ("every note is the first", runner, "run_all", _first_of_all),
    ),
    *seen_by(
        f"{RUNS}::test_a_failure_in_a_worker_is_reported",
        ("failures in workers are lost", runner, "run_all", _failures_of_workers_lost),
    ),
    *seen_by(
        f"{RUNS}::test_every_check_runs_on_every_row_it_fits",
        ("a row is left out", runner, "jobs", _row_filtered),
    ),
    *seen_by(
        f"{RUNS}::test_every_check_gets_cases_of_both_precisions",
        ("float64 is left out", runner, "jobs", _precision_skipped),
    ),
    *seen_by(
        f"{RUNS}::test_another_seed_draws_other_cases",
        ("the seed is ignored", runner, "run", _one_seed),
    ),
    *seen_by(
        "harness/test_registry.py::test_a_row_of_many_parts_gets_fewer_examples",
        ("one example for every check", runner, "examples_of", _one_example),
    ),
    *seen_by(
        "harness/test_registry.py::test_every_module_of_checks_runs",
        (
            "the last module of checks is left out",
            runner,
            "ORDER",
            lambda right: tuple(m for m in right if m is not own_masks),
        ),
    ),
    *seen_by(
        f"{REACH}::test_a_rare_value_is_drawn_until_it_is_reached",
        ("what was not reached is not drawn again", runner, "top_up", instead(lambda note, search, patience: None)),
    ),
    *seen_by(
        f"{REACH}::test_what_is_never_drawn_is_told",
        ("every promise is reached", coverage.Coverage, "add", _all_reached),
        ("nothing is promised", coverage.Coverage, "add", _nothing_promised),
    ),
    *seen_by(
        f"{REACH}::test_among_promises_each_value_once",
        ("the first value of a strategy alone", coverage, "among", _first_value),
    ),
    *seen_by(
        f"{STRATEGIES}::test_drawn_arrays_reach_every_promised_kind",
        ("no array has a NaN", arrays, "VALUES", _no_nan),
    ),
    *seen_by(
        f"{RUNS}::test_ordinary_numbers_and_incoming_gradients_are_random",
        ("ordinary arrays are zeros", arrays, "VALUES", _all_zero),
        ("incoming gradients are ones", modules, "incoming", _ones),
    ),
    *seen_by(
        f"{STRATEGIES}::test_arrays_have_the_layout_of_their_name",
        ("every array is contiguous", arrays, "laid_out", _contiguous),
    ),
    *seen_by(
        f"{COMPLETENESS}::test_every_row_is_missed",
        ("nothing needs a row", completeness, "_to_hold", instead(dict)),
    ),
    *seen_by(
        f"{COMPLETENESS}::test_every_option_has_a_strategy_that_says_what_it_is_for",
        ("no option needs a strategy", completeness, "option_problems", _nothing),
    ),
    *seen_by(
        f"{COMPLETENESS}::test_every_label_is_missed",
        ("nothing needs to be reached", completeness, "unreached", _nothing),
    ),
    *seen_by(
        f"{GAPS}::test_unmeasured_sensitivity_is_a_gap",
        ("no sensitivity needs to be measured", completeness, "blunt", _nothing),
    ),
    *seen_by(
        f"{GAPS}::test_finding_that_is_not_on_record_is_a_gap",
        ("no finding needs to be on record", completeness, "unrecorded", _nothing),
    ),
    *seen_by(
        f"{GAPS}::test_fewer_comparisons_than_recorded_are_a_gap",
        ("a floor of zero", floors, "FIRM", instead(0.0)),
        ("no floor is compared", floors, "shortfalls", _nothing),
    ),
    *seen_by(
        f"{GAPS}::test_check_that_no_longer_runs_is_a_gap",
        ("a check may go", floors, "dropped", _nothing),
    ),
    *seen_by(
        f"{GAPS}::test_check_that_compares_nothing_is_a_gap_with_any_draws",
        ("a check may compare nothing", floors, "idle", _nothing),
        ("a loose floor of zero", floors, "LOOSE", instead(0.0)),
    ),
    *seen_by(
        f"{COMPLETENESS}::test_floors_are_firm_for_the_same_draws_alone",
        ("floors are always loose", floors, "same_draws", instead(lambda *a: False)),
    ),
    *seen_by(
        f"{API}::test_a_driver_of_its_own_that_is_wrong_is_seen",
        ("assert_conforms runs one driver", api, "DRIVERS", instead(("dynamic",))),
    ),
    *seen_by(
        f"{API}::test_nothing_changes",
        ("assert_conforms draws from the default generators", api, "undisturbed", instead(nullcontext)),
    ),
    *seen_by(
        f"{RUNS}::test_a_module_wrong_in_one_precision_does_not_conform",
        ("assert_conforms runs float32 alone", api, "DTYPES", lambda right: right[:1]),
        ("assert_conforms runs float64 alone", api, "DTYPES", lambda right: right[1:]),
    ),
    *seen_by(
        "harness/test_checks.py::test_framework_that_refuses_every_call_fails",
        ("valid calls may be refused", refusals, "same_refusal", _valid_or_not),
    ),
    *seen_by(
        f"{RUNS}::test_what_one_side_alone_refuses_is_a_mismatch",
        ("every difference is documented", divergences, "reason", _any_reason),
    ),
    *seen_by(
        f"{EACH}::test_check_fails_where_its_subject_is_wrong[initial_values]",
        ("every sample has the same distribution", randomness, "same_distribution", instead(lambda *a: None)),
    ),
    *seen_by(
        "harness/test_own_masks.py::test_any_period_of_a_mask_is_detected",
        ("masks may repeat themselves", own_masks, "_uncorrelated", instead(lambda *a: None)),
    ),
    *seen_by(
        "harness/test_turns.py::test_threads_take_turns_at_every_line",
        ("threads run one after the other", turns, "at_once", _in_turn),
    ),
    *seen_by(
        "harness/test_turns.py::test_an_exception_in_a_thread_is_raised",
        ("exceptions in threads are lost", turns, "_results", _errors_lost),
    ),
    *seen_by(
        "harness/test_histories.py::test_a_fault_names_the_call_and_the_array",
        ("histories compare nothing", compared.Compared, "compare", instead(lambda *a, **o: None)),
    ),
    *seen_by(
        "harness/test_twin.py::test_outputs_and_gradients_are_the_same",
        ("a twin has other weights", twin, "twin", _own_weights),
    ),
]
