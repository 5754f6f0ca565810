"""``python -m conformance``: run the suite, list what it covers, explain a component."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from conformance.errors import Misuse

USAGE = """
exit codes: 0 all checks passed, 1 a check failed, 2 misuse (unknown component or profile, PyTorch missing or of
another version)
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m conformance",
        description="Hold every layer, loss, optimizer and derivative of numpyml to PyTorch.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("command", nargs="?", default="run", choices=["run", "list", "explain"])
    made.add_argument("component", nargs="?", help="for explain: the component, such as Dense")
    made.add_argument("--only", metavar="NAME", action="append", help="run this component alone; may be repeated")
    made.add_argument("--profile", default="default", help="quick, default or thorough")
    made.add_argument(
        "--examples", type=int, metavar="N", help="examples for each check, instead of the profile's number"
    )
    made.add_argument(
        "--seed", type=int, metavar="N", help="another seed than the suite's; the same seed, the same run"
    )
    made.add_argument("--framework", metavar="FILE", help="hold another framework to PyTorch: the path of its adapter")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the census to this file")
    made.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes; the result is the same")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code."""
    made = parser()
    given = made.parse_args(arguments)
    try:
        if given.component is not None and given.command != "explain":
            raise Misuse(f"{given.command} takes no component; for one alone: --only {given.component}")
        if given.only and given.command != "run":
            raise Misuse(f"{given.command} takes no --only; it is for running")
        if find_spec("hypothesis") is None:
            raise Misuse("hypothesis is not installed; pip install 'provengrad[conformance]', or run it through tox")
        from conformance import frameworks

        frameworks.use(frameworks.load(given.framework))
        if given.command == "list":
            return listing()
        if given.command == "explain":
            return explanation(given.component)
        return suite(given)
    except Misuse as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2


def listing() -> int:
    """Every component, with what PyTorch calls it."""
    from conformance import contracts
    from conformance.rows import FunctionRow

    for row in contracts.rows():
        print(f"{row.name:32}{'NumPy function' if isinstance(row, FunctionRow) else 'torch.' + row.torch}")
    print(f"{'programs':32}random models, trained side by side")
    return 0


def explanation(name: str | None) -> int:
    """What is checked of one component, over which options, with which reference."""
    from conformance import bound, runner

    if name is None:
        raise Misuse("explain expects a component, such as: python -m conformance explain Dense")
    tasks = runner.tasks(name)
    row = runner.row_of(name)
    theirs = getattr(row, "torch", None)
    print(f"{name}, held to {'torch.' + theirs if isinstance(theirs, str) else 'PyTorch'}")
    for option, strategy in getattr(row, "options", {}).items():
        print(f"  option {option}: {' '.join(repr(strategy).split()):.150}")
    for task in tasks:
        text = " ".join((runner.jobs()[task].check.__doc__ or "").split())
        print(f"  {task.check} ({runner.examples_of(task.check, 'default')} examples)\n      {text}")
    print("\n" + (bound.__doc__ or ""))
    return 0


def suite(given: argparse.Namespace) -> int:
    """Run the checks and print the table."""
    from conformance import frameworks, runner

    wanted = runner.planned(given.only, given.profile, given.examples)
    if given.json is not None and not given.json.resolve().parent.is_dir():
        raise Misuse(f"cannot write {given.json}: its folder does not exist; make it first")
    runner.ready()

    from conformance import completeness, report
    from conformance.census import Census

    own = frameworks.under_test().NAME == "numpyml"  # of another framework, what is missing is not offered
    missing = completeness.problems() if own else []
    census = Census()
    seed = runner.SEED if given.seed is None else given.seed
    for note in runner.run_all(wanted, given.profile, seed, given.examples, given.jobs, given.framework):
        census.notes.append(note)
        report.progress(len(census.notes), len(wanted), note)
    for note in census.failures:
        print(report.failure(note) + "\n")
    for line in missing:
        print(f"INCOMPLETE {line}")
    print(report.table(census))
    print(report.footer(census))
    if given.json is not None:
        given.json.write_text(json.dumps({**census.as_json(), "incomplete": missing, "seed": seed}, indent=1) + "\n")
    return 1 if census.failures or missing else 0


if __name__ == "__main__":
    sys.exit(main())
