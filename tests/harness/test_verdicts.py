"""The harness says no more than it saw: what was hardly compared is inconclusive, and what fails looks like it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conformance import frameworks, report, runner
from conformance.__main__ import main
from conformance.cases import offering
from conformance.cases.optimizers import OptimizerCase
from conformance.checks.refusals import accepted
from conformance.comparison.answers import output
from conformance.comparison.rule import Input, Problem, judge
from conformance.report import page, terminal
from conformance.results.census import About, Census, Component, Failure, Line, Note
from conformance.rows import Part
from conformance.search import search_cases
from conformance.strategies.offered import within

# A LayerNorm whose parameter gradients are wrong, with one value of each option, and a correct ReLU.
TOY = """
import numpy as np

from conformance.frameworks import NotOffered

NAME = "toy"
OPTIONS = {"normalized_shape": (40,), "eps": 1e-3, "elementwise_affine": True, "bias": True}


class LayerNorm:
    def __init__(self, shape, eps, dtype):
        self.eps = eps
        self.own = {"weight": np.ones(shape, dtype), "bias": np.zeros(shape, dtype)}
        self.grads = {name: np.zeros_like(x) for name, x in self.own.items()}

    def forward(self, x):
        self.deviation = np.sqrt(x.var(-1, keepdims=True) + x.dtype.type(self.eps))
        self.y = (x - x.mean(-1, keepdims=True)) / self.deviation
        return self.y * self.own["weight"] + self.own["bias"]

    def backward(self, gy):
        self.grads["weight"] += 2 * (gy * self.y).reshape(-1, gy.shape[-1]).sum(0)  # wrong
        self.grads["bias"] += 3 * gy.reshape(-1, gy.shape[-1]).sum(0)  # wrong
        h = gy * self.own["weight"]
        return (h - h.mean(-1, keepdims=True) - self.y * (h * self.y).mean(-1, keepdims=True)) / self.deviation


class ReLU:
    own, grads = {}, {}

    def forward(self, x):
        self.mask = ~(x <= 0)
        return np.maximum(x, 0)

    def backward(self, gy):
        return np.where(self.mask, gy, 0).astype(gy.dtype)


def make(component, options, dtype):
    if component == "nn.LayerNorm":
        if np.dtype(dtype) == np.float64 or options != OPTIONS:
            raise NotOffered("other options")
        return LayerNorm((40,), options["eps"], dtype)
    if component == "nn.ReLU":
        return ReLU()
    raise NotOffered(component)


def forward(module, *inputs):
    return module.forward(*inputs)


def backward(module, gy):
    return [module.backward(gy)]


def parameters(module):
    return module.own


def gradients(module):
    return module.grads


def train(module, mode):
    pass
