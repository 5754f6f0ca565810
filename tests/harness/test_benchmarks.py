"""The benchmarks' command lines: misuse is told before anything is measured, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refused(*command: str) -> str:
    """What is said, in one line, under the usage; nothing else is printed."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "", done
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["readme", "--rounds", "0"], "--rounds: expected a whole number of 1 or more, got '0'"),
        (["readme", "--rounds", "many"], "--rounds: expected a whole number of 1 or more, got 'many'"),
        (["readme", "--seconds", "0"], "--seconds: expected a finite number above 0, got '0'"),
        (["readme", "--seconds", "nan"], "--seconds: expected a finite number above 0, got 'nan'"),
        (["readme", "--json", "nowhere/x.json"], "--json expects a file in a folder that is there, got nowhere/x.json"),
        (["chess"], "unknown case 'chess'; expected one of"),
    ],
)
def test_misuse_is_told_before_anything_is_measured(arguments: list[str], said: str) -> None:
    assert said in refused("benchmarks", *arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read "),
        ("{", "expected what `python -m benchmarks --json` keeps in "),
        ("[]", "expected what `python -m benchmarks --json` keeps in "),
        ("{}", "expected what `python -m benchmarks --json` keeps in "),
        ('{"readme": {"title": "x"}}', "expected what `python -m benchmarks --json` keeps in "),
    ],
)
def test_results_that_are_none_are_told(text: str | None, said: str, tmp_path: Path) -> None:
    results, picture = tmp_path / "results.json", tmp_path / "picture.svg"
    if text is not None:
        results.write_text(text, "utf-8")
    assert said + str(results) in refused("benchmarks.plot", str(results), str(picture))
    assert not picture.exists()


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    said = refused("benchmarks.plot", "benchmarks/results.json", str(tmp_path / "nowhere" / "x.svg"))
    assert "PICTURE.svg expects a file in a folder that is there, got " in said
