"""Faults in the rule of comparison, and in what notes and the census keep of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.comparison import histories, movement, rule, sensitivity
from conformance.report import page
from conformance.results import census
from faults import Wrong, instead, seen_by

BOUND = "harness/test_bound.py"
EXACTNESS = "harness/test_exactness.py"
NOTES = "harness/test_notes.py"
REPORT = "harness/test_report.py"


def _after_init(change: Callable[[Any], None]) -> Wrong:
    """A constructor, and then a change of what it has made, if it has come to its end."""

    def wrong(right: Any) -> Any:
        def init(self: Any, *arguments: Any) -> None:
            right(self, *arguments)
            if hasattr(self, "unequal"):
                change(self)

        return init

    return wrong


def _first_element(comparison: Any) -> None:
    comparison.unequal.reshape(-1)[1:] = False


def _nan_passes(comparison: Any) -> None:
    comparison.unequal &= ~np.isnan(comparison.answer)


def _infinity_passes(comparison: Any) -> None:
    comparison.unequal &= ~np.isinf(comparison.answer)


def _nothing_in_the_domain(comparison: Any) -> None:
    comparison.domain = np.zeros_like(comparison.domain)


def _only_where_pytorch_is_right(comparison: Any) -> None:
    comparison.missing = np.zeros_like(comparison.missing)


def _wide_bound(right: Any) -> Any:
    return property(lambda self: right.fget(self) + 1e-3)


def _own_error_always(right: Any) -> Any:
    return property(lambda self: right.fget(replace(self, granted=True)))


def _no_floor(right: Any) -> Any:
    return property(lambda self: right.fget(replace(self, smallest=0.0)))


def _any_dtype(right: Any) -> Any:
    return lambda name, answer, reference, dtype: right(name, answer.astype(dtype), reference, dtype)


def _with_itself(right: Any) -> Any:
    return lambda problem, *arguments: right(replace(problem, torch=problem.ours, wide=problem.ours), *arguments)


def _passing(right: Any) -> Any:
    def verdict(self: Any) -> Any:
        outcome = right(self)
        outcome.failure = ""
        return outcome

    return verdict


def _pytorch_is_right(right: Any) -> Any:
    def verdict(self: Any) -> Any:
        outcome = right(self)
        outcome.wrong = 0
        return outcome

    return verdict


def _exact_moves(right: Any) -> Any:
    return lambda source, exact, rng, *rest: right(replace(source, exact=False), exact, rng, *rest)


def _still(right: Any) -> Any:
    return lambda source, exact, rng, carrier: exact.astype(carrier)


def _ten_units(right: Any) -> Any:
    return lambda source, exact, rng: exact + 10 * (right(source, exact, rng) - exact)


def _all_detected(right: Any) -> Any:
    return lambda answer, value, ratio: np.ones(answer.shape, bool)


def _all_ill_conditioned(right: Any) -> Any:
    return lambda *arguments: (replace(plant, conditioned=False) for plant in right(*arguments))


def _thousandth(right: Any) -> Any:
    return lambda answer, got, expected, *rest: right(
        answer, expected + (got - expected) / 1000 if got.shape == expected.shape else got, expected, *rest
    )


def _last_step(right: Any) -> Any:
    return lambda answer, got, expected, movement=0.0: right(answer, got[-1:], expected[-1:])


def _zeros_alike(right: Any) -> Any:
    return lambda self, what, got, expected: right(self, what, np.asarray(got) + 0.0, np.asarray(expected) + 0.0)


def _bits_of_any_dtype(right: Any) -> Any:
    return lambda self, what, got, expected: right(
        self, what, np.asarray(got, np.float64), np.asarray(expected, np.float64)
    )


def _counted_alone(right: Any) -> Any:
    return lambda self, holds, message: right(self, True, message)


def _same_counted_alone(right: Any) -> Any:
    return lambda self, what, got, expected: right(self, what, expected, expected)


def _not_counted(right: Any) -> Any:
    return lambda self, compared, *errors: right(self, 0, *errors)


def _last_error(right: Any) -> Any:
    def record(self: Any, compared: int, error: float = 0.0, *rest: float) -> None:
        right(self, compared, error, *rest)
        self.error = float(error)

    return record


def _first_only(right: Any) -> Any:
    def merge(self: Any, other: Any) -> None:
        if not self.comparisons:
            right(self, other)

    return merge


def _hollow_passes(right: Any) -> Any:
    return property(lambda self: "passed" if right.fget(self) == "nothing to compare" else right.fget(self))


def _failures_pass(right: Any) -> Any:
    return property(lambda self: "passed" if right.fget(self) == "failed" else right.fget(self))


def _without_gaps(right: Any) -> Any:
    def holds(self: Any) -> bool:
        gaps, self.about.incomplete = self.about.incomplete, []
        try:
            return bool(right.fget(self))
        finally:
            self.about.incomplete = gaps

    return property(holds)


def _unless_all_failed(right: Any) -> Any:
    return property(lambda self: self.total().passed > 0 and not self.about.incomplete)


def _without_failures(right: Any) -> Any:
    def as_json(self: Any) -> Any:
        written = right(self)
        for note in written["checks"]:
            note["failures"] = []
        return written

    return as_json


def _without_last(right: Any) -> Any:
    return lambda *arguments, **options: right(*arguments, **options)[:-1]


def _no_findings(right: Any) -> Any:
    def judge(self: Any, *arguments: Any) -> Any:
        answers = right(self, *arguments)
        self.findings = {}
        return answers

    return judge


FAULTS = [
    *seen_by(
        f"{BOUND}::test_an_error_of_64_units_in_the_last_place_of_one_element_is_detected",
        ("the bound is 64 times as wide", rule, "K", lambda right: 64 * right),
        ("a bound of 1e-3 at least", rule.Reference, "bound", _wide_bound),
        ("the first element alone is compared", rule.Comparison, "__init__", _after_init(_first_element)),
        ("every comparison passes", rule.Comparison, "verdict", _passing),
        ("every number moves by ten units", movement, "units", _ten_units),
    ),
    *seen_by(
        f"{BOUND}::test_a_formula_wrong_in_every_precision_is_detected",
        ("numpyml is compared with itself", rule, "judge", _with_itself),
    ),
    *seen_by(
        f"{NOTES}::test_judge_refuses_what_is_not_finite",
        ("NaN always passes", rule.Comparison, "__init__", _after_init(_nan_passes)),
        ("infinity always passes", rule.Comparison, "__init__", _after_init(_infinity_passes)),
    ),
    *seen_by(
        f"{BOUND}::test_another_shape_or_precision_is_detected",
        ("any precision is accepted", rule, "_incomparable", _any_dtype),
    ),
    *seen_by(
        f"{BOUND}::test_the_same_formula_passes",
        ("no element is in the domain", rule.Comparison, "__init__", _after_init(_nothing_in_the_domain)),
    ),
    *seen_by(
        f"{BOUND}::test_rule_applies_to_pytorch_too",
        ("PyTorch is always right", rule.Comparison, "verdict", _pytorch_is_right),
        ("PyTorch may be infinite", rule.Comparison, "__init__", _after_init(_only_where_pytorch_is_right)),
    ),
    *seen_by(
        f"{BOUND}::test_a_reference_of_numpymls_own_must_be_confirmed_by_pytorch",
        ("PyTorch need not confirm", rule.ReferenceEstimates, "_unconfirmed", instead(lambda *a: "")),
    ),
    *seen_by(
        f"{BOUND}::test_nothing_is_compared_below_the_smallest_normal_number",
        ("the bound has no floor", rule.Reference, "bound", _no_floor),
    ),
    *seen_by(
        f"{BOUND}::test_movement_of_a_long_sum_is_the_sum_over_its_terms",
        ("no swings", movement, "swings", _still),
    ),
    *seen_by(
        f"{BOUND}::test_smallest_detected_error_is_near_the_bound",
        ("every planted error is detected", sensitivity, "breaks", _all_detected),
        ("every problem is ill-conditioned", sensitivity, "_plants", _all_ill_conditioned),
    ),
    *seen_by(
        f"{BOUND}::test_history_is_compared_on_the_scale_of_its_array_at_every_step",
        ("histories may differ a thousand times as far", histories, "off_scale", _thousandth),
        ("the last step alone is compared", histories, "off_scale", _last_step),
    ),
    *seen_by(
        f"{EXACTNESS}::test_an_error_of_17_percent_is_detected_if_the_label_is_exact",
        ("labels move", movement, "units", _exact_moves),
    ),
    *seen_by(
        f"{EXACTNESS}::test_error_of_pytorch_is_granted_unless_precision_is_promised",
        ("PyTorch's own error is always granted", rule.Reference, "bound", _own_error_always),
    ),
    *seen_by(
        f"{NOTES}::test_same_means_the_same_bits",
        ("0 is -0", census.Note, "same", _zeros_alike),
        ("bits of any precision are the same", census.Note, "same", _bits_of_any_dtype),
        ("what is the same is compared with itself", census.Note, "same", _same_counted_alone),
    ),
    *seen_by(
        f"{NOTES}::test_a_promise_that_does_not_hold_is_a_mismatch",
        ("promises are counted, not tested", census.Note, "require", _counted_alone),
    ),
    *seen_by(
        f"{NOTES}::test_judge_counts_and_keeps_the_worst",
        ("comparisons are not counted", census.Tally, "record", _not_counted),
        ("the last error is kept, not the worst", census.Tally, "record", _last_error),
        ("what PyTorch gets wrong is not recorded", census.Note, "judge", _no_findings),
    ),
    *seen_by(
        f"{NOTES}::test_a_run_holds_if_something_passed_and_nothing_failed_or_is_missing",
        ("a run with failures holds", census.Census, "holds", _unless_all_failed),
        ("a run with gaps holds", census.Census, "holds", _without_gaps),
        ("what compared nothing has passed", census.Note, "outcome", _hollow_passes),
        ("what failed has passed", census.Note, "outcome", _failures_pass),
    ),
    *seen_by(
        f"{REPORT}::test_a_line_holds_what_its_checks_hold",
        ("a line has its first check alone", census.Tally, "merge", _first_only),
    ),
    *seen_by(
        f"{NOTES}::test_failures_survive_the_json",
        ("the JSON has no failures", census.Census, "as_json", _without_failures),
    ),
    *seen_by(
        f"{NOTES}::test_every_component_that_ran_has_a_line",
        ("the last component has no line", census.Census, "lines", _without_last),
    ),
    *seen_by(
        f"{REPORT}::test_every_component_and_its_numbers_are_there",
        (
            "the page leaves out the last component",
            census.Census,
            "groups",
            lambda right: lambda self: {group: lines[:-1] for group, lines in right(self).items()},
        ),
        ("the page has no figures", page, "cells", lambda right: lambda line: ("",) * len(right(line))),
    ),
]
