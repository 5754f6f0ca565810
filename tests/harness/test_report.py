"""The report: whole, self-contained, honest about what failed and what did not run, and the same bytes every time."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from conformance import report, runner
from conformance.__main__ import main
from conformance.errors import Misuse
from conformance.report import page, terminal
from conformance.results.census import OUTCOMES, SPREAD, About, Census, Component, Curve, Failure, Note

MODULE_CHECKS = {
    "output": "The output, by the comparison rule.",
    "input_gradients": "The gradient of every floating input, for a random incoming gradient, through the tape.",
    "parameter_gradients": "The gradient of every parameter, for a random incoming gradient.",
    "drivers_agree": "The explicit and the dynamic driver give the same bits.",
    "state_dict": "PyTorch's keys, in its order, and shapes; and each side loads what the other saved.",
}
FUNCTION_CHECKS = {
    "output": "The output, by the rule.",
    "function_gradients": "The gradient of every operand.",
}
STEPWISE = {
    "trajectory": "Every parameter and every state array at every step.",
    "restart": "It goes on with the same bits.",
}
FAMILIES = {
    "layers": ["Dense", "Dropout", "LayerNorm", "BatchNorm2d", "Conv2d", "MultiheadAttention", "LSTM", "Embedding"],
    "activations": ["ReLU", "Sigmoid", "GELU", "Softmax"],
    "losses": ["MeanSquaredError", "BinaryCrossEntropyWithLogits", "CrossEntropyWithLogits"],
    "containers": ["Sequential", "ModuleList"],
    "optimizers": ["SGD", "Adam", "RMSprop"],
    "functions": ["add", "tanh", "cumsum", "linalg.norm", "einsum"],
    "programs": ["programs"],
}
SCRIPT = "<script>alert('output[0]')</script> & `ticks` | pipe"


def spread(rng: np.random.Generator, elements: int, width: float) -> list[int]:
    """Errors of so many elements, most of them below a unit in the last place."""
    off = np.abs(rng.standard_t(2, elements)) * width * (rng.random(elements) < 0.7)
    return np.bincount(np.searchsorted(SPREAD, off), minlength=len(SPREAD)).tolist()


def curves(rng: np.random.Generator, steps: int) -> list[Curve]:
    """A loss that falls, and a parameter that settles; the two sides differ in the last digits."""
    t = np.arange(steps)
    loss = 2.3 * np.exp(-t / (steps / 7)) + 0.01 + 0.01 * np.abs(rng.standard_normal(steps))
    weight = np.sin(t / (steps / 9)) * np.exp(-t / (steps / 3))
    noise = np.cumsum(rng.standard_normal((2, steps)), axis=1) * 1e-16
    return [
        Curve("loss", loss.tolist(), (loss + noise[0]).tolist()),
        Curve("parameter 0, its first element", weight.tolist(), (weight + noise[1]).tolist()),
    ]


def synthetic(families: dict[str, list[str]] | None = None, failing: bool = True, seed: int = 1) -> Census:
    """A census as a run leaves it, with failures, findings, what is not offered and what compared nothing."""
    families = families or FAMILIES
    checks = MODULE_CHECKS | FUNCTION_CHECKS | STEPWISE
    census = Census(
        About(
            seed=20_260_101,
            versions={"numpyml": "0.1.0", "Python": "3.11.7", "NumPy": "2.3.0", "PyTorch": "2.13.0"},
            k=8.0,
            rule="One rule.\n\n    |answer - reference| <= K (movement + rounding + PyTorch's own error)",
            components={
                name: Component(group, f"numpy.{name}" if group == "functions" else f"torch.nn.{name}")
                for group, names in families.items()
                for name in names
            },
            checks=checks,
            differences={
                "Everywhere": ["A parameter's grad is an array of zeros before the first backward."],
                "None": [],
            },
        )
    )
    rng = np.random.default_rng(seed)
    for group, names in families.items():
        own = {"functions": FUNCTION_CHECKS, "optimizers": STEPWISE, "programs": STEPWISE}.get(group, MODULE_CHECKS)
        for name in names:
            for check in own:
                note = Note(name, check, examples=int(rng.integers(5, 120)), comparisons=int(10 ** rng.uniform(2, 5)))
                if check not in ("drivers_agree", "state_dict", "restart"):
                    width = 10 ** rng.uniform(-1, 1.5)
                    note.spread, note.torch_spread = (spread(rng, 3000, w) for w in (width, width * 1.1))
                    note.error, note.ulps = float(rng.beta(1.2, 6)), float(width * rng.uniform(2, 9))
                    note.torch_ulps = note.ulps * float(rng.uniform(0.6, 1.6))
                    note.resolution = {
                        "float32": float(2 ** rng.integers(2, 7)),
                        "float64": float(2 ** rng.integers(3, 9)),
                    }
                    note.promised = {"float32", "float64", "x: signed zeros", "x: ties", "bias=False", "x: empty"}
                    note.reached = dict.fromkeys(note.promised - ({"x: ties"} if name == "Conv2d" else set()), 3)
                if check == "trajectory":
                    note.curves = curves(rng, 1000)
                if check == "parameter_gradients" and group in ("activations", "losses", "containers"):
                    note = Note(name, check, examples=80)
                if (name, check) == ("LSTM", "state_dict"):
                    note = Note(name, check, not_offered=30)
                if name == "Sigmoid" and check == "output":
                    note.findings = {"1 - sigmoid underflows in the tail": 41}
                if name == "Dense" and check == "output":
                    note.remarks = {"features are real floats; PyTorch lets some layers compute on integers"}
                if failing and (name, check) in (("tanh", "function_gradients"), ("Dense", "output")):
                    message = f"{SCRIPT}\noff by 3e-7 = 17.2 x the bound\ntanh(x), float32"
                    note.failures = [Failure(message, 17.25)]
                census.notes.append(note)
    return census


class Elements(HTMLParser):
    """Every element closes what it opened; what is in it is kept."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.attributes.append((tag, dict(attrs)))
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.opened and self.opened.pop() == tag, f"</{tag}> closes something else, line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    elements.close()
    assert elements.opened == []
    return elements