"""


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "toy.py").write_text(TOY)
    yield tmp_path / "toy.py"
    frameworks.use(None)


def census(toy: Path, *names: str, arguments: tuple[str, ...] = ("--profile", "quick", "--jobs", "1")) -> Any:
    """The exit code, and the census of a run."""
    file = toy.with_name("census.json")
    only = [argument for name in names for argument in ("--only", name)]
    code = main(["--framework", str(toy), *only, *arguments, "--json", str(file)])
    return code, json.loads(file.read_text())


def verdicts(run: dict[str, Any]) -> dict[str, str]:
    return {line["row"]: line["verdict"] for line in run["components"]}


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_a_wrong_layer_norm_whose_options_hardly_fit_never_conforms(
    seed: str, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, run = census(toy, "nn.LayerNorm", arguments=("--profile", "quick", "--jobs", "1", "--seed", seed))
    assert code in (1, 3) and verdicts(run)["LayerNorm"] in ("inconclusive", "differs", "not offered")
    assert "conforms" not in capsys.readouterr().out


def line_of(*notes: Note) -> Line:
    line = Line("LSTM")
    for note in notes:
        line.add(note)
    return line


def test_what_is_compared_in_few_examples_is_inconclusive_everywhere() -> None:
    few = Note("LSTM", "output", examples=3, comparisons=40, not_offered=20)
    enough = Note("GRU", "output", examples=10, comparisons=40, not_offered=20)
    run = Census(About(components={name: Component("layers", "") for name in ("LSTM", "GRU")}))
    run.notes = [few, enough]
    assert (run.verdict, run.holds) == ("inconclusive", False)
    said = terminal.headline(run)
    assert said == "No check failed, but LSTM is inconclusive: too few of the examples compared something"
    rows = {line.split()[0]: line for line in report.table(run).splitlines() if line.startswith(("  LSTM", "  GRU"))}
    assert rows["LSTM"].endswith("  inconclusive") and "inconclusive" not in rows["GRU"]
    assert report.footer(run).endswith(said) and "total" in report.table(run).splitlines()[-1]
    assert not report.table(run).endswith("inconclusive")  # the total is none of a component
    html = page.html(run)
    assert html.count(">inconclusive</small>") == 1 and "1 inconclusive" in html
    assert page.markdown(run).count("**inconclusive, 1 in part**") == 1
    written = run.as_json()
    assert written["verdict"] == "inconclusive" and verdicts(written) == {"LSTM": "inconclusive", "GRU": "conforms"}
    assert Census.from_json(json.loads(json.dumps(written))).as_json() == written


def test_the_component_is_conclusive_not_each_of_its_checks() -> None:
    few = Note("LSTM", "output", examples=1, comparisons=40, not_offered=5)
    enough = Note("LSTM", "input_gradients", examples=9, comparisons=40, not_offered=5)
    assert line_of(few).verdict == "inconclusive" and line_of(few, enough).verdict == "conforms"


def test_examples_that_need_a_function_the_adapter_lacks_leave_a_component_conclusive() -> None:
    passed = Note("LSTM", "output", examples=3, comparisons=40, not_offered=20, lacking=20)
    assert line_of(passed).verdict == "conforms"
    assert line_of(Note("LSTM", "output", not_offered=20)).verdict == "not offered"
    assert line_of(Note("LSTM", "output", not_offered=20, offered=True)).verdict == "inconclusive"
    assert line_of(Note("LSTM", "output", not_offered=20, made=True)).verdict == "inconclusive"
    assert line_of(passed, Note("LSTM", "large", failures=[Failure("off", 2.0)])).verdict == "differs"


def test_what_was_made_and_never_compared_is_inconclusive(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write_text(TOY.replace("def forward(module, *inputs):", "def forward(module, *inputs):\n    raise NotOffered"))
    code, run = census(toy, "nn.ReLU", "nn.Sigmoid")
    assert code == 3 and verdicts(run) == {"ReLU": "inconclusive", "Sigmoid": "not offered"}
    assert "ReLU is inconclusive" in capsys.readouterr().out.replace("1 of 2 components are", "ReLU is")


OFFERS = """
from conformance.frameworks import Offer

