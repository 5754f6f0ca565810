"""``python -m examples``: list the tasks, or train one in both frameworks and compare the two runs."""

import argparse
import os
import sys
from pathlib import Path

from examples import tasks
from examples.tasks import Misuse


def parser():
    arguments = argparse.ArgumentParser(
        "python -m examples",
        description="Tasks on real data, each solved twice: with numpyml and with PyTorch.",
        epilog="exit codes: 0 done, 2 misuse (unknown task, missing package, a file that cannot be written)",
    )
    commands = arguments.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the tasks, their data, and what is claimed of them")
    compare = commands.add_parser("compare", help="train a task in both frameworks from the same weights")
    compare.add_argument("task", metavar="TASK")
    compare.add_argument("--steps", type=positive, metavar="N", help="stop after N steps; by default at the end")
    compare.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="by default %(default)s")
    compare.add_argument("--starts", type=positive, metavar="N", help="also compare float32 with float64, N times")
    compare.add_argument("--plot", type=Path, metavar="FILE", help="by default reports/TASK.svg; .png, .pdf as well")
    return arguments


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return number


def listing():
    for name in tasks.names():
        facts = tasks.facts(name)
        print(f"{name}\n    {facts['doc']}\n    data   {facts['DATA']}\n    claim  {facts['CLAIM']}")


def plot_of(options):
    """The file of the curves; raises Misuse before anything is trained."""
    if options.plot is None:
        options.plot = tasks.FOLDER.parent / "reports" / f"{options.task}.svg"
        options.plot.parent.mkdir(exist_ok=True)
    kinds = (".svg", ".png", ".pdf")
    if options.plot.suffix not in kinds:
        raise Misuse(f"--plot expects a file that ends in one of {', '.join(kinds)}, got {options.plot}")
    if not options.plot.parent.is_dir():
        raise Misuse(f"--plot expects a file in an existing folder, got {options.plot}")
    return options.plot


def main(arguments=None):
    options = parser().parse_args(arguments)
    try:
        if options.command == "list":
            listing()
        else:
            tasks.known(options.task)
            path = plot_of(options)
            tasks.require(options.task, tasks.FOLDER / "comparison.py", *tasks.halves(options.task))
            from examples import comparison  # needs PyTorch, Matplotlib and tqdm, which `list` does not

            comparison.compare(options, path)
    except Misuse as error:
        print(f"examples: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("examples: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the output was closed, as by `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's flush fails
    return 0


if __name__ == "__main__":
    sys.exit(main())
