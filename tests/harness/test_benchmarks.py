"""The benchmarks' command lines: invalid arguments are refused before anything is measured, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refused(*command: str) -> str:
    """The last line of the error; nothing else is printed."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "", done
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["readme", "--rounds", "0"], "--rounds: expected an integer of 1 or more, got '0'"),
        (["readme", "--rounds", "many"], "--rounds: expected an integer of 1 or more, got 'many'"),
        (["readme", "--seconds", "0"], "--seconds: expected a finite number above 0, got '0'"),
        (["readme", "--seconds", "nan"], "--seconds: expected a finite number above 0, got 'nan'"),
        (["readme", "--json", "nowhere/x.json"], "--json expects a file in an existing folder, got nowhere/x.json"),
        (["chess"], "unknown case 'chess'; expected one of"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_measured(arguments: list[str], message: str) -> None:
    assert message in refused("benchmarks", *arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read "),
        ("{", "expected the results of `python -m benchmarks --json` in "),
        ("[]", "expected the results of `python -m benchmarks --json` in "),
        ("{}", "expected the results of `python -m benchmarks --json` in "),
        ('{"readme": {"title": "x"}}', "expected the results of `python -m benchmarks --json` in "),
    ],
)
def test_invalid_results_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    results, picture = tmp_path / "results.json", tmp_path / "picture.svg"
    if text is not None:
        results.write_text(text, "utf-8")
    assert message + str(results) in refused("benchmarks.plot", str(results), str(picture))
    assert not picture.exists()


def test_unwritable_picture_is_refused(tmp_path: Path) -> None:
    message = refused("benchmarks.plot", "benchmarks/results.json", str(tmp_path / "nowhere" / "x.svg"))
    assert "PICTURE.svg expects a file in an existing folder, got " in message
