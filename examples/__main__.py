"""``python -m examples``: list the tasks, or train one in both frameworks and show the two runs beside each other."""

import argparse
import os
import sys
from pathlib import Path

from examples import tasks
from examples.tasks import Misuse


def parser():
    made = argparse.ArgumentParser(
        "python -m examples",
        description="Tasks on real data, each solved twice, line beside line: with numpyml and with PyTorch.",
        epilog="exit codes: 0 done, 2 misuse (unknown task, missing package, a file that cannot be written)",
    )
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the tasks, their data, and what is claimed of them")
    compare = commands.add_parser("compare", help="train a task in both frameworks from the same weights")
    compare.add_argument("task", metavar="TASK")
    compare.add_argument("--steps", type=positive, metavar="N", help="stop after so many; by default at the end")
    compare.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="by default %(default)s")
    compare.add_argument("--starts", type=positive, metavar="N", help="also tell how far float32 strays, over N starts")
    compare.add_argument("--plot", type=Path, metavar="FILE", help="by default reports/TASK.svg; .png, .pdf as well")
    return made


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return number


def listing():
    for name in tasks.names():
        facts = tasks.facts(name)
        print(f"{name}\n    {facts['doc']}\n    data   {facts['DATA']}\n    claim  {facts['CLAIM']}")


def plot_of(given):
    """Where the curves go, or Misuse, before anything is trained for them."""
    if given.plot is None:
        given.plot = tasks.FOLDER.parent / "reports" / f"{given.task}.svg"
        given.plot.parent.mkdir(exist_ok=True)
    kinds = (".svg", ".png", ".pdf")
    if given.plot.suffix not in kinds:
        raise Misuse(f"--plot expects a file that ends in one of {', '.join(kinds)}, got {given.plot}")
    if not given.plot.parent.is_dir():
        raise Misuse(f"--plot expects a file in a folder that is there, got {given.plot}")
    return given.plot


def main(arguments=None):
    given = parser().parse_args(arguments)
    try:
        if given.command == "list":
            listing()
        else:
            tasks.known(given.task)
            path = plot_of(given)
            tasks.require(given.task, tasks.FOLDER / "comparison.py", *tasks.halves(given.task))
            from examples import comparison  # needs PyTorch, Matplotlib and tqdm, which `list` does not

            comparison.compare(given, path)
    except Misuse as error:
        print(f"examples: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("examples: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it flushes
    return 0


if __name__ == "__main__":
    sys.exit(main())
