"""The code of the README runs, its commands are those of CI, and the files that it names exist."""

import os
import re
from pathlib import Path

import pytest

import numpyml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^ *```bash\n *(.*?)\n *```", README, re.MULTILINE)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_code_runs_and_learns(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    numpyml.manual_seed(0)
    names = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    assert float(names["loss"]) < 0.1
    assert capsys.readouterr().out


def test_readme_shows_both_styles() -> None:
    explicit, dynamic = PYTHON
    assert "model.backward(loss_grad)" in explicit and "loss.backward()" in dynamic


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 140


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
