"""Take away any row, option strategy, purpose, reached label, floor or comparison, and the suite is red: n of n."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import numpyml
from conformance import contracts, runner, test_conformance
from conformance.frameworks import signatures
from conformance.results import completeness, defaults, floors
from conformance.results.census import Failure, Note
from conformance.rows import Call, FunctionRow, ModuleRow, OptimizerRow, SchedulerRow
from conformance.strategies.coverage import purpose
from numpyml import Tensor, data, names, nn
from numpyml.autograd.derivatives import TABLE
from numpyml.nn import Module, layers, optimizers, schedulers

TASKS = [(task.row, task.check) for task in runner.jobs()]


def notes() -> list[Note]:
    """What a run of the whole suite could have written down."""
    suite = [runner.note_of(task) for task in runner.jobs()]
    for note in suite:
        note.examples, note.comparisons = 9, 100
        note.resolution = dict.fromkeys(note.sensitivity, 32.0)
        row = runner.row_of(note.row)
        options = getattr(row, "options", {})
        note.promised = {name + label for name, s in options.items() for label in purpose(s).labels} | {"x: nan"}
        note.reached = dict.fromkeys([*sorted(note.promised), "and more"], 3)
    return suite


def even_floors() -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, int]] = {}
    for row, check in TASKS:
        counts.setdefault(row, {})[check] = 100
    return {"default": counts}


def test_nothing_is_missing() -> None:
    assert completeness.problems() == []


def test_every_name_of_pytorchs_is_answered_with_the_component_that_is_held_to_it() -> None:
    for row in contracts.rows():
        if isinstance(row, (ModuleRow, OptimizerRow, SchedulerRow)):
            with pytest.raises(AttributeError, match=rf"; here it is numpyml\.nn\.\w+\.{row.ours.__name__}$"):
                names.unknown("numpyml.nn")(row.torch.split(".")[-1])


def test_every_row_is_missed() -> None:
    rows = contracts.rows()
    for i, row in enumerate(rows):
        assert completeness.problems([*rows[:i], *rows[i + 1 :]]), f"{row.name} is not missed"


def test_every_option_has_a_strategy_that_says_what_it_is_for() -> None:
    rows = contracts.rows()
    for i, row in enumerate(rows):
        if isinstance(row, FunctionRow):
            continue

        def problems(options: dict[str, Any], i: int = i, row: Any = row) -> list[str]:
            return completeness.problems([*rows[:i], replace(row, options=options), *rows[i + 1 :]])

        for option in row.options:
            others = {name: strategy for name, strategy in row.options.items() if name != option}
            silent = {**row.options, option: st.booleans()}
            assert problems(others) == [f"{row.name}({option}=...) has no strategy"]
            assert problems(silent) == [f"{row.name}({option}=...) has a strategy that does not say what it is for"]


def without(row: FunctionRow, option: str) -> FunctionRow:
    """The row, this option of its calls left out."""

    def left(call: Call) -> Call:
        return replace(call, options={name: value for name, value in call.options.items() if name != option})

    return replace(row, calls=row.calls.map(left))


def test_every_option_of_a_function_is_missed() -> None:
    taken = 0
    for row in contracts.function_rows():
        for option in completeness._drawn(row, 30) & completeness.covered_options(row):
            lines = completeness.function_option_problems(without(row, option))
            assert f"{row.name}({option}=...) is never drawn by its row" in lines
            taken += 1
    assert taken > 60


def with_default(owner: Any, name: str, value: Any) -> inspect.Signature:
    """The signature, with another default of one argument."""
    signature = inspect.signature(owner)
    changed = [p.replace(default=value) if p.name == name else p for p in signature.parameters.values()]
    return signature.replace(parameters=changed)


def test_every_other_default_of_a_component_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = 0
    for row in contracts.rows():
        if isinstance(row, FunctionRow):
            continue
        for name in row.options:
            if inspect.signature(row.ours).parameters[name].default is inspect.Parameter.empty:
                continue
            with monkeypatch.context() as patch:
                patch.setattr(row.ours, "__signature__", with_default(row.ours, name, "another"), raising=False)
                signatures.arguments_of.cache_clear()
                (line,) = defaults.of_component(row)
            assert line.startswith(f"{row.name}({name}='another') is ")
            changed += 1
    signatures.arguments_of.cache_clear()
    assert changed > 90


@pytest.mark.parametrize(
    ("owner", "method", "argument"),
    [
        (Tensor, "std", "ddof"),
        (Tensor, "sum", "keepdims"),
        (Tensor, "diagonal", "axis2"),
        (Module, "train", "mode"),
        (layers.MultiheadAttention, "compute", "need_weights"),
        (data.DataLoader, "__init__", "batch_size"),
        (nn.utils, "clip_grad_norm_", "norm_type"),
    ],
)
def test_another_default_of_a_method_is_missed(
    owner: Any, method: str, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = owner if method == "__init__" else getattr(owner, method)
    monkeypatch.setattr(owner, "__signature__", with_default(owner, argument, "another"), raising=False)
    signatures.arguments_of.cache_clear()
    lines = defaults.problems(contracts.rows(), completeness.public())
    signatures.arguments_of.cache_clear()
    assert lines and all(f"({argument}='another') is " in line for line in lines)


def test_another_default_of_a_derivative_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    row = TABLE[np.var]
    monkeypatch.setattr(row, "partials", {"a": lambda g, a, axis=None, ddof=1, keepdims=False: g})
    assert list(defaults.of_derivative(np.var)) == ["the derivative of numpy.var(ddof=1) is 0 by NumPy's default"]


def test_every_label_is_missed() -> None:
    run = notes()
    assert completeness.unreached(run) == []
    taken = 0
    for note in run:
        if not note.covers:
            continue
        for label in sorted(note.promised):
            del note.reached[label]
            assert completeness.unreached(run) == [f"{note.row}-{note.check}: {label} was promised and never drawn"]
            note.reached[label] = 3
            taken += 1
    assert taken > 3 * len(contracts.rows())


def test_what_is_drawn_in_fewer_than_three_examples_is_red() -> None:
    run = [note for note in notes() if note.row == "Dense"]
    assert completeness.rare(run) == []
    for note in run:
        note.reached["bias=False"] = 0
    run[0].reached |= {"bias=False": 2}
    (line,) = completeness.rare(run)
    assert line.startswith("Dense: bias=False was drawn in 2 of at least 3 examples")
    assert completeness.rarely(run) == {"Dense": {"bias=False": 2}}
    run[-1].reached["bias=False"] = 1  # all checks of a component count
    assert completeness.rare(run) == []


def test_what_is_rarely_drawn_is_drawn_on() -> None:
    note = runner.run(runner.Task("Sigmoid", "input_gradients"), "quick")
    label = "incoming gradient: fortran layout"
    note.reached[label] = 1
    runner.draw_more([note], completeness.rarely([note]), completeness.LEAST, "quick", 0)
    assert note.reached[label] >= 3 and completeness.rare([note]) == [] and not note.failure


def test_every_floor_is_missed() -> None:
    run, recorded = notes(), even_floors()
    assert floors.shortfalls(run, "default", True, recorded) == []
    for row, check in TASKS:
        least = recorded["default"][row].pop(check)
        (line,) = floors.shortfalls(run, "default", True, recorded)
        assert line.startswith(f"{row} has no floor in the default profile for {check}; record it")
        recorded["default"][row][check] = least
    assert floors.shortfalls(run, "thorough", True, recorded) == []  # held to the default's: it makes more
    for note in (few := [note for note in run if note.row == "Dense"]):
        note.comparisons = 79
    (line,) = floors.shortfalls(run, "thorough", True, recorded)
    assert line.startswith(f"Dense: {79 * len(few):,} comparisons ran, the recorded floor of the default profile is")
    for note in few:
        note.comparisons = 100
    del recorded["default"]
    (line,) = floors.shortfalls(run, "default", True, recorded)
    assert line.startswith("there are no floors; record them")


def test_every_comparison_less_is_missed() -> None:
    run, recorded = notes(), even_floors()
    for note in run:
        note.comparisons = 79
        (line,) = floors.shortfalls(run, "default", True, recorded)
        few = f"{note.row}-{note.check}: 79 comparisons ran, the recorded floor of the default profile is 80; find out"
        assert line.startswith(few) and line.endswith(f"{floors.RECORD} --only {note.row} --profile default")
        note.comparisons = 100


def test_every_check_that_no_longer_runs_is_missed() -> None:
    recorded = even_floors()
    assert floors.dropped(TASKS, recorded) == []
    for i, (row, check) in enumerate(TASKS):
        (line,) = floors.dropped([*TASKS[:i], *TASKS[i + 1 :]], recorded)
        assert line.startswith(f"{row}-{check} has a floor and no longer runs")


def test_of_one_component_only_its_own_checks_can_be_missing() -> None:
    assert floors.dropped([], even_floors(), only={"none"}) == []
    lost = floors.dropped([], even_floors(), only={"Dense"})
    assert len(lost) == sum(row == "Dense" for row, _ in TASKS) and all(line.startswith("Dense-") for line in lost)


def test_an_unmeasured_sensitivity_is_red() -> None:
    run = [note for note in notes() if note.check == "resolution"]
    assert completeness.blunt(run) == []
    for note in run:
        del note.resolution["float32"]
        (line,) = completeness.blunt(run)
        assert line.startswith(f"{note.row}-resolution: no well-conditioned element in float32 was drawn; let its row")
        note.resolution["float32"] = 32.0


def test_what_pytorch_gets_wrong_without_being_on_record_is_red() -> None:
    (note, *_) = run = notes()
    note.findings = {"output in float32: a reason (a script)": 3}
    assert completeness.unrecorded(run) == []
    note.findings["output in float64: not on record yet"] = 1
    (line,) = completeness.unrecorded(run)
    assert line.startswith(f"{note.row}-{note.check}: PyTorch exceeds the bound: output in float64: not on record")


def test_a_failure_is_told_once() -> None:
    run = notes()
    run[0].failures, run[0].comparisons, run[0].reached = [Failure("differs")], 0, {}
    assert completeness.unreached(run) + floors.shortfalls(run, "default", True, even_floors()) == []


def test_other_draws_hold_a_component_loosely() -> None:
    run, recorded = notes(), even_floors()
    for row in {row for row, _ in TASKS}:
        own = [note for note in run if note.row == row]
        for note in own:
            note.comparisons = 1
        assert floors.shortfalls(run, "default", False, recorded) == []
        own[0].comparisons = 0
        nothing = f"{row}-{own[0].check}: nothing was compared, where the record of the default profile has 100; find"
        floor = f"{row}: {len(own) - 1} comparisons ran, the recorded floor of the default profile is {len(own)}; find"
        idle, few = floors.shortfalls(run, "default", False, recorded)
        assert idle.startswith(nothing) and few.startswith(floor)
        assert floors.idle(run, "thorough", recorded) == [idle]
        own[0].comparisons = 1


@pytest.mark.parametrize("seed", [None, 1])
def test_under_pytest_too_a_check_that_compares_nothing_is_red_with_any_seed(
    seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"profile": "default", "conformance_seed": seed, "examples": None}
    request: Any = SimpleNamespace(config=SimpleNamespace(getoption=asked.get))
    task = runner.Task("Dense", "output")
    for comparisons, outcome in ((0, pytest.raises(AssertionError)), (10**9, nullcontext())):
        monkeypatch.setattr(runner, "run", lambda *_, n=comparisons: Note("Dense", "output", examples=9, comparisons=n))
        with outcome:
            test_conformance.test_conforms(task, request)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder of floors that is not the suite's."""
    monkeypatch.setattr(floors, "FOLDER", tmp_path)
    floors.counts.cache_clear()
    yield tmp_path
    floors.counts.cache_clear()


