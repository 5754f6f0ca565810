"""Other frameworks under the harness: docs/peers.md says what a run shows.

These need mygrad, mynn, autograd, JAX, flax and optax, in an environment of their own: tox -e peers.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from conformance import frameworks, runner

PAGE = (Path(__file__).parents[2] / "docs" / "peers.md").read_text()
VERDICTS = ("conforms", "differs", "not offered")


@pytest.fixture(params=["mygrad", "mynn", "hips_autograd", "flax_optax"])
def adapter(request: pytest.FixtureRequest) -> Any:
    return frameworks.load(request.param)


def test_an_adapter_has_the_signatures_of_the_protocol(adapter: Any) -> None:
    promised = vars(frameworks.Adapter)
    known = {name: inspect.signature(member) for name, member in promised.items() if inspect.isfunction(member)}
    offered = [name for name in known if not name.startswith("_") and hasattr(adapter, name)]
    assert offered
    for name in offered:
        expected = list(known[name].parameters.values())[1:]
        actual = list(inspect.signature(getattr(adapter, name)).parameters.values())
        assert [(p.name, p.kind) for p in actual] == [(p.name, p.kind) for p in expected], name


@pytest.mark.parametrize("name", ["mygrad", "mynn", "hips_autograd", "flax_optax"])
def test_an_adapter_is_found_by_its_name_from_anywhere(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conformance", "list", "--framework", name]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("mynn", "Dense-output"),
        ("mynn", "Dense-input_gradients"),
        ("mynn", "Dense-parameter_gradients"),
        ("mynn", "Sigmoid-input_gradients"),
        ("mynn", "MeanSquaredError-input_gradients"),
        ("mynn", "Dropout-mask_statistics"),
        ("mynn", "logaddexp-function_gradients"),
        ("mygrad", "einsum-function_gradients"),
        ("hips_autograd", "matmul-function_gradients"),
        ("hips_autograd", "split-function_gradients"),
        ("flax_optax", "Embedding-parameter_gradients"),
        ("flax_optax", "RMSNorm-parameter_gradients"),
        ("flax_optax", "SGD-trajectory"),
    ],
)
def test_what_is_right_is_compared_and_passes(name: str, check: str) -> None:
    note = run(name, check)
    assert not note.failure and note.comparisons > 0


@pytest.mark.parametrize(
    ("name", "check", "message"),
    [
        ("mynn", "Huber-output", "delta=0.5|delta=30.0|delta=0.001"),
        ("mynn", "ReLU-output", "got .*nan"),
        ("mynn", "Dense-initial_values", "extreme of initial values of weight"),
        ("mynn", "SGD-trajectory", "weight_decay"),
        ("mygrad", "maximum-function_gradients", "gradient of a"),
        ("hips_autograd", "prod-function_gradients", "got .*nan"),
        ("flax_optax", "LayerNorm-large", "gradient of x"),
        ("flax_optax", "Huber-input_gradients", "gradient of outputs"),
        ("flax_optax", "logaddexp-function_gradients", "gradient of a"),
    ],
)
def test_what_differs_is_detected(name: str, check: str, message: str) -> None:
    assert re.search(message, run(name, check).failure)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("mynn", "Flatten-output"),
        ("mynn", "Dense-accumulation"),
        ("mynn", "SGD-restart"),
        ("mynn", "programs-training_float64"),
        ("mygrad", "Dense-output"),
        ("mygrad", "flip-output"),
        ("hips_autograd", "SGD-trajectory"),
        ("hips_autograd", "clip-function_gradients"),
    ],
)
def test_what_is_lacking_is_not_offered(name: str, check: str) -> None:
    note = run(name, check)
    assert note.not_offered and not note.examples and not note.comparisons and not note.failure


def run(name: str, check: str) -> Any:
    frameworks.use(frameworks.load(name))
    try:
        return runner.run(runner.Task(*check.split("-")))
    finally:
        frameworks.use(None)


@pytest.mark.parametrize(("title", "name"), [("mygrad", "mynn"), ("autograd", "hips_autograd")])
def test_the_tables_of_the_page_are_what_a_run_shows(title: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "census.json"
    command = [sys.executable, "-m", "conformance", "--framework", name, "--json", str(file)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    checks = json.loads(file.read_text())["checks"]
    components: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for row in dict.fromkeys(check["row"] for check in checks):
        own = [check for check in checks if check["row"] == row]
        compared = sum(check["comparisons"] for check in own)
        differs = any(check["failure"] for check in own)
        components["differs" if differs else "conforms" if compared else "not offered"].append(row)
    section = PAGE[PAGE.index(f"## {title}") :]
    for verdict, rows in components.items():
        line = next(line for line in section.splitlines() if line.startswith(f"| {verdict} |"))
        listed = re.findall(r"`(.+?)`", line)
        expected = f"| {verdict} | {len(rows)} | {', '.join(f'`{row}`' for row in rows)} |"
        # Which of equal numbers comes first in NumPy's sort, and with it in autograd's, depends on the processor.
        assert set(listed) ^ set(rows) <= {"sort"}, expected
        assert f"| {len(listed)} |" in line


SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.splitlines()[0].lstrip("# ") for script in SCRIPTS])
@pytest.mark.filterwarnings("ignore")
def test_a_script_of_the_page_prints_the_comments_beside_it(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(script, {})
    expected = [line.split("  # ")[1] for line in script.splitlines() if "print(" in line]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(expected) > 1
    for line, comment in zip(printed, expected, strict=True):
        assert line == comment or comment.endswith("on some processors")


def test_the_page_names_the_versions() -> None:
    for package in ("mygrad", "mynn", "autograd", "torch", "jax", "flax", "optax"):
        assert version(package).split("+")[0] in PAGE
