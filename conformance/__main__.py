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

exit codes: 0 all checks passed; 1 a check failed, a line says INCOMPLETE, or nothing was compared; 2 misuse (unknown
component or profile, a path that cannot be read or written, PyTorch missing or of another version); 3 no check failed,
but a component is inconclusive: less than a third of its examples compared something
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command_line = argparse.ArgumentParser(
        "python -m conformance",
        description="Hold every layer, loss, optimizer and derivative of numpyml to PyTorch.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command_line.add_argument("command", nargs="?", default="run", choices=["run", "list", "explain", "report"])
    command_line.add_argument(
        "subject",
        nargs="?",
        help="for explain: the component, such as Dense; for report: the folder, by default this one",
    )
    command_line.add_argument(
        "--from", dest="census", type=Path, metavar="FILE", help="for report: a finished run, as --json wrote it"
    )
    command_line.add_argument(
        "--only", metavar="NAME", action="append", help="run this component alone; may be repeated"
    )
    command_line.add_argument("--profile", default="default", help="quick, default or thorough")
    command_line.add_argument(
        "--examples", type=int, metavar="N", help="examples for each check, instead of the profile's number"
    )
    command_line.add_argument(
        "--seed", type=int, metavar="N", help="another seed than the suite's; the same seed, the same run"
    )
    command_line.add_argument(
        "--framework", metavar="FILE", help="hold another framework to PyTorch: the path of its adapter"
    )
    command_line.add_argument("--json", type=Path, metavar="FILE", help="write the census to this file")
    command_line.add_argument(
        "--record-floors", action="store_true", help="make what this run compares the measure of later runs"
    )
    command_line.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes; the result is the same"
    )
    return command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code."""
    command_line = parser()
    options = command_line.parse_intermixed_args(arguments)
    try:
        if options.subject is not None and options.command not in ("explain", "report"):
            raise Misuse(f"{options.command} takes no component; for one alone: --only {options.subject}")
        for option in typed(options, RUN_OPTIONS - TAKEN_BY.get(options.command, RUN_OPTIONS)):
            raise Misuse(f"{options.command} takes no {option}; it is for running")
        if options.jobs < 1:
            raise Misuse(f"--jobs expects a number of processes of 1 or more, got {options.jobs}")
        if options.census is not None and options.command != "report":
            raise Misuse(f"{options.command} takes no --from; it is for report")
        for needed in ("hypothesis", "jinja2", "tqdm"):
            if find_spec(needed) is None:
                raise Misuse(f'{needed} is not installed; in a checkout: python -m pip install ".[conformance]"')
        from conformance import frameworks

        frameworks.use(frameworks.load(options.framework))
        if options.command == "list":
            from conformance.report import tables

            print(tables.listing())
            return 0
        if options.command == "explain":
            return explanation(options)
        return suite(options)
    except Misuse as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it flushes
        return 0


def explanation(options: argparse.Namespace) -> int:
    """Print what is checked of one component, over which options, with which reference."""
    from conformance import runner
    from conformance.comparison import rule as bound
    from conformance.rows import FunctionRow, ModuleRow, peer

    name = options.subject
    if name is None:
        raise Misuse("explain expects a component, such as: python -m conformance explain Dense")
    tasks = runner.planned([name], options.profile, options.examples)
    row = runner.row_of(name)
    print(f"{row.name if row else name}, held to {peer(row) if row else 'PyTorch'}")
    reference = "none: PyTorch itself, as the checks say"
    if isinstance(row, (ModuleRow, FunctionRow)):
        own = "numpyml's own code in extended precision, which PyTorch's float64 must confirm"
        reference = row.reference.how if row.reference else own
    print(f"  wider reference: {reference}")
    for option, strategy in getattr(row, "options", {}).items():
        print(f"  option {option}: {' '.join(repr(strategy).split()):.150}")
    for task in tasks:
        examples = runner.examples_of(task, options.profile, options.examples)
        print(f"  {task.check} ({examples} examples)\n      {runner.jobs()[task].check.text}")
    print("\n" + (bound.__doc__ or ""))
    return 0


def suite(options: argparse.Namespace) -> int:
    """Run the checks, or take a finished run; print the table, and write what was asked for."""
    from conformance import report

    folder = Path(options.subject or ".") if options.command == "report" else None
    if options.census is None:
        plan(options)  # before a folder is made
    if folder is not None:
        report.prepared(folder, *report.NAMES)
    if options.json is not None:
        report.prepared(options.json.parent, options.json.name)
    census = census_of_run(options) if options.census is None else census_of_file(options)
    for line in census.about.incomplete:
        print(f"INCOMPLETE {line}")
    print(report.table(census))
    print(report.footer(census))
    if options.json is not None:
        options.json.write_text(json.dumps(census.as_json(), indent=1) + "\n", encoding="utf-8")
    if folder is not None:
        print("written:", *(file.resolve() for file in report.write(census, folder)))
    return {"conforms": 0, "inconclusive": 3}.get(census.verdict, 1)


def census_of_run(options: argparse.Namespace) -> Census:
    """The census of a run."""
    from conformance import frameworks, report, runner
    from conformance.results import completeness, floors
    from conformance.results.census import Census

    tasks = plan(options)
    from conformance.report.about import about  # needs PyTorch, which is now known to be there

    seed = runner.SEED if options.seed is None else options.seed
    census = Census(about(options.profile, seed, options.examples))
    notes = runner.run_all(tasks, options.profile, seed, options.examples, options.jobs, options.framework)
    census.notes.extend(report.watched(notes, len(tasks)))
    if frameworks.under_test().NAME == "numpyml" and options.examples is None:
        if options.profile != "quick":
            rare = completeness.rarely(census.notes)
            runner.draw_more(census.notes, rare, completeness.LEAST, options.profile, seed)
            census.about.incomplete.extend(completeness.rare(census.notes))
        missing = completeness.unreached(census.notes) + completeness.blunt(census.notes)
        if seed == runner.SEED:  # a fresh seed may meet what nobody has seen yet, or miss a rare size
            missing += completeness.unrecorded(census.notes)
            if not options.only and options.profile != "quick":  # that has few examples of each row
                missing += completeness.unreached_sizes(census.notes)
        rows = {task.row for task in tasks} if options.only else None
        missing += floors.dropped(((task.row, task.check) for task in tasks), only=rows)
        if options.record_floors:
            floors.record(census.notes, options.profile)
        else:
            firm = floors.same_draws(seed, runner.SEED, {note.row for note in census.notes})
            missing += floors.shortfalls(census.notes, options.profile, firm)
        census.about.incomplete.extend(missing)
    return census


def plan(options: argparse.Namespace) -> list[Task]:
    """What is to be run, or a Misuse."""
    from conformance import runner

    tasks = runner.planned(options.only, options.profile, options.examples)
    if options.record_floors and (
        options.examples is not None or options.seed is not None or options.framework is not None
    ):
        raise Misuse(
            "--record-floors takes the suite's own seed and the profile's examples; "
            "leave out --seed, --examples and --framework"
        )
    runner.ready()
    return tasks


def census_of_file(options: argparse.Namespace) -> Census:
    """The census of a finished run, which ``--json`` wrote."""
    from conformance import report

    for option in typed(options, RUN_OPTIONS):
        raise Misuse(f"--from takes a finished run; {option} is for running one")
    return report.read(options.census)


RUN_OPTIONS = {"only", "profile", "examples", "seed", "json", "jobs", "framework", "record_floors"}
TAKEN_BY = {"list": {"framework"}, "explain": {"framework", "profile", "examples"}}  # of the others, all


def typed(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """Those of the options that are not at their defaults, as they are typed."""
    command_line = parser()
    return [
        f"--{name.replace('_', '-')}"
        for name in sorted(names)
        if getattr(options, name) != command_line.get_default(name)
    ]


if __name__ == "__main__":
    sys.exit(main())
