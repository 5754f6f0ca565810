"""Mutants change every file of numpyml, except thresholds of speed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "mutants.py"
_spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
assert _spec and _spec.loader
sys.modules["mutants"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["mutants"])
from mutants import EQUIVALENT, FILES, ROOT, TESTS, mutants  # noqa: E402

NOTHING_TO_CHANGE = 5  # mutants: files with fewer hold names, constants or types


def test_every_file_is_mutated() -> None:
    files = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")]
    assert {file for file in files if len(mutants(file)) > NOTHING_TO_CHANGE} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_each_file_has_tests(file: str) -> None:
    assert all((TESTS / own).exists() for own in FILES[file].split())


def test_equivalent_mutants_still_exist_in_the_source() -> None:
    assert set(EQUIVALENT) <= {(m.file, m.text, m.change) for file in FILES for m in mutants(file)}
    assert all(EQUIVALENT.values())


def test_only_thresholds_of_speed_are_not_mutated() -> None:
    in_products = [m.change for m in mutants("kernels/products.py") if m.text.startswith("if 2 < len(rows) <= ")]
    assert sorted(in_products) == ["2 -> 3", "And -> Or", "Lt -> LtE"]
    text = "if x.ndim == 2 and x.shape[1] >= thresholds.CLASSES_LAST:"
    in_losses = [m.change for m in mutants("nn/losses/cross_entropy.py") if m.text == text]
    assert sorted(in_losses) == ["1 -> 2", "2 -> 3", "And -> Or", "Eq -> NotEq"]


def test_unchanged_file_passes_its_tests(tmp_path: Path) -> None:
    lines = tmp_path / "lines.json"
    lines.write_text("{}", "utf-8")
    command = [sys.executable, str(SCRIPT), "--file", "nn/utils", "--sample", "0", "--jobs", "1", "--lines", str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 0 mutants are detected" in done.stdout
