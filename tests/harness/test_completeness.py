"""Take away any row or any option's strategy, and the suite is red: n of n."""

from __future__ import annotations

from dataclasses import replace

from conformance import completeness, contracts
from conformance.rows import FunctionRow


def test_nothing_is_missing() -> None:
    assert completeness.problems() == []


def test_every_row_is_missed() -> None:
    rows = contracts.rows()
    for i, row in enumerate(rows):
        assert completeness.problems([*rows[:i], *rows[i + 1 :]]), f"{row.name} is not missed"


def test_every_option_strategy_is_missed() -> None:
    rows = contracts.rows()
    for i, row in enumerate(rows):
        if isinstance(row, FunctionRow):
            continue
        for option in row.options:
            left = {name: strategy for name, strategy in row.options.items() if name != option}
            problems = completeness.problems([*rows[:i], replace(row, options=left), *rows[i + 1 :]])
            assert problems == [f"{row.name}({option}=...) has no strategy"]