EMPTY = Census()
EARLY = synthetic(failing=False)  # as a run without spreads, resolutions and curves leaves it
for _note in EARLY.notes:
    _note.spread = _note.torch_spread = [0] * len(SPREAD)
    _note.resolution, _note.curves, _note.promised, _note.reached, _note.findings = {}, [], set(), {}, {}


@pytest.mark.parametrize(
    "census", [synthetic(), synthetic(failing=False), EARLY, EMPTY], ids=["failing", "passing", "early", "empty"]
)
def test_the_page_is_well_formed_and_needs_nothing_else(census: Census) -> None:
    text = page.html(census)
    elements = parsed(text)
    assert "://" not in text
    for tag, attributes in elements.attributes:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
    assert "@import" not in text and "url(" not in text
    ids = [attributes["id"] for _, attributes in elements.attributes if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {attributes["href"] for tag, attributes in elements.attributes if tag == "a"}
    assert {link[1:] for link in links if link} <= set(ids)
    assert elements.scripts == 1


def drawings(text: str) -> Iterator[ET.Element]:
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        yield ET.fromstring(drawing)  # noqa: S314  # our own


def test_the_drawings_are_xml_with_a_name_or_hidden_from_readers() -> None:
    images = list(drawings(page.html(synthetic())))
    assert len(images) > 60
    for drawing in images:
        assert drawing.get("aria-hidden") == "true" or (drawing.get("role") == "img" and drawing.get("aria-label"))
        assert all(re.fullmatch(r"[-MVHhl\d. ]*", path.get("d", "")) for path in drawing.iter("path"))


def test_tables_have_headers_for_columns_and_rows() -> None:
    elements = parsed(page.html(synthetic()))
    headers = [attributes.get("scope") for tag, attributes in elements.attributes if tag == "th"]
    assert None not in headers and {"col", "row", "rowgroup"} <= set(headers)


def test_every_component_and_its_numbers_are_there() -> None:
    census = synthetic()
    said = " ".join(" ".join(parsed(page.html(census)).text).split())
    table = report.table(census)
    marked = page.markdown(census)
    for line in census.lines():
        for text in (said, table, marked):
            assert line.row in text and f"{line.comparisons:,}" in text and f"{line.error:.3f}" in text
    for text in (
        "20260101",
        "K = 8",
        "NumPy\xa02.3.0",
        "1 - sigmoid underflows",
        "features are real floats",
        "x: ties",
    ):
        assert " ".join(text.split()) in said
    assert "never: x: ties" in said


def test_a_failure_is_told_in_full_and_escaped() -> None:
    census = synthetic()
    text = page.html(census)
    elements = parsed(text)
    assert "<script>alert" not in text and SCRIPT in "".join(elements.text)
    assert terminal.headline(census).startswith("2 of") and not census.holds
    rows = [
        attributes["class"] or "" for tag, attributes in elements.attributes if tag == "tr" and "data-n" in attributes
    ]
    assert sum("failed" in row for row in rows) == 2
    marked = page.markdown(census)
    assert "**1 FAILED**" in marked and SCRIPT in marked.split("## Failures")[1]
    assert marked.index("## Failures") < marked.index("| Component")
    assert "<script>" not in marked.split("## Failures")[0]
    assert "1 FAILED" in report.table(census) and "FAILED Dense-output" in report.footer(census)


def test_what_is_not_offered_or_compared_nothing_has_not_passed() -> None:
    census = synthetic(failing=False)
    outcomes = {(note.row, note.check): note.outcome for note in census.notes}
    assert outcomes["LSTM", "state_dict"] == "not offered"
    assert outcomes["ReLU", "parameter_gradients"] == "nothing to compare"
    assert set(outcomes.values()) < set(OUTCOMES)
    total = census.total()
    assert total.passed + total.not_offered + total.idle == total.checks
    assert (total.not_offered, total.idle) == (1, 9)
    assert "1 not offered" in report.table(census) and "1 not offered" in report.footer(census)
    assert census.holds and terminal.headline(census) == "All 26 components conform in what is offered"
    lacking = Census()
    lacking.notes = [Note("LSTM", "output", not_offered=3)]
    assert not lacking.holds and "passed" not in terminal.verdict(lacking)
    assert terminal.headline(lacking) == "Nothing was compared"
    lacking.notes.append(Note("tanh", "output", examples=1, comparisons=1))
    assert lacking.holds and terminal.headline(lacking) == "tanh conforms; 1 not offered"


def test_what_was_offered_in_part_is_told_everywhere() -> None:
    census = Census(About(components={name: Component("layers", "") for name in ("LSTM", "GRU")}))
    census.notes = [
        Note("LSTM", "output", examples=20, comparisons=100, not_offered=10),
        Note("GRU", "output", examples=30, comparisons=150),
    ]
    assert [line.in_part for line in (*census.lines(), census.total())] == [1, 0, 1] and census.holds
    rows = {line.split()[0]: line for line in report.table(census).splitlines() if line.strip()}
    assert rows["LSTM"].endswith("1 in part") and rows["total"].endswith("1 in part") and "part" not in rows["GRU"]
    assert "2 checks passed, 1 of them on a part of the examples, none failed" in report.footer(census)
    assert report.footer(census).endswith(
        "All 2 components conform in what is offered, the worst error at 0% of what is allowed"
    )
    assert terminal.headline(census) == "All 2 components conform in what is offered"
    assert "<small>1 in part</small>" in page.html(census) and "0 failed, 1 in part" in page.html(census)
    assert "| 1 in part |" in page.markdown(census)
    del census.notes[0]
    assert terminal.verdict(census) == "1 check passed, none failed"


def test_what_is_incomplete_is_red() -> None:
    census = synthetic(failing=False)
    census.about.incomplete = ["numpyml.nn.layers.New has no contract row"]
    assert not census.holds and "1 gap" in terminal.headline(census)
    assert "New has no contract row" in page.html(census) and "New has no contract row" in page.markdown(census)


def test_a_line_holds_what_its_checks_hold() -> None:
    first = Note("Dense", "output", examples=2, comparisons=10, error=0.5, ulps=3.0, torch_ulps=2.0)
    second = Note("Dense", "copies", examples=1, comparisons=4, error=0.25, ulps=5.0, torch_ulps=1.0)
    first.resolution, second.resolution = {"float32": 4.0}, {"float32": 16.0, "float64": 8.0}
    first.findings, second.findings = {"tail": 2}, {"tail": 3}
    first.spread[1], second.spread[1] = 7, 8
    first.promised, first.reached, second.reached = {"ties", "zeros"}, {"ties": 1}, {"ties": 2}
    census = Census()
    census.notes = [first, second]
    (line,) = census.lines()
    assert (line.examples, line.comparisons, line.error, line.ulps, line.torch_ulps) == (3, 14, 0.5, 5.0, 2.0)
    assert line.resolution == {"float32": 16.0, "float64": 8.0} and line.findings == {"tail": 5}
    assert line.spread[1] == 15 and line.unreached == ["zeros"] and line.reached == {"ties": 3}


def test_the_json_gives_the_same_report_byte_for_byte(tmp_path: Path) -> None:
    census = synthetic()
    census.notes[0].resolution["float32"] = float("inf")
    trajectory = next(note for note in census.notes if note.curves)
    trajectory.curves[0].ours[3] = float("nan")
    (tmp_path / "census.json").write_text(json.dumps(census.as_json(), allow_nan=False))
    again = report.read(tmp_path / "census.json")
    assert again.as_json() == census.as_json() == Census.from_json(census.as_json()).as_json()
    for rendering in (page.html, page.markdown, report.table, report.footer):
        assert rendering(again) == rendering(census)


def test_a_page_of_many_components_stays_small() -> None:
    families = {group: [f"{group}{i}" for i in range(20)] for group in FAMILIES if group != "optimizers"}
    families["optimizers"] = [f"Optimizer{i}" for i in range(25)]
    assert len(page.html(synthetic(families)).encode()) < 2_000_000


def test_the_table_fits_a_terminal_of_120_columns() -> None:
    census = synthetic()
    lines = [*report.table(census).splitlines(), *report.footer(census).splitlines()]
    assert max(map(len, lines)) <= 120


def test_the_table_has_no_figure_that_says_nothing() -> None:
    """Errors of ill-conditioned values are many units in the last place: that they are is said, not how many."""
    census = Census(About(components={name: Component("layers", "") for name in "abc"}))
    measured = [1] + [0] * (len(SPREAD) - 1)
    census.notes = [
        Note("a", "output", comparisons=5, ulps=3.2e292, torch_ulps=float("inf"), spread=measured),
        Note("b", "output", comparisons=5, ulps=9999.0, torch_ulps=0.0, spread=measured),
        Note("c", "output", comparisons=5),  # compared in another way
        Note("c", "parameter_gradients"),
        Note("c", "dynamic", not_offered=1),
    ]
    rows = {line.split()[0]: line.split()[5:7] for line in report.table(census).splitlines() if line.strip()}
    a, b, c, total = (rows[name] for name in ("a", "b", "c", "total"))
    assert (a, b, c, total) == ([">9999", ">9999"], ["9999.0", "0.0"], ["-", "-"], [">9999", ">9999"])
    said = report.footer(census)
    assert ">9999" in said and "ill-conditioned" in said and "- where none was measured" in said
    assert "3 checks passed, none failed (1 not offered)" in said
    assert census.as_json()["components"][0]["ulps"] == 3.2e292
    shown = page.markdown(census)
    assert "e+292" not in shown and ">9999" in shown and ">9999" in page.html(census).replace("&gt;", ">")


def test_a_log_gets_a_line_now_and_then_and_failures_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    census = synthetic()
    log = io.StringIO()
    seen = report.watched(iter(census.notes), len(census.notes), log)
    assert next(seen) is census.notes[0]
    assert "FAILED Dense-output" in capsys.readouterr().out  # though the run is far from its end
    assert list(seen) == census.notes[1:]
    assert 5 <= log.getvalue().count("\n") <= 15 and "\r" not in log.getvalue()


def test_a_terminal_gets_a_bar_that_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    census = synthetic(failing=False)
    assert list(report.watched(iter(census.notes), len(census.notes), terminal)) == census.notes
    assert "checks" in terminal.getvalue() and "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r") and capsys.readouterr().out == ""


