"""``python -m conformance``: run the suite, list what it covers, explain a component, report."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.errors import Misuse

if TYPE_CHECKING:
    from conformance.results.census import Census
    from conformance.runner import Task

USAGE = """
report writes conformance.html and conformance.md; without --from it runs the suite first

exit codes: 0 all checks passed, 1 a check failed, 2 misuse (unknown component or profile, a path that cannot be read or
written, PyTorch missing or of another version)
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m conformance",
        description="Hold every layer, loss, optimizer and derivative of numpyml to PyTorch.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("command", nargs="?", default="run", choices=["run", "list", "explain", "report"])
    made.add_argument(
        "subject",
        nargs="?",
        help="for explain: the component, such as Dense; for report: the folder, by default this one",
    )
    made.add_argument(
        "--from", dest="census", type=Path, metavar="FILE", help="for report: a finished run, as --json wrote it"
    )
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
    made.add_argument(
        "--record-floors", action="store_true", help="make what this run compares the measure of later runs"
    )
    made.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes; the result is the same")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code."""
    made = parser()
    given = made.parse_intermixed_args(arguments)
    try:
        if given.subject is not None and given.command not in ("explain", "report"):
            raise Misuse(f"{given.command} takes no component; for one alone: --only {given.subject}")
        for option in beside(given, RUN_OPTIONS - TAKEN_BY.get(given.command, RUN_OPTIONS)):
            raise Misuse(f"{given.command} takes no {option}; it is for running")
        if given.jobs < 1:
            raise Misuse(f"--jobs expects a number of processes of 1 or more, got {given.jobs}")
        if given.census is not None and given.command != "report":
            raise Misuse(f"{given.command} takes no --from; it is for report")
        for needed in ("hypothesis", "jinja2", "tqdm"):
            if find_spec(needed) is None:
                raise Misuse(f'{needed} is not installed; in a checkout: python -m pip install ".[conformance]"')
        from conformance import frameworks

        frameworks.use(frameworks.load(given.framework))
        if given.command == "list":
            return listing()
        if given.command == "explain":
            return explanation(given)
        return suite(given)
    except Misuse as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it flushes
        return 0


def listing() -> int:
    """Every component, with what PyTorch calls it."""
    from conformance import contracts
    from conformance.rows import FunctionRow, peer

    for row in contracts.rows():
        print(f"{row.name:32}{'NumPy function' if isinstance(row, FunctionRow) else peer(row)}")
    print(f"{'programs':32}random models, trained side by side")
    return 0


def explanation(given: argparse.Namespace) -> int:
    """What is checked of one component, over which options, with which reference."""
    from conformance import references, runner
    from conformance.comparison import rule as bound
    from conformance.rows import FunctionRow, ModuleRow, peer

    name = given.subject
    if name is None:
        raise Misuse("explain expects a component, such as: python -m conformance explain Dense")
    tasks = runner.planned([name], given.profile, given.examples)
    row = runner.row_of(name)
    print(f"{row.name if row else name}, held to {peer(row) if row else 'PyTorch'}")
    reference = "none: PyTorch itself, as the checks say"
    if isinstance(row, (ModuleRow, FunctionRow)):
        reference = references.how(row.reference)
    print(f"  wider reference: {reference}")
    for option, strategy in getattr(row, "options", {}).items():
        print(f"  option {option}: {' '.join(repr(strategy).split()):.150}")
    for task in tasks:
        examples = runner.examples_of(task, given.profile, given.examples)
        print(f"  {task.check} ({examples} examples)\n      {runner.jobs()[task].check.text}")
    print("\n" + (bound.__doc__ or ""))
    return 0


def suite(given: argparse.Namespace) -> int:
    """Run the checks, or take a finished run; print the table, and write what was asked for."""
    from conformance import report

    folder = Path(given.subject or ".") if given.command == "report" else None
    if given.census is None:
        planned(given)  # before a folder is made
    if folder is not None:
        report.prepared(folder, *report.NAMES)
    if given.json is not None:
        report.prepared(given.json.parent, given.json.name)
    census = ran(given) if given.census is None else finished(given)
    for line in census.about.incomplete:
        print(f"INCOMPLETE {line}")
    print(report.table(census))
    print(report.footer(census))
    if given.json is not None:
        given.json.write_text(json.dumps(census.as_json(), indent=1) + "\n", encoding="utf-8")
    if folder is not None:
        print("written:", *(file.resolve() for file in report.write(census, folder)))
    return 0 if census.holds else 1


def ran(given: argparse.Namespace) -> Census:
    """The census of a run."""
    from conformance import frameworks, report, runner
    from conformance.results import completeness, floors
    from conformance.results.census import Census

    wanted = planned(given)
    from conformance.report.about import about  # needs PyTorch, which is now known to be there

    seed = runner.SEED if given.seed is None else given.seed
    census = Census(about(given.profile, seed, given.examples))
    notes = runner.run_all(wanted, given.profile, seed, given.examples, given.jobs, given.framework)
    census.notes.extend(report.watched(notes, len(wanted)))
    if frameworks.under_test().NAME == "numpyml" and given.examples is None:
        missing = completeness.unreached(census.notes) + completeness.blunt(census.notes)
        if seed == runner.SEED:  # a fresh seed may meet what nobody has seen yet
            missing += completeness.unrecorded(census.notes)
        rows = {task.row for task in wanted} if given.only else None
        missing += floors.dropped(((task.row, task.check) for task in wanted), only=rows)
        if given.record_floors:
            floors.record(census.notes, given.profile)
        else:
            firm = floors.same_draws(seed, runner.SEED, {note.row for note in census.notes})
            missing += floors.shortfalls(census.notes, given.profile, firm)
        census.about.incomplete.extend(missing)
    return census


def planned(given: argparse.Namespace) -> list[Task]:
    """What is to be run, or a Misuse."""
    from conformance import runner

    wanted = runner.planned(given.only, given.profile, given.examples)
    if given.record_floors and (given.examples is not None or given.seed is not None or given.framework is not None):
        raise Misuse(
            "--record-floors takes the suite's own seed and the profile's examples; "
            "leave out --seed, --examples and --framework"
        )
    runner.ready()
    return wanted


def finished(given: argparse.Namespace) -> Census:
    """The census of a run that was written with ``--json``."""
    from conformance import report

    for option in beside(given, RUN_OPTIONS):
        raise Misuse(f"--from takes a run that is finished; {option} is for running one")
    return report.read(given.census)


RUN_OPTIONS = {"only", "profile", "examples", "seed", "json", "jobs", "framework", "record_floors"}
TAKEN_BY = {"list": {"framework"}, "explain": {"framework", "profile", "examples"}}  # of the others, all


def beside(given: argparse.Namespace, options: Iterable[str]) -> list[str]:
    """Those of the options that were given, as they are typed."""
    made = parser()
    return [f"--{name.replace('_', '-')}" for name in sorted(options) if getattr(given, name) != made.get_default(name)]


if __name__ == "__main__":
    sys.exit(main())
