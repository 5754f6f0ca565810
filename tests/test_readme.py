"""The code of the README runs, its commands are those of CI, and the files that it names exist."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import numpyml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
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


def test_readme_shows_both_styles() -> None:
    explicit, dynamic = PYTHON
    assert "model.backward(loss_grad)" in explicit and "loss.backward()" in dynamic


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_ci_runs_the_commands_of_the_readme() -> None:
    conformance, quick, tests = COMMANDS
    ci = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert tests in ci
    assert quick in ci and quick == f"{conformance} -- --profile quick"


def test_named_files_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    named = links + re.findall(r"`((?:numpyml|conformance|tests|tools|examples|benchmarks|docs)/[\w/.]*)`", README)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_ci_script_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
