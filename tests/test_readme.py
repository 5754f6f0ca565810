"""The README keeps its word: its code runs, its commands are those of CI."""

import importlib.util
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import numpyml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# Those that need PyTorch are run by harness/test_docs.py, those that need scikit-learn by extras/test_readme.py.
PYTHON = [code for code in BLOCKS if "import conformance" not in code and "numpyml.estimators" not in code]
COMMANDS = re.findall(r"^ *```bash\n *(.*?)\n *```", README, re.MULTILINE)


def points(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two features, and whether they have the same sign."""
    x = rng.normal(size=(n, 2)).astype(np.float32)
    return x, (x.prod(axis=1, keepdims=True) > 0).astype(np.float32)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_code_runs_as_it_stands(code: str) -> None:
    numpyml.manual_seed(0)
    rng = np.random.default_rng(0)
    x_train, y_train = points(rng, 200)
    names = {"X_train": x_train, "y_train": y_train, "__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    assert np.isfinite(float(names["loss"]))


def test_there_is_code_to_run() -> None:
    assert len(PYTHON) == 4 and len(BLOCKS) == 6
    assert "X_train" in PYTHON[1]


def test_first_screen_learns_the_sine(capsys: pytest.CaptureFixture[str]) -> None:
    numpyml.manual_seed(0)
    exec(compile(PYTHON[0], "README.md", "exec"), {})
    found = re.search(r"to within ([\d.]+)", capsys.readouterr().out)
    assert found
    assert float(found[1]) < 0.05


def test_set_up_takes_two_commands_and_ci_runs_both() -> None:
    conformance, quick, tests = COMMANDS
    ci = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert tests in ci
    assert quick in ci and quick == f"{conformance} -- --profile quick"


def test_files_that_are_named_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    named = links + re.findall(r"`((?:numpyml|conformance|tests|examples|benchmarks)/[\w/.]*)`", README)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_ci_script_can_be_executed() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_performance_is_what_the_benchmarks_kept() -> None:
    """The table is the one that benchmarks/plot.py prints of benchmarks/results.json, which the documentation shows."""
    spec = importlib.util.spec_from_file_location("plot", ROOT / "benchmarks" / "plot.py")
    assert spec and spec.loader
    plot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plot)
    assert plot.table(json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))) in README
