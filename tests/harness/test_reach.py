"""Labels are promised whether or not a value is drawn, and reached by what a check has passed on alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from conformance import contracts, runner
from conformance.cases.modules import module_cases
from conformance.cases.optimizers import OptimizerCase
from conformance.comparison.rule import Input
from conformance.results import completeness
from conformance.results.census import Note
from conformance.rows import ModuleRow
from conformance.strategies import coverage as reach
from conformance.strategies.arrays import EVERY, floats, shapes
from conformance.strategies.coverage import Purpose, among, between, purpose, purposeful

RELU = runner.row_of("ReLU")
TASK = runner.Task("ReLU", "output")


def ran(
    monkeypatch: pytest.MonkeyPatch, row: ModuleRow, check: Any = None, examples: int | None = None, cases: Any = None
) -> Note:
    """The note of a run of this row, in ReLU's place."""
    job = runner.jobs("quick")[TASK]
    drawn = module_cases(row) if cases is None else cases
    changed = runner.Job(replace(job.check, run=check) if check else job.check, row, drawn)
    monkeypatch.setitem(runner.jobs("quick"), TASK, changed)
    return runner.run(TASK, "quick", examples=examples)


def test_among_promises_each_value_once() -> None:
    weights = np.array([1.0, 0.0])
    known = purpose(among(None, None, 0.5, (0.9, 0.99), weights))
    assert known is not None
    assert known.labels == ("=None", "=0.5", "=(0.9, 0.99)", "=[1.0, 0.0]")
    assert [*known.of(weights), *known.of(None)] == ["=[1.0, 0.0]", "=None"]


@pytest.mark.parametrize(
    ("low", "high", "labels"), [(0, 9, ("=0", "=9")), (-2, 4, ("=-2", "=0", "=4")), (1, 3, ("=1", "=3"))]
)
def test_between_promises_its_ends_and_zero(low: int, high: int, labels: tuple[str, ...]) -> None:
    known = purpose(between(low, high))
    assert known is not None and known.labels == labels
    assert {label for n in range(low, high + 1) for label in known.of(n)} == set(labels)


def test_a_rare_value_is_drawn_until_it_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = purposeful(st.integers(0, 60), ["=60"], lambda n: [f"={n}"] if n == 60 else [])
    note = ran(monkeypatch, RELU, cases=with_another(RELU, rare))
    assert "n=60" in note.reached and completeness.unreached([note]) == []
    assert note.examples > runner.examples_of(runner.Task("ReLU", "output"), "quick")


@st.composite
def with_another(draw: Any, row: ModuleRow, extra: Any) -> Any:
    reach.pick(draw, "n", extra)
    return draw(module_cases(row))


def test_what_is_never_drawn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(RELU, inputs=lambda o: st.tuples(floats(shapes(), ("ordinary", "nan"), into=np.nan_to_num)))
    note = ran(monkeypatch, row)
    assert not note.failure
    assert completeness.unreached([note]) == ["ReLU-output: x: nan was promised and never drawn"]


def test_inputs_that_do_not_say_what_they_are_for_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(RELU, inputs=lambda o: st.tuples(st.just(Input(np.ones(3)))))
    assert completeness.unreached([ran(monkeypatch, row)]) == [
        "ReLU-output: x says what it is for was promised and never drawn"
    ]


def test_a_case_on_which_the_check_failed_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(case: Any, note: Note) -> None:
        note.require(not np.isnan(case.inputs[0].values).any(), "a NaN")

    note = ran(monkeypatch, RELU, check)
    assert "a NaN" in note.failure and "x: nan" not in note.reached


def test_a_case_that_was_not_used_leaves_no_labels() -> None:
    reach.mark({"old"}, {"old"})
    seen: list[set[str]] = []

    @runner.hypothesis.settings(max_examples=3, database=None)
    @runner.hypothesis.given(reach.fresh(shapes(2, 2).filter(lambda shape: 0 not in shape)))
    def draw(_: Any) -> None:
        seen.append(set(reach._promised))

    draw()
    assert all("old" not in labels and "shape: 2 axes" in labels for labels in seen)


def test_targets_are_drawn_at_once() -> None:
    """The kind and the layout of an array are chosen among those that can reach what is missing; others vary on."""
    targets = {"x: nan", "x: -inf", "x: fortran layout", "bias=False"}
    kinds: set[tuple[str, str]] = set()

    @runner.hypothesis.settings(max_examples=30, database=None)
    @runner.hypothesis.given(reach.fresh(floats((2, 3), EVERY), targets))
    def draw(x: Any) -> None:
        kinds.add((x.kind, x.layout))

    draw()
    assert kinds == {("nan", "fortran"), ("infinite", "fortran")}
    assert reach.likely(("nan", "ties"), lambda kind: [f": {kind}"]) == ("nan", "ties")  # the search is over


def test_no_target_leaves_every_choice() -> None:
    kinds: set[str] = set()

    @runner.hypothesis.settings(max_examples=300, database=None)
    @runner.hypothesis.given(reach.fresh(floats((2, 3), EVERY)))
    def draw(x: Any) -> None:
        kinds.add(x.kind)

    draw()
    assert kinds == set(EVERY)


def test_given_a_number_of_examples_it_runs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(monkeypatch, RELU, lambda case, note: note.record(1), examples=3).examples == 3


def test_pairs_of_an_optimizers_options_count_where_a_step_was_made() -> None:
    row = runner.row_of("SGD")
    options = {
        "learning_rate": 0.1,
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": True,
    }

    def case(own: dict[str, Any], arrays: int = 2, **changed: Any) -> OptimizerCase:
        return OptimizerCase(row, {**options, **changed}, own, [(3,)] * arrays, "ordinary", 1, np.float64, 0)

    coverage = case({}).coverage()
    promised, reached = coverage.promised, coverage.reached
    assert "momentum=0 & maximize=True" in reached and reached <= promised
    assert "momentum=0 & nesterov=True, refused" in promised - reached
    assert "momentum=0 & nesterov=True" not in promised
    assert "momentum=0.9 & maximize=True" in case({"momentum": 0.9}).coverage().reached
    assert "momentum=0.9 & maximize=True" not in case({"momentum": 0.9}, arrays=1).coverage().reached
    assert case({}, nesterov=True).coverage().reached == {"momentum=0 & nesterov=True, refused"}
    assert case({"nesterov": True}).coverage().reached == {"momentum=0 & nesterov=True, refused"}


def test_a_purpose_names_all_that_its_strategy_can_be() -> None:
    """Whatever a value deserves was promised: of every option of every row."""
    for row in contracts.rows():
        for name, strategy in getattr(row, "options", {}).items():
            known = purpose(strategy)
            assert isinstance(known, Purpose), (row.name, name)

            @runner.hypothesis.settings(max_examples=30, database=None, deadline=None)
            @runner.hypothesis.given(strategy, st.just(known))
            def holds(value: Any, known: Purpose) -> None:
                assert set(known.of(value)) <= set(known.labels)

            holds()
