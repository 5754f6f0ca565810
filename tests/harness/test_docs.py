"""The code of 'Check your own framework' runs as it stands on its page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import conformance

PAGE = Path(__file__).parents[2] / "docs" / "check-your-own-framework.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def block(title: str) -> str:
    (code,) = [code for code in blocks("python") if code.startswith(f"# {title}\n")]
    return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("toy.py", "adapter.py", "test_toy.py"):
        (tmp_path / name).write_text(block(name))
    return tmp_path


def mend(folder: Path) -> None:
    toy = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(toy[: toy.index("class ReLU")] + block("toy.py, from ReLU on"))


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)


def command_line() -> list[str]:
    (line,) = [line for line in blocks("bash")[0].splitlines() if line.startswith("python -m ")]
    return [*line.split()[2:], "--jobs", "1", "--profile", "quick"]


def test_mistake_is_detected_with_the_output_of_the_page(folder: Path) -> None:
    ran = run(folder, *command_line())
    assert ran.returncode == 1, ran.stderr
    for line in blocks("text")[0].splitlines():
        assert re.search(re.escape(line).replace(re.escape("..."), ".*"), ran.stdout), line  # which element, is chance
    assert "FAILED Dense" not in ran.stdout


def test_corrected_framework_passes(folder: Path) -> None:
    mend(folder)
    ran = run(folder, *command_line())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "checks passed" in ran.stdout


def test_the_same_from_pytest(folder: Path) -> None:
    pytest_here = ("pytest", "-q", "-p", "no:cacheprovider")
    ran = run(folder, *pytest_here, "test_toy.py")
    assert ran.returncode == 1 and "test_conforms[nn.ReLU]" in ran.stdout, ran.stdout + ran.stderr
    mend(folder)
    ran = run(folder, *pytest_here, "test_toy.py")
    assert ran.returncode == 0 and "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_whole_suite_takes_the_adapter_from_pytest(folder: Path) -> None:
    mend(folder)
    chosen = ("-k", "ReLU-output or Flatten-output")
    suite = str(Path(conformance.__file__).parent)
    ran = run(folder, "pytest", "-q", "-p", "no:cacheprovider", suite, *chosen,
              "--framework", "adapter.py", "--profile", "quick")  # fmt: skip
    assert ran.returncode == 0 and "1 passed, 1 skipped" in ran.stdout, ran.stdout + ran.stderr


def test_example_records_are_read_by_the_harness() -> None:
    from conformance import divergences, frameworks
    from conformance.records import Accepted, Limit, OptionNotState, Refused

    (code,) = [code for code in blocks("python") if "DIFFERENCES" in code]
    adapter = type(sys)("adapter")
    adapter.NAME = "toy"  # type: ignore[attr-defined]
    exec(code, vars(adapter))
    frameworks.use(adapter)
    try:
        assert divergences.reason("CrossEntropyWithLogits", Limit)
        assert divergences.reason("CrossEntropyWithLogits", OptionNotState, "weight")
        assert divergences.reason("Dense", Refused, "input as integers")
        assert divergences.reason("Dense", Accepted, "input in another precision")
        assert divergences.counts() == {"": 1, "Dense": 1, "CrossEntropyWithLogits": 2}
    finally:
        frameworks.use(None)
