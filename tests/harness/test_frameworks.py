"""Another framework is tested through one file: what it has is compared with PyTorch, what it lacks never passes."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest

from conformance import contracts, divergences, frameworks
from conformance.__main__ import main
from conformance.cases.functions import FunctionCase
from conformance.checks.refusals import same_refusal
from conformance.comparison.answers import output
from conformance.comparison.rule import Input, arrays_of
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import make_from
from conformance.records import Limit, Refused
from conformance.results.census import Note
from conformance.rows import Call, FunctionRow

# Right: Linear without evaluation and Sigmoid. Wrong: ReLU, in its gradient at 0; square, in its value.
TOY = """
from dataclasses import dataclass, field

import numpy as np

from conformance.frameworks import NotOffered

NAME = "toy"


@dataclass
class Part:
    run: object
    back: object
    own: dict = field(default_factory=dict)
    grads: dict = field(default_factory=dict)


def make(component, options, dtype):
    if component == "nn.Linear":
        own = {"weight": np.zeros((options["out_features"], options["in_features"]), dtype)}
        if options["bias"]:
            own["bias"] = np.zeros(options["out_features"], dtype)
        return Part(linear, linear_back, own, {name: np.zeros_like(x) for name, x in own.items()})
    if component == "nn.Sigmoid":
        return Part(lambda part, x: 1 / (1 + np.exp(-x)), sigmoid_back)
    if component == "nn.ReLU":
        return Part(lambda part, x: np.maximum(x, 0), lambda part, gy: np.where(part.x < 0, 0, gy).astype(gy.dtype))
    if component == "nn.Dropout":
        return Part(lambda part, x: x, lambda part, gy: gy)
    raise NotOffered(component)


def linear(part, x):
    return x @ part.own["weight"].T + part.own.get("bias", x.dtype.type(0))


def linear_back(part, gy):
    batch = tuple(range(gy.ndim - 1))
    part.grads["weight"] += np.tensordot(gy, part.x, (batch, batch))
    if "bias" in part.own:
        part.grads["bias"] += gy.sum(axis=batch)
    return gy @ part.own["weight"]


def sigmoid_back(part, gy):
    return gy * part.y * (1 - part.y)


def forward(part, *inputs):
    (part.x,) = inputs
    part.y = np.asarray(part.run(part, part.x))
    return part.y


def backward(part, gy):
    return [part.back(part, gy)]


def parameters(part):
    return part.own


def gradients(part):
    return part.grads


class NAMESPACE:
    square = staticmethod(lambda x: x * x * (1 + 1e-3))
    negative = staticmethod(np.negative)
    concatenate = None  # stack, which the harness calls by its name in a lambda, is not there


def differentiate(function, operands, gys):
    slope = -1 if function(np.float64(2)) == -2 else 2 * operands[0]
    return [np.asarray(function(*operands))], [np.asarray(slope * gys[0], gys[0].dtype)]
"""


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "toy.py").write_text(TOY)
    yield tmp_path / "toy.py"
    frameworks.use(None)


def census(toy: Path, *names: str, examples: int = 20) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what each check came to."""
    file = toy.with_name("census.json")
    only = [argument for name in names for argument in ("--only", name)]
    code = main(["--framework", str(toy), *only, "--examples", str(examples), "--jobs", "1", "--json", str(file)])
    checks = json.loads(file.read_text())["checks"]
    return code, {f"{check['row']}-{check['check']}": check for check in checks}