def test_a_finished_run_becomes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "census.json"
    for failing in (False, True):
        file.write_text(json.dumps(synthetic(failing=failing).as_json()))
        assert main(["report", str(tmp_path), "--from", str(file)]) == int(failing)
        first = {name: (tmp_path / name).read_bytes() for name in report.NAMES}
        assert main(["report", str(tmp_path), "--from", str(file)]) == int(failing)
        assert first == {name: (tmp_path / name).read_bytes() for name in report.NAMES}
        assert "conformance.html" in capsys.readouterr().out.splitlines()[-1]  # where it is, said last


def test_a_run_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    run = ["report", str(tmp_path), "--only", "positive", "--examples", "2", "--jobs", "1"]
    assert main([*run, "--json", str(tmp_path / "census.json")]) == 0
    text = (tmp_path / "conformance.html").read_text()
    parsed(text)
    assert "positive conforms" in text and f"of {len({task.row for task in runner.jobs()})}" in text
    assert str(tmp_path) not in text and str(Path.home()) not in text
    taken = {name: (tmp_path / name).read_bytes() for name in report.NAMES}
    assert main(["report", str(tmp_path), "--from", str(tmp_path / "census.json")]) == 0
    assert taken == {name: (tmp_path / name).read_bytes() for name in report.NAMES}
    capsys.readouterr()