def test_recorded_floors_replace_those_of_the_components_that_ran(folder: Path) -> None:
    floors.record([Note("ReLU", "output", comparisons=100), Note("SiLU", "output", comparisons=7)], "quick")
    floors.record([Note("ReLU", "gradients", comparisons=50)], "quick")
    floors.record([Note("ReLU", "gradients", comparisons=500)], "default")
    assert floors.counts() == {
        "quick": {"ReLU": {"gradients": 50}, "SiLU": {"output": 7}},
        "default": {"ReLU": {"gradients": 500}},
    }
    assert len((folder / "activations.json").read_text().splitlines()) < 10


def test_floors_are_written_to_the_files_of_the_families_that_ran_alone(folder: Path) -> None:
    floors.record([Note("ReLU", "output", comparisons=100), Note("programs", "training", comparisons=7)], "quick")
    before = (folder / "activations.json").read_bytes()
    floors.record([Note("Dense", "output", comparisons=50)], "quick")
    assert sorted(file.name for file in folder.iterdir()) == ["activations.json", "layers.json", "programs.json"]
    assert (folder / "activations.json").read_bytes() == before


def test_floors_are_firm_for_the_same_draws_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floors.record([Note("ReLU", "output", comparisons=100)], "quick")
    assert floors.same_draws(7, 7, ["ReLU"])
    assert not floors.same_draws(8, 7, ["ReLU"])
    monkeypatch.setattr(floors, "fingerprint", lambda: "another")
    assert not floors.same_draws(7, 7, ["ReLU"])


