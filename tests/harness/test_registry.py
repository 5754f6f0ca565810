"""Every check is registered, once, in a module that the runner knows."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import pytest

from conformance import checks, contracts, runner
from conformance.checks.registry import PROFILES, check, checks_of
from conformance.results.census import Note
from conformance.rows import ModuleRow


def test_every_module_of_checks_runs() -> None:
    modules = {module.name for module in pkgutil.iter_modules([str(Path(checks.__file__ or "").parent)])}
    ordered = {module.__name__.rpartition(".")[2] for module in runner.ORDER}
    assert modules - ordered == {"registry", "turns"}
    assert all(checks_of(module) for module in runner.ORDER)


def test_every_check_has_a_description_and_runs_on_some_row() -> None:
    names = {task.check for task in runner.jobs()}
    for known in (known for module in runner.ORDER for known in checks_of(module)):
        assert known.text and known.name in names


def test_names_of_checks_are_unique() -> None:
    def output(case: Any, note: Note) -> None:
        raise AssertionError

    with pytest.raises(AssertionError, match="two checks are called output"):
        check(rows=ModuleRow)(output)


def test_a_row_of_many_parts_gets_fewer_examples() -> None:
    dense, transformer = (runner.Task(name, "output") for name in ("Dense", "Transformer"))
    assert [runner.examples_of(dense, profile) for profile in PROFILES] == [20, 80, 960]
    assert [runner.examples_of(transformer, profile) for profile in PROFILES] == [4, 16, 192]
    assert runner.examples_of(transformer, "thorough", 7) == 7
    masks = runner.Task("Transformer", "mask_statistics")
    assert runner.examples_of(masks, "default") == 24
    assert {row.name for row in contracts.module_rows() if row.composed} > {"Transformer"}
