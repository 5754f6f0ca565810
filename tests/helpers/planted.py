"""Runs tests with faults planted, each by the test that must see it: ``python tests/helpers/planted.py training``.

The faults are those of ``faults/training.py``: every third one, or all with ``FAULTS=all``. A fault is seen where its
test fails by an assertion, or by a warning. A crash is no proof: it says nothing about what the test asserts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings

from conformance.faults.fault import Fault

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
SKIPPED = pytest.skip.Exception  # where a platform lacks what a test needs
# Faults import what a plugin of pytest would rewrite: Hypothesis, whose assertions say nothing here.
IMPORTED = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
MARK = "\nProblems: "


class Planting:
    """A plugin of pytest: of the collected tests it runs those of each fault, with the fault planted."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults
        self.problems: list[str] = []
        self.raised: list[BaseException] = []

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        if call.excinfo is not None:
            self.raised.append(call.excinfo.value)

    def pytest_runtestloop(self, session: Any) -> bool:
        named = {
            fault.check: [item for item in session.items if fault.check in names_of(item)] for fault in self.faults
        }
        for fault in self.faults:
            self.problems += [
                f"{fault.name}: {problem}" for problem in [self.problem(fault, named[fault.check])] if problem
            ]
        # Last, for it also shows whether a fault has left something behind.
        self.problems += [
            f"{check}: {first_line(error)} without a fault"
            for check in named
            for error in self.run(named[check])
            if not isinstance(error, SKIPPED)
        ]
        return True

    def problem(self, fault: Fault, items: Sequence[Any]) -> str:
        """Why the fault is not seen; empty where it is."""
        crashes = []
        with planted_for(fault, items):
            for item in items:
                errors = self.run([item])
                if any(is_seen(error) or isinstance(error, SKIPPED) for error in errors):
                    return ""
                crashes += errors
        if crashes:
            return f"{fault.check} ended in an error instead of an assertion: {first_line(crashes[0])}"
        return f"{fault.check} {'passed' if items else 'is no test'}"

    def run(self, items: Sequence[Any]) -> list[BaseException]:
        """What the tests raise."""
        self.raised = []
        for item in items:
            # nextitem=None: fixtures of a module are made anew, too; in a context of its own no variable is left behind
            copy_context().run(item.ihook.pytest_runtest_protocol, item=item, nextitem=None)
        return self.raised


@contextmanager
def planted_for(fault: Fault, items: Sequence[Any]) -> Iterator[None]:
    """Context manager: the fault is planted, also where a test has imported the attribute by name."""
    right = vars(fault.owner)[fault.attribute]
    with fault.planted(), ExitStack() as stack:
        for module in {item.module for item in items if not isinstance(right, ModuleType)}:
            for name in [name for name, value in vars(module).items() if value is right]:
                stack.enter_context(patch.object(module, name, vars(fault.owner)[fault.attribute]))
        yield


def is_seen(error: BaseException) -> bool:
    """Whether a test has failed as it means to: by an assertion, or by a warning of numpyml's where it expects none."""
    return isinstance(error, (AssertionError, pytest.fail.Exception)) or type(error) is UserWarning


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def names_of(item: Any) -> tuple[str, str]:
    """A test as faults name it: with all its parameters, or with these."""
    file = item.path.relative_to(TESTS).as_posix()
    return f"{file}::{item.originalname}", f"{file}::{item.name}"


def planted(name: str) -> list[Fault]:
    """The faults of a file that are planted in this run."""
    every: list[Fault] = import_module(f"faults.{name}").FAULTS
    return every if os.environ.get("FAULTS") == "all" else every[::3]


def unseen(name: str) -> list[str]:
    """What is wrong with the faults of a file, or with their tests; found in a process of its own."""
    command = [sys.executable, HELPERS / "planted.py", name]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    process = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
    printed = process.stdout.partition(MARK)
    complete = process.returncode == 0 and printed[1]
    return json.loads(printed[2]) if complete else [process.stdout + process.stderr]


def main(name: str) -> int:
    settings.register_profile("planted", database=None, derandomize=True)
    settings.load_profile("planted")
    plugin = Planting(planted(name))
    files = sorted({fault.check.partition("::")[0] for fault in plugin.faults})
    options = ["-q", "-rN", "--tb=no", "-pno:cacheprovider", "-pno:xdist", *IMPORTED]
    code = pytest.main([*options, *(str(TESTS / file) for file in files)], [plugin])
    print(MARK, json.dumps(plugin.problems, indent=1), sep="")
    return 0 if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