OFFERS = {
    "nn.LayerNorm": Offer(
        options={"normalized_shape": [(40,)], "eps": [1e-3], "elementwise_affine": [True], "bias": [True]},
        dtypes=["float32"],
    )
}
"""


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_cases_are_drawn_inside_the_offer(seed: str, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write_text(TOY + OFFERS)
    arguments = ("--profile", "quick", "--jobs", "1", "--seed", seed)
    code, run = census(toy, "nn.LayerNorm", "nn.ReLU", arguments=arguments)
    assert code == 1 and verdicts(run) == {"LayerNorm": "differs", "ReLU": "not offered"}  # the latter is not named
    assert len(failures(run, "LayerNorm-parameter_gradients")) >= 2  # the weight's and the bias'
    (line,) = (line for line in run["components"] if line["row"] == "LayerNorm")
    assert line["refused"] == 0 and line["examples"] > 20
    capsys.readouterr()


def test_what_is_offered_and_refused_is_inconclusive(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write_text(TOY + OFFERS.replace("[1e-3]", "[1e-3, 1e-5]").replace("[(40,)]", "[(40,), 32]"))
    code, run = census(toy, "nn.LayerNorm")
    assert code in (1, 3) and verdicts(run)["LayerNorm"] in ("differs", "inconclusive")  # by chance, what is drawn
    toy.write_text(TOY + OFFERS.replace("nn.LayerNorm", "nn.RMSNorm").replace(', "bias": [True]', ""))
    code, run = census(toy, "nn.RMSNorm")
    assert code == 3 and verdicts(run) == {"RMSNorm": "inconclusive"}
    assert "RMSNorm is inconclusive" in capsys.readouterr().out


def test_every_part_of_an_offer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = frameworks.Offer(
        options={"in_features": range(2, 30), "bias": (True,)}, training=(False,), axes=(2, 3), least=1,
        low=-50, high=50, nan=False, subnormal=False, where=lambda options, x: x.shape[0] != 2,
    )  # fmt: skip
    cases = drawn(monkeypatch, "Dense", offer)
    xs = [case.inputs[0].values for case in cases]
    assert len(cases) == 80 and {case.options["bias"] for case in cases} == {True}
    assert {case.options["in_features"] for case in cases} <= set(range(2, 10)) and not any(c.training for c in cases)
    assert {x.ndim for x in xs} == {2, 3} and all(x.size and x.shape[0] != 2 for x in xs)
    numbers = np.concatenate([x.ravel() for x in xs])
    assert np.isfinite(numbers).all() and np.abs(numbers).max() <= 50
    assert not ((numbers != 0) & (np.abs(numbers) < np.finfo(np.float32).tiny)).any()


def test_offered_values_that_the_suite_does_not_draw_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = drawn(monkeypatch, "LayerNorm", frameworks.Offer(options={"normalized_shape": [(6, 7)]}))
    assert {case.options["normalized_shape"] for case in cases} == {(6, 7)} and len(cases) == 80


def test_options_of_functions_and_optimizers_are_drawn_inside_the_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = frameworks.Offer(options={"axis": [0, -1], "keepdims": [False]}, axes=[2], dtypes=["float64"])
    cases = drawn(monkeypatch, "sum", offer)
    assert len(cases) == 24 and {(case.options["axis"], case.options["keepdims"]) for case in cases} == {
        (0, False), (-1, False)
    }  # fmt: skip
    assert {case.dtype for case in cases} == {np.dtype(np.float64)}
    offer = frameworks.Offer(options={"lr": [0.1], "nesterov": [False]}, dtypes=["float32"])
    cases = drawn(monkeypatch, "SGD", offer, "trajectory")
    options = [{**case.options, **own} for case in cases for own in ({}, case.own)]
    assert {(own["learning_rate"], own["nesterov"]) for own in options} == {(0.1, False)}
    assert {case.dtype for case in cases} == {np.dtype(np.float32)}


def test_parts_of_containers_are_those_that_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    own = frameworks.numpyml
    monkeypatch.setattr(own, "OFFERS", {"nn.ReLU": frameworks.Offer(), "nn.Sequential": frameworks.Offer()}, False)
    seen: set[str] = set()
    with within(frameworks.Offer(), offering.has_part):
        search_cases(runner.jobs()[runner.Task("Sequential", "output")].cases, 0, 40, None,
                     lambda case, _: seen.update(repr(case.options["layers"]).split("nn.")[1:]))  # fmt: skip
    assert seen and {name.partition("(")[0] for name in seen} <= {"ReLU", "Sequential"}


def drawn(monkeypatch: pytest.MonkeyPatch, row: str, offer: frameworks.Offer, check: str = "output") -> list[Any]:
    """The cases of a check, drawn inside an offer."""
    monkeypatch.setattr(frameworks.numpyml, "OFFERS", {row: offer}, False)
    cases: list[Any] = []
    task = runner.Task(row, check)
    job = runner.jobs("default")[task]
    watched = replace(
        job.check, run=lambda case, note: (cases.append(case), note.record(1)), covers=False, sensitivity=()
    )
    monkeypatch.setitem(runner.jobs("default"), task, replace(job, check=watched))
    note = runner.run(task)
    assert not note.failures and note.offered and note.not_offered == 0
    return cases


@pytest.mark.parametrize(
    ("offers", "said"),
    [
        ('{"nn.Linea": Offer()}', "names 'nn.Linea', which is no component"),
        ('{"nn.ReLU": ["float32"]}', "OFFERS['nn.ReLU'] of toy expects an Offer"),
        ('["nn.ReLU"]', "OFFERS of toy expects a mapping"),
        ('{"nn.ReLU": Offer(dtypes=["float16"])}', "dtypes=['float16'], expected some of float32, float64"),
        ('{"nn.Linear": Offer(options={"biass": [True]})}', "an option 'biass'; expected some of in_features"),
        ('{"nn.Linear": Offer(options={"bias": []})}', "options['bias'] without a value"),
        ('{"nn.ReLU": Offer(low=1, high=0)}', "expected low below high"),
    ],
)
def test_an_offer_that_cannot_be_kept_is_an_error(
    offers: str, said: str, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.write_text(f"{TOY}\nfrom conformance.frameworks import Offer\nOFFERS = {offers}\n")
    assert main(["--framework", str(toy), "--only", "nn.ReLU", "--jobs", "1"]) == 2
    assert said in capsys.readouterr().err


FLOAT32_ONLY = """
import numpy as np
from conformance.frameworks import Offer
NAME = "toy"
OFFERS = {"optim.SGD": Offer(options={"momentum": [0], "nesterov": [False], "weight_decay": [0]}, dtypes=["float32"])}
def optimizer(component, groups, options):
    return [(group, {**options, **group}) for group in groups]