@contextmanager
def samplers(text: str, folder: Path) -> Iterator[None]:
    """Inside this block numpyml.nn has a module more."""
    (folder / "samplers.py").write_text(text)
    numpyml.nn.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        numpyml.nn.__path__.remove(str(folder))
        vars(numpyml.nn).pop("samplers", None)
        sys.modules.pop("numpyml.nn.samplers", None)


def test_a_new_public_namespace_is_found(tmp_path: Path) -> None:
    with samplers("__all__ = ['Sampler']\nclass Sampler: pass\n", tmp_path):
        assert completeness.problems() == ["numpyml.nn.samplers.Sampler has no contract row"]
    assert completeness.problems() == []


def test_a_public_namespace_says_what_is_public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with samplers("class Sampler: pass\n", tmp_path):
        assert completeness.problems() == []  # nobody was told of it
        monkeypatch.setattr(numpyml.nn, "__all__", [*numpyml.nn.__all__, "samplers"])
        assert completeness.problems() == ["numpyml.nn.samplers has no __all__, which declares what is public"]


@pytest.mark.parametrize("base", [Module, optimizers.Optimizer, schedulers.Scheduler])
def test_a_component_that_nobody_exported_is_found(base: type, monkeypatch: pytest.MonkeyPatch) -> None:
    known = list(completeness.components())
    methods = {"__module__": "numpyml.nn.layers.forgotten", "update": lambda self: None}
    monkeypatch.setattr(completeness, "_descendants", lambda b: iter([forgotten] if b is base else []))
    forgotten = type("Forgotten", (base,), methods)
    assert list(completeness.components()) == [forgotten] and forgotten not in known
    assert "numpyml.nn.layers.forgotten.Forgotten has no contract row" in completeness.problems()
    forgotten.__module__ = __name__  # until it is collected, numpyml would have it
