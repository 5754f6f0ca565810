"""The benchmarks' command lines: misuse is told before anything is measured, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as measuring
from benchmarks import plot


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
def test_misuse_is_told_before_anything_is_measured(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        measuring.main(arguments)
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert said in printed.err and printed.out == ""


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
def test_results_that_are_none_are_told(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, picture = tmp_path / "results.json", tmp_path / "picture.svg"
    if text is not None:
        results.write_text(text, "utf-8")
    with pytest.raises(SystemExit) as stopped:
        plot.main([str(results), str(picture)])
    assert stopped.value.code == 2
    assert said + str(results) in capsys.readouterr().err and not picture.exists()


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Path(plot.__file__).with_name("results.json")
    with pytest.raises(SystemExit) as stopped:
        plot.main([str(results), str(tmp_path / "nowhere" / "x.svg")])
    assert stopped.value.code == 2
    assert "PICTURE.svg expects a file in a folder that is there, got " in capsys.readouterr().err