def step(optimizer):
    for group, options in optimizer:
        for p, g in zip(group["params"], group["grads"]):
            assert p.dtype == g.dtype == np.float32
            p -= np.float32((-1 if options["maximize"] else 1) * options["lr"]) * g
def state(optimizer):
    return [{} for group, _ in optimizer for _ in group["params"]]
"""


def test_an_optimizer_of_float32_alone_is_tested_in_float32(toy: Path) -> None:
    toy.write_text(FLOAT32_ONLY)
    code, run = census(toy, "optim.SGD")
    outcomes = {note["check"]: note["outcome"] for note in run["checks"]}
    assert code == 0 and outcomes["trajectory"] == outcomes["optimizer_resolution"] == "passed"
    assert outcomes["long_trajectory"] == "not offered" and verdicts(run) == {"SGD": "conforms"}
    toy.write_text(FLOAT32_ONLY.replace("np.float32((", "np.float32(1.00001 * ("))
    assert census(toy, "optim.SGD")[0] == 1


def test_an_example_counts_if_it_compared_something(toy: Path) -> None:
    frameworks.use(frameworks.load(toy))
    note = runner.run(runner.Task("ReLU", "parameter_gradients"), "quick")
    assert note.outcome == "nothing to compare" and note.examples == 0 == note.comparisons
    note = runner.run(runner.Task("ReLU", "output"), "quick", examples=60)
    assert 0 < note.examples < 60  # some arrays are empty


def red(toy: Path, text: str, *names: str) -> Any:
    toy.write_text(text)
    return census(toy, *names, arguments=("--examples", "40", "--jobs", "1"))[1]


def failures(run: dict[str, Any], check: str) -> list[dict[str, Any]]:
    return next(note["failures"] for note in run["checks"] if f"{note['row']}-{note['check']}" == check)


def test_one_failure_does_not_hide_others(toy: Path) -> None:
    offered = (
        TOY.replace(
            "options != OPTIONS",
            ("not (options['elementwise_affine'] and options['bias'] and options['normalized_shape'] in (32, (40,)))"),
        )
        .replace("np.dtype(dtype) == np.float64 or ", "")
        .replace("LayerNorm((40,)", "LayerNorm(options['normalized_shape']")
    )
    found = failures(red(toy, offered, "nn.LayerNorm"), "LayerNorm-parameter_gradients")
    kinds = {
        (failure["message"].partition("[")[0], "float32" in failure["message"].split("LayerNorm(")[1])
        for failure in found
    }
    assert {answer for answer, _ in kinds} == {"gradient of weight", "gradient of bias"}
    assert {single for _, single in kinds} == {True, False} and len(found) == runner.KINDS


def test_a_failure_at_nan_does_not_hide_one_at_another_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is seen at any option where an input is NaN, the second at one option alone, in the same words."""

    def check(case: Any, note: Note) -> None:
        x = case.inputs[0].values
        note.require(not np.isnan(x).any() and case.options.get("p") != 0.9, "they differ")

    task = runner.Task("Dropout", "output")
    job = runner.jobs("quick")[task]
    monkeypatch.setitem(runner.jobs("quick"), task, replace(job, check=replace(job.check, run=check)))
    note = runner.run(task, "quick", examples=200, kinds=runner.KINDS)
    assert sum("nan" in failure.message and "p=0.5" in failure.message for failure in note.failures) >= 1
    assert sum("nan" not in failure.message and "p=0.9" in failure.message for failure in note.failures) >= 1


def test_shrinking_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[bool] = []

    def check(case: Any, note: Note) -> None:
        note.record(1)
        runs.append(case.inputs[0].values.size > 4)
        note.require(not runs[-1], "too large")

    task = runner.Task("ReLU", "output")
    job = runner.jobs("quick")[task]
    monkeypatch.setitem(runner.jobs("quick"), task, replace(job, check=replace(job.check, run=check)))
    note = runner.run(task, "quick")
    assert note.failures and note.comparisons == 2 * runs.index(True) and len(runs) > 2 * note.examples


