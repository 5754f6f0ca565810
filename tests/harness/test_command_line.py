"""The command line: exit codes, messages, and a census that one seed repeats."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import runner
from conformance.__main__ import main


def test_a_run_that_passes_ends_with_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "census.json"
    assert main(["--only", "Dense", "--examples", "3", "--json", str(file), "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Dense" in printed and "total" in printed and "checks passed" in printed
    assert json.loads(file.read_text())["total"]["failed"] == 0
    assert main(["--only", "Dense", "--examples", "3", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "Dens"], "unknown component 'Dens'; did you mean Dense?"),
        (["--only", "DENSE"], "did you mean Dense?"),
        (["--only", "ΩΩ"], "unknown component 'ΩΩ'; `python -m conformance list` shows all"),
        (["--only", "Dense", "--jobs", "0"], "--jobs expects"),
        (["--profile", "quik"], "unknown profile 'quik'"),
        (["--examples", "0"], "--examples expects"),
        (["--only", "Dense", "--json", "/nowhere/at/all.json"], "cannot write"),
        (["explain"], "explain expects a component"),
        (["explain", "Dens"], "did you mean Dense?"),
        (["explain", "Dense", "--profile", "quik"], "unknown profile 'quik'"),
        (["explain", "Dense", "--json", "census.json"], "explain takes no --json"),
        (["explain", "Dense", "--seed", "3"], "explain takes no --seed"),
        (["run", "Dense"], "--only Dense"),
        (["list", "--only", "Dense"], "list takes no --only"),
        (["list", "--jobs", "1", "--profile", "quick"], "list takes no --jobs"),
        (["--record-floors", "--seed", "3"], "the suite's own seed"),
        (["--record-floors", "--examples", "3"], "the profile's examples"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that nobody may write to, root neither")
@pytest.mark.parametrize("arguments", [["--only", "Dense", "--json", "/proc/census.json"], ["report", "/proc"]])
def test_a_folder_that_cannot_be_written_is_known_before_any_run(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.__main__.census_of_run", lambda options: pytest.fail("it ran"))
    assert main(arguments) == 2
    assert "cannot write to /proc" in capsys.readouterr().err


def test_explain_gives_the_examples_of_the_profile(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {}
    for options in ((), ("--profile", "quick"), ("--examples", "7")):
        assert main(["explain", "nn.Linear", *options]) == 0
        counts[options] = re.findall(r"  output \((\d+) examples\)", capsys.readouterr().out)
    assert list(counts.values()) == [["80"], ["20"], ["7"]]


@pytest.mark.parametrize(
    ("stub", "said"), [("raise ImportError('no torch')", "not installed"), ("__version__ = '1.0'", "found 1.0")]
)
def test_without_the_supported_pytorch_it_says_so_at_once(stub: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(stub + "\n")
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    start += "from conformance.__main__ import main; sys.exit(main({}))"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = start.format(list(arguments))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    ran = run()
    assert ran.returncode == 2
    assert said in ran.stderr and "pip install torch==" in ran.stderr and ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("conformance: PyTorch 2.13.0 is needed")
    assert run("list").returncode == 0
    assert run("explain", "Dense").returncode == 0
    for call in ("twin", "assert_conforms"):
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import conformance; conformance.{call}(None)"
        line = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
        assert line.splitlines()[-1] == ran.stderr.strip().replace("conformance: ", "conformance.errors.Misuse: ", 1)


def test_a_failure_is_printed_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    from conformance.faults import faults

    with faults()[0].planted():
        assert main(["--only", "Dense", "--examples", "20", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    for part in ("FAILED Dense-input_gradients", "gradient of x", "expected", "x = f", "seed =", "--only Dense"):
        assert part in printed


def test_a_component_named_twice_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--only", "copy", "--examples", "2", "--jobs", "1"]
    assert main(run) == 0
    once = capsys.readouterr().out
    assert main([*run, "--only", "copy"]) == 0
    assert capsys.readouterr().out == once


def test_less_than_was_recorded_is_red(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from conformance.results import floors

    monkeypatch.setattr(floors, "FOLDER", tmp_path)
    monkeypatch.setattr(floors, "dropped", lambda *_, **__: [])  # nothing was recorded
    run = ["--only", "copy", "--profile", "quick", "--jobs", "1"]
    floors.counts.cache_clear()
    try:
        assert main(run) == 1
        assert "INCOMPLETE there are no floors; record them: " in capsys.readouterr().out
        assert main([*run, "--record-floors"]) == 0
        assert main(run) == 0
        counts = floors.counts()["quick"]["copy"]
        counts["output"] *= 2
        assert main(run) == 1
        assert "INCOMPLETE copy-output: " in capsys.readouterr().out
    finally:
        floors.counts.cache_clear()


def test_a_component_is_found_by_pytorchs_name_with_or_without_its_module() -> None:
    for name, ours in (("nn.Linear", "Dense"), ("Linear", "Dense"), ("MSELoss", "MeanSquaredError"), ("SGD", "SGD")):
        row = runner.row_of(name)
        assert row is not None and row.name == ours
