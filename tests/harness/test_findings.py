"""Every finding has its script, and the script shows what it says: what PyTorch answers is not what is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import conformance.findings
from conformance.divergences import FINDINGS

FOLDER = Path(conformance.findings.__file__).parent
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "__init__.py")


def test_every_script_is_on_record_and_every_record_has_a_script() -> None:
    assert sorted({finding.script for finding in FINDINGS}) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_shows_pytorch_off_by_more_than_eight_units_in_the_last_place(script: str) -> None:
    command = [sys.executable, str(FOLDER / script)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (pytorch, got), (true, expected) = (line.split() for line in printed)
    assert (pytorch, true) == ("PyTorch", "true")
    precision = 2.0**-52 if "float64" in (FOLDER / script).read_text() else 2.0**-23
    assert not abs(float(got) - float(expected)) <= 8 * precision * abs(float(expected))  # nor NaN