def test_a_broken_component_looks_broken(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = red(toy, TOY.replace("np.where(self.mask, gy, 0)", "np.where(self.mask, 2 * gy, 0)"), "nn.ReLU")
    printed = capsys.readouterr().out
    line = next(line for line in run["components"] if line["row"] == "ReLU")
    assert float(line["error"]) > 1e3
    assert printed.index("x the bound: gradient of x") < printed.index("component ")  # before the table
    drawn = Census.from_json(run)
    assert "in ReLU" in [figure.aside for figure in page.figures(drawn)]
    html = page.html(drawn)
    assert 'class="over"' in html.split('id="c-ReLU"')[0] and html.index("gradient of x[") < html.index('id="table"')
    assert "buffers" not in html.split("<main>")[0].lower()
    assert ">buffers<" not in html.split('<h2 id="checks">')[0]  # it compares nothing in ReLU


def test_what_has_no_bound_is_infinitely_far_off(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = red(toy, TOY.replace("return np.maximum(x, 0)", "raise ZeroDivisionError"), "nn.ReLU")
    assert {failure["error"] for failure in failures(run, "ReLU-output")} == {"inf"}
    table = report.table(Census.from_json(run))
    assert next(line for line in table.splitlines() if line.startswith("  ReLU")).split()[4] == "inf"
    assert "inf x the bound" in capsys.readouterr().out and "inf x the bound" in page.html(Census.from_json(run))


def message(ours: Any, torch: Any, wide: Any, values: Any = (1.0, 2.0)) -> str:
    def run(answers: Any, dtype: Any = None) -> Any:
        return lambda arrays: {output(): np.asarray(answers, dtype or arrays["x"].dtype)}

    def theirs(arrays: Any) -> Any:
        return {output(): np.asarray(torch if arrays["x"].dtype == np.float32 else wide, arrays["x"].dtype)}

    problem = Problem({"x": Input(np.asarray(values))}, run(ours), theirs, run(wide), formula="a formula")
    (verdict,) = judge(problem, np.dtype(np.float32), 0)
    return verdict.failure


def test_a_message_does_not_contradict_itself() -> None:
    said = message([1.5, 2.0], [np.nan, 2.0], [np.nan, 2.0])
    assert "no bound holds" in said and "x the bound" not in said
    said = message([1.5, 7.0], [np.inf, 2.0], [np.inf, 2.0])  # the second element is the real one
    assert said.startswith("output[1]: got 7.0, expected 2.0") and "own error 0)" in said
    assert "2 of 2 elements are off" in said
    said = message([0.0, 5e-38], [0.0, 0.0], [0.0, 0.0])
    assert "the smallest normal number" in said and "movement" not in said


def test_parts_have_pytorchs_defaults_and_are_made_first() -> None:
    made: list[tuple[str, Any]] = []

    def make(component: str, options: dict[str, Any], dtype: Any) -> Any:
        made.append((component, {name: x for name, x in options.items() if name != "layers"}))

    layers = [Part("nn.Linear", {"in_features": 4, "out_features": 4}), Part("nn.Flatten")]
    frameworks.make_module(SimpleNamespace(NAME="toy", make=make), "nn.Sequential", {"layers": layers}, np.float32)
    assert made == [
        ("nn.Linear", {"bias": True, "in_features": 4, "out_features": 4}),
        ("nn.Flatten", {"start_dim": 1, "end_dim": -1}),
        ("nn.Sequential", {}),
    ]


def test_another_framework_runs_in_spawned_processes(toy: Path) -> None:
    """A thread that holds a lock while a process is forked leaves the lock held in the child for ever."""
    toy.write_text(TOY + LOCKED)
    code, run = census(toy, "nn.ReLU", arguments=("--examples", "2", "--jobs", "2"))
    assert code == 0 and verdicts(run) == {"ReLU": "conforms"}


LOCKED = """

import multiprocessing
import threading

LOCK = threading.RLock()


def hold():
    with LOCK:
        threading.Event().wait()


if multiprocessing.parent_process() is None:
    threading.Thread(target=hold, daemon=True).start()


def train(module, mode):
    if not LOCK.acquire(timeout=5):
        raise RuntimeError("the lock is held by a thread of another process")
    LOCK.release()
"""


def test_options_that_pytorch_refuses_are_no_failure_without_refusals() -> None:
    row = runner.row_of("SGD")
    adapter = ModuleType("adapter")
    exec(FLOAT32_ONLY, vars(adapter))
    frameworks.use(adapter)
    try:
        options = {"learning_rate": 0.1, "momentum": 0, "dampening": 0, "weight_decay": 0, "maximize": False}
        case = OptimizerCase(row, {**options, "nesterov": True}, {}, [(3,)], "ordinary", 1, np.float32, 0)
        note = Note("SGD", "trajectory")
        assert any(case.refusals) and not accepted(case, note) and note.comparisons == 0
    finally:
        frameworks.use(None)