def test_misuse_is_one_line_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from conformance import runner

    monkeypatch.setattr(runner, "run_all", lambda *_: pytest.fail("work was begun"))
    file, odd, text = tmp_path / "file", tmp_path / "odd.json", tmp_path / "text.json"
    good, taken = tmp_path / "good.json", tmp_path / "taken"
    file.touch()
    odd.write_text('{"format": 99}')
    text.write_text("not\nJSON")
    good.write_text(json.dumps(synthetic().as_json()))
    (taken / "conformance.md").mkdir(parents=True)
    for arguments, said in (
        ([str(tmp_path / "no" / "where")], "make the folder first"),
        ([str(file)], "it is a file"),
        ([str(taken)], "there is a folder of this name"),
        ([str(tmp_path), "--json", str(taken)], "there is a folder of this name"),
        ([str(tmp_path), "--from", str(tmp_path / "no.json")], "No such file"),
        ([str(tmp_path), "--from", str(tmp_path)], "Is a directory"),
        ([str(tmp_path), "--from", str(odd)], "its format is 99"),
        ([str(tmp_path), "--from", str(text)], "not a census"),
        ([str(tmp_path), "--from", str(good), "--seed", "3"], "--seed is for running"),
        ([str(tmp_path), "--from", str(good), "--only", "Dense"], "--only is for running"),
    ):
        assert main(["report", *arguments]) == 2, arguments
        printed = capsys.readouterr()
        assert said in printed.err and printed.err.count("\n") == 1 and printed.out == "", arguments
    assert main(["run", "--from", str(good)]) == 2
    assert "takes no --from" in capsys.readouterr().err


@pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere"
)
def test_a_folder_without_permission_is_a_misuse(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Misuse, match="permission denied"):
            report.prepared(tmp_path, *report.NAMES)
    finally:
        tmp_path.chmod(0o700)