def test_what_is_right_passes_under_either_name(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, notes = census(toy, "nn.Linear", "negative")
    assert code == 0 and "FAILED" not in capsys.readouterr().out
    for check in ("Dense-output", "Dense-input_gradients", "Dense-parameter_gradients", "negative-function_gradients"):
        assert notes[check]["comparisons"] > 0
    assert notes.keys() == census(toy, "Dense", "negative")[1].keys()


def test_what_is_wrong_fails_where_it_is_wrong(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, notes = census(toy, "nn.ReLU", "square", examples=60)
    printed = capsys.readouterr().out
    assert code == 1
    assert "FAILED ReLU-input_gradients" in printed and "FAILED square-output" in printed
    failed = {check for check, note in notes.items() if note["failure"]}
    assert failed == {"ReLU-input_gradients", "square-output", "square-large"}


def test_what_is_lacking_is_not_offered_and_never_passed(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, notes = census(toy, "nn.Flatten", "nn.MSELoss", "SGD", "Sequential", "programs", "sin", "stack", examples=4)
    assert code == 1  # nothing was compared
    for check, note in notes.items():
        assert note["outcome"] in ("not offered", "nothing to compare"), check
        assert not note["examples"] and not note["comparisons"], check
    assert "not offered" in capsys.readouterr().out


def test_without_a_function_of_the_adapter_what_needs_it_is_not_offered(toy: Path) -> None:
    _, notes = census(toy, "nn.Sigmoid", "nn.Dropout")
    assert not notes["Sigmoid-output"]["failure"]
    # There is no train: the half of the examples that evaluate are not offered.
    assert notes["Sigmoid-output"]["examples"] > 0 and notes["Sigmoid-output"]["not_offered"] > 0
    assert notes["Sigmoid-accumulation"]["outcome"] == "nothing to compare"  # it has no parameters
    for check in ("copies", "same_seed", "rejections", "modes", "used_twice"):
        assert notes[f"Sigmoid-{check}"]["not_offered"] and not notes[f"Sigmoid-{check}"]["examples"]
    # A dropout that drops nothing would agree with itself; there is no way to give it PyTorch's mask.
    assert not notes["Dropout-output"]["examples"] and not notes["Dropout-mask_statistics"]["examples"]


def test_a_parameter_without_a_gradient_has_not_passed(toy: Path) -> None:
    toy.write_text(TOY.replace("return part.grads", 'return {k: g for k, g in part.grads.items() if k != "bias"}'))
    code, notes = census(toy, "nn.Linear")
    assert code == 1 and "gradient of bias: there is none" in notes["Dense-parameter_gradients"]["failure"]


def test_an_input_gradient_that_is_not_given_is_counted_as_not_offered(toy: Path) -> None:
    toy.write_text(
        TOY + "\n\n_whole = backward\n\n\ndef backward(*gradients):\n    return [None for _ in _whole(*gradients)]\n"
    )
    _, notes = census(toy, "nn.Sigmoid")
    note = notes["Sigmoid-input_gradients"]
    assert note["not_offered"] > 0 and not note["examples"] and not note["comparisons"] and not note["failure"]


def test_a_table_of_makers_offers_what_they_name_and_pytorchs_defaults() -> None:
    makers = {"nn.HuberLoss": lambda dtype, delta: (dtype, delta), "nn.CrossEntropyLoss": lambda dtype: dtype}
    assert make_from(makers, "nn.HuberLoss", {"reduction": "mean", "delta": 0.5}, np.float32) == (np.float32, 0.5)
    assert make_from(makers, "nn.CrossEntropyLoss", {"weight": None, "ignore_index": -100}, np.float32) == np.float32
    for component, options, said in (
        ("nn.HuberLoss", {"reduction": "sum", "delta": 1.0}, r"nn.HuberLoss\(reduction='sum'\)"),
        ("nn.CrossEntropyLoss", {"weight": np.ones(3)}, r"nn.CrossEntropyLoss\(weight="),
        ("nn.MSELoss", {}, "nn.MSELoss"),
    ):
        with pytest.raises(frameworks.NotOffered, match=said):
            make_from(makers, component, options, np.float32)


def trace_of(seed: int, **options: int) -> FunctionCase:
    (row,) = (row for row in contracts.rows() if row.name == "trace")
    assert isinstance(row, FunctionRow)
    return FunctionCase(row, Call({"x": Input(np.eye(3))}, options), np.float64, seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_option_that_a_framework_lacks_is_asked_of_it_at_other_values_alone(seed: int) -> None:
    def differentiate(function: Any, operands: Any, gys: Any) -> Any:
        return [np.asarray(function(*operands))], [np.eye(3)]

    namespace = SimpleNamespace(trace=lambda a, offset=0: np.trace(a, offset))
    frameworks.use(SimpleNamespace(NAME="toy", NAMESPACE=namespace, differentiate=differentiate))
    try:
        for offset in (0, 1):
            case = trace_of(seed, offset=offset, axis1=0, axis2=1)
            arrays = arrays_of(case.problem(), case.dtype)
            assert case.ours(arrays)[output()] == np.trace(np.eye(3), offset)
        case = trace_of(seed, offset=0, axis1=1, axis2=0)
        with pytest.raises(NotImplementedError, match=r"trace: .*unexpected keyword argument 'axis1'"):
            case.ours(arrays)
    finally:
        frameworks.use(None)


def test_defaults_are_left_out_of_every_other_call() -> None:
    said = SimpleNamespace(trace=lambda a, **options: options)
    options = {"offset": 1, "axis1": 0, "axis2": 1}
    cases = [trace_of(seed, **options) for seed in (0, 2)]
    assert [case.function(said, {"x": np.eye(3)})(None) for case in cases] == [options, {"offset": 1}]
    for name in ("sum", "std", "sort", "einsum", "split", "stack", "full_like", "pad"):  # NumPy's "no value" among them
        (row,) = (row for row in contracts.rows() if row.name == name)
        assert isinstance(row, FunctionRow) and row.defaults.keys() & options_of(row), name


def options_of(row: FunctionRow) -> set[str]:
    names: set[str] = set()

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=60, database=None, phases=(hypothesis.Phase.generate,))
    @hypothesis.given(row.calls)
    def look(call: Call) -> None:
        names.update(name for name, value in call.options.items() if row.at_default(name, value))

    look()
    return names


def test_an_error_that_is_not_about_offering_is_a_failure(toy: Path) -> None:
    toy.write_text(TOY.replace("def backward(part, gy):\n", "def backward(part, gy):\n    raise ZeroDivisionError\n"))
    code, notes = census(toy, "nn.Sigmoid", examples=5)
    assert code == 1 and "ZeroDivisionError" in notes["Sigmoid-input_gradients"]["failure"]


def test_an_adapter_that_leaves_has_not_passed(toy: Path) -> None:
    toy.write_text(TOY.replace("def backward(part, gy):\n", "def backward(part, gy):\n    raise SystemExit\n"))
    code, notes = census(toy, "nn.Sigmoid", examples=5)
    assert code == 1 and "SystemExit" in notes["Sigmoid-input_gradients"]["failure"]


def test_numpyml_is_under_test_again_afterwards(toy: Path) -> None:
    main(["--framework", str(toy), "--only", "nn.Linear", "--examples", "2", "--jobs", "1"])
    assert main(["--only", "Dense", "--examples", "2", "--jobs", "1"]) == 0
    assert frameworks.under_test().NAME == "numpyml"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("import a_package_that_is_not_there", "cannot be imported: ModuleNotFoundError"),
        ("def forward(", "cannot be imported: SyntaxError"),
        ("from conformance.frameworks.numpyml import *", "is called numpyml, as the suite's own adapter is"),
        ("raise SystemExit", "cannot be imported: SystemExit"),
        ("NAME = 'hollow'", "is no adapter"),
        ("def make(component, options, dtype): ...", "is no adapter"),
    ],
)
def test_a_file_that_is_no_adapter_is_one_line_and_exit_code_2(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "adapter.py"
    if content is not None:
        file.write_text(content)
    assert main(["--framework", str(file), "--only", "Dense"]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and str(file) in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize("name", ["STRICTER", "LAXER", "LIMITS", "AT_NAN", "OPTIONS_NOT_STATE"])
def test_a_list_of_differences_under_an_old_name_is_an_error(
    name: str, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.write_text(TOY + f"\n{name} = {{}}\n")
    assert main(["--framework", str(toy), "--only", "nn.Sigmoid"]) == 2
    printed = capsys.readouterr().err
    assert f"the adapter of toy defines {name}, which is not read; expected" in printed and "DIFFERENCES = {" in printed


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ('{"nn.Linea": ()}', "names 'nn.Linea', which is no component; `python -m conformance list` shows all"),
        ('{"Dense": Limit("x")}', "DIFFERENCES['Dense'] of toy expects a tuple of differences"),
        ('{"Dense": ("x",)}', "DIFFERENCES['Dense'] of toy expects a tuple of differences"),
        ('[("Dense", Limit("x"))]', "DIFFERENCES of toy expects a mapping from components to tuples of differences"),
    ],
)
def test_differences_of_no_component_or_of_no_kind_are_an_error(
    differences: str, message: str, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.write_text(f"from conformance.records import Limit\n{TOY}\nDIFFERENCES = {differences}\n")
    assert main(["--framework", str(toy), "--only", "nn.Sigmoid", "--examples", "2", "--jobs", "1"]) == 2
    assert message in capsys.readouterr().err


def test_a_run_counts_the_differences_of_its_components_and_those_of_every_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--only", "SiLU", "--only", "GELU", "--examples", "2", "--jobs", "1"])
    common = len(divergences.COMMON)
    assert f"; 3 documented differences, and {common} of every component (conformance/" in capsys.readouterr().out


def test_differences_are_found_by_pytorchs_name_and_by_ours(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write_text(
        f"from conformance.records import Limit, Refused\n{TOY}\n"
        'DIFFERENCES = {"nn.Sigmoid": [Limit("a")], "Sigmoid": [Refused("b", "c")], "nn.Linear": [Limit("d")]}\n'
    )
    frameworks.use(frameworks.load(toy))
    assert divergences.reason("Sigmoid", Limit) == "a" and divergences.reason("Sigmoid", Refused, "b c") == "c"
    assert not divergences.reason("Sigmoid", Refused, "a b")
    assert divergences.about("Sigmoid") == ["Sigmoid: a", "Sigmoid, b: c", *findings_of("Sigmoid")]
    census(toy, "nn.Sigmoid", examples=2)
    assert "1 component against PyTorch" in (printed := capsys.readouterr().out)
    assert "; 2 documented differences (in its adapter)" in printed


def findings_of(name: str) -> list[str]:
    return [finding.line(component) for component, finding in divergences.findings() if component == name]


def test_an_adapter_is_found_by_path_or_by_its_name_in_the_package(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert frameworks.load(toy).NAME == frameworks.load(str(toy)).NAME == "toy"
    monkeypatch.chdir(toy.parent)
    assert frameworks.load("toy.py").NAME == frameworks.load("./toy.py").NAME == "toy"
    assert frameworks.load("numpyml").NAME == "numpyml"
    assert frameworks.load(None) is None
    for no_adapter in ("pytorch", "toy", "nothing", ""):
        with pytest.raises(Misuse, match="expects the path of an adapter"):
            frameworks.load(no_adapter)


def test_what_an_adapter_makes_can_be_pickled(toy: Path) -> None:
    part = frameworks.load(toy).Part(None, None)
    assert pickle.loads(pickle.dumps(part)) == part


def test_the_adapter_of_numpyml_has_the_whole_interface() -> None:
    adapter = frameworks.load("numpyml")
    promised = {name: member for name, member in vars(frameworks.Adapter).items() if inspect.isfunction(member)}
    for name, member in promised.items():
        if name.startswith("_"):
            continue
        expected = list(inspect.signature(member).parameters)[1:]
        assert list(inspect.signature(getattr(adapter, name)).parameters)[: len(expected)] == expected, name


def test_a_refusal_is_an_error_of_the_frameworks_own_and_what_is_not_offered_is_none() -> None:
    def raising(error: Exception) -> Callable[[], Any]:
        def call() -> Any:
            raise error

        return call

    frameworks.use(SimpleNamespace(NAME="toy", REJECTIONS=(ValueError,)))
    try:
        note = Note("Dense", "rejections")
        same_refusal(note, "wrong", raising(frameworks.NotOffered("it")), lambda: None)
        assert note.comparisons == 0
        same_refusal(note, "wrong", raising(ValueError("no")), raising(RuntimeError("no")))
        assert note.comparisons == 1
        with pytest.raises(Mismatch, match="PyTorch accepts it, it is refused: no"):
            same_refusal(note, "wrong", raising(ValueError("no")), lambda: None)
        with pytest.raises(Mismatch, match="TypeError instead of an error of its own"):
            same_refusal(note, "wrong", raising(TypeError("unsupported operand")), raising(RuntimeError("no")))
        with pytest.raises(Mismatch, match=r"PyTorch refuses it \(no\), it is accepted"):
            same_refusal(note, "wrong", lambda: None, raising(RuntimeError("no")))
        same_refusal(note, "wrong", raising(TypeError("no")), raising(TypeError("no")), peers="NumPy")
        assert note.comparisons == 2
        with pytest.raises(Mismatch, match="TypeError instead of an error of its own"):  # not NumPy's words
            same_refusal(note, "wrong", raising(TypeError("by chance")), raising(TypeError("no")), peers="NumPy")
        note = Note("floor_divide", "function_rejections")
        with pytest.raises(Mismatch, match="NumPy accepts it, it is refused: no"):  # documented of invalid calls alone
            same_refusal(note, "incoming gradient", raising(ValueError("no")), lambda: None, True, "NumPy")
    finally:
        frameworks.use(None)
