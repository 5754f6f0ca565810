"""Completeness: components are discovered, and a line says what is missing.

Every public class, every function that writes initial values and every derivative has a row; every option has a
strategy that says what it is for; every purpose is reached; and no check compares less than it used to.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import hypothesis

import numpyml
from conformance import contracts
from conformance.divergences import ABSENT, ADDED, reason
from conformance.frameworks import pytorch
from conformance.records import Absent
from conformance.results import defaults
from conformance.results.census import UNRECORDED, Note
from conformance.rows import FunctionRow, InitialRow, ModuleRow, OptimizerRow, Row, SchedulerRow
from conformance.strategies import thresholds
from conformance.strategies.coverage import purpose
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.table import title_of
from numpyml.errors import MissingPackageError
from numpyml.names import PYTORCH_OPTIONS
from numpyml.nn import Module, losses, optimizers, schedulers

LEAST = 3  # examples of the default profile in which everything that strategies promise is drawn

# Public names without a row, by their path or that of their module, and what tests them instead.
HELD_OTHERWISE = {
    "numpyml.Tensor": "every row of a function runs on Tensors",
    "numpyml.gradcheck": "tests/autograd/test_gradcheck.py",
    "numpyml.is_recording": "tests/autograd/test_tape.py",
    "numpyml.no_grad": "tests/autograd/test_tape.py",
    "numpyml.manual_seed": "the check same_seed",
    "numpyml.save": "tests/checkpoint",
    "numpyml.load": "tests/checkpoint",
    "numpyml.data": "tests/harness/test_data.py, against PyTorch",
    "numpyml.estimators": "tests/extras/test_estimators.py",
    "numpyml.generation": "tests/test_generation.py",
    "numpyml.kernels": "the components that call them, and tests/harness/test_erf.py against mpmath",
    "numpyml.nn.Buffer": "tests/nn/test_buffer.py, and tests/harness/test_buffers.py against PyTorch",
    "numpyml.nn.Module": "the base of every layer",
    "numpyml.nn.Parameter": "every row with parameters",
    "numpyml.nn.losses.Loss": "the base of every loss",
    "numpyml.nn.module": "how every layer takes its data: the checks dtype_kept and rejections",
    "numpyml.nn.optimizers.Optimizer": "the base of every optimizer",
    "numpyml.nn.schedulers.Scheduler": "the base of every schedule",
    "numpyml.nn.utils": "tests/harness/test_schedulers.py, against PyTorch",
    "numpyml.training": "tests/training",
    "numpyml.typing": "types",
}


def modules() -> list[ModuleType]:
    """Every module of numpyml, except those that need a package that is not installed: they have no component."""
    imported = [numpyml]
    for module in pkgutil.walk_packages(numpyml.__path__, "numpyml."):
        with contextlib.suppress(MissingPackageError):
            imported.append(importlib.import_module(module.name))
    return imported


def public() -> dict[str, Any]:
    """Everything that an ``__all__`` of numpyml's names, by its path."""
    return {f"{m.__name__}.{name}": getattr(m, name) for m in modules() for name in getattr(m, "__all__", ())}


def components() -> Iterator[type[Any]]:
    """Every layer, activation, loss, container, optimizer and schedule that numpyml defines, exported or forgotten."""
    modules()
    for base in (Module, optimizers.Optimizer, schedulers.Scheduler):
        for cls in _descendants(base):
            if cls.__module__.split(".")[0] == "numpyml" and not cls.__name__.startswith("_") and not _abstract(cls):
                yield cls


def _descendants(base: type[Any]) -> Iterator[type[Any]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _descendants(cls)


def _abstract(cls: type[Any]) -> bool:
    if issubclass(cls, Module):
        return issubclass(cls, losses.Loss) and cls.compute is Module.compute
    return issubclass(cls, optimizers.Optimizer) and cls.update is optimizers.Optimizer.update


def derivatives() -> Iterator[Callable[..., Any]]:
    """The functions that carry a gradient."""
    yield from (function for function, row in TABLE.items() if row.partials)
    yield from COMPOSITES


def problems(rows: Sequence[Row] | None = None) -> list[str]:
    """What has no row or no strategy, a line each."""
    rows = contracts.rows() if rows is None else rows
    held = {row.function if isinstance(row, FunctionRow) else row.ours for row in rows}
    lines = [f"{path} has no contract row" for path, thing in _to_hold().items() if thing not in held]
    lines += [f"{title_of(f)} has a derivative and no contract row" for f in derivatives() if f not in held]
    for row in rows:
        lines += function_option_problems(row) if isinstance(row, FunctionRow) else option_problems(row)
    lines += defaults.problems(rows, public())
    names = [row.name for row in rows]
    undeclared = [m for m in public().values() if isinstance(m, ModuleType) and not hasattr(m, "__all__")]
    lines += [f"{m.__name__} has no __all__, which declares what is public" for m in undeclared]
    return lines + [f"two rows are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]


def _to_hold() -> dict[str, Any]:
    """What must have a row, by its path."""
    classes = {f"{cls.__module__}.{cls.__name__}": cls for cls in components()}
    names = {path: thing for path, thing in public().items() if not isinstance(thing, ModuleType)}
    elsewhere = [thing for path, thing in names.items() if any(f"{path}.".startswith(f"{p}.") for p in HELD_OTHERWISE)]
    known = {*classes.values(), *elsewhere}
    return classes | {path: thing for path, thing in names.items() if thing not in known}


def unreached(notes: Iterable[Note]) -> list[str]:
    """What the strategies promise, and no case of a check that passed has drawn."""
    return [
        f"{note.row}-{note.check}: {label} was promised and never drawn"
        for note in notes
        if note.covers and not note.failure
        for label in sorted(note.promised - note.reached.keys())
    ]


def rarely(notes: Sequence[Note]) -> dict[str, dict[str, int]]:
    """Of every component, what its strategies promise and all its checks together have drawn fewer than LEAST times,
    and in how many examples. Of two options together, and of a large array, one example is enough."""
    rare: dict[str, dict[str, int]] = {}
    for row in dict.fromkeys(note.row for note in notes):
        own = [note for note in notes if note.row == row]
        met = sum((Counter(note.reached) for note in own), Counter[str]())
        promised = {label for note in own if note.covers and not note.failure for label in note.promised}
        single = sorted(label for label in promised if " & " not in label and not label.startswith("large="))
        if few := {label: met[label] for label in single if met[label] < LEAST}:
            rare[row] = few
    return rare


def rare(notes: Sequence[Note]) -> list[str]:
    """The same, a line each; what was never drawn is among the lines of :func:`unreached`."""
    return [
        f"{row}: {label} was drawn in {met} of at least {LEAST} examples; let its strategy draw it more often"
        for row, few in rarely(notes).items()
        for label, met in few.items()
        if met
    ]


def unreached_sizes(notes: Iterable[Note]) -> list[str]:
    """Sizes next to numpyml's thresholds that no case of a whole run had; conformance/checks/sizes.py."""
    sizes = {side for note in notes for side in note.sizes}
    return [f"size threshold {label} was never compared" for label in thresholds.unreached(sizes)]


def blunt(notes: Iterable[Note]) -> list[str]:
    """Components whose sensitivity to planted errors was not measured."""
    return [
        f"{note.row}-{note.check}: no well-conditioned element in {precision} was drawn; let its row draw "
        "some: conformance/contracts"
        for note in notes
        if note.outcome in ("passed", "nothing to compare")
        for precision in sorted(note.blind)
    ]


def unrecorded(notes: Iterable[Note]) -> list[str]:
    """Answers in which PyTorch exceeds the bound, without a finding on the row."""
    return [
        f"{note.row}-{note.check}: PyTorch exceeds the bound: {answers}; "
        f"add a Finding to its row in conformance/contracts/{_smallest(note, answers)}"
        for note in notes
        for answers in note.findings
        if answers.endswith(UNRECORDED)
    ]


def _smallest(note: Note, finding: str) -> str:
    """The smallest case with this finding, as a failure shows it."""
    case = note.unrecorded.get(finding, "").replace("\n", "\n    ")
    return f"\n    {case}\n    again: {note.again}" if case else ""


def function_option_problems(row: FunctionRow) -> list[str]:
    """Options that the derivative of a NumPy function covers and no call of its row has."""
    options = covered_options(row)
    for number in (1, 30):  # nearly always the first call has them all
        options = options - _drawn(row, number) if options else options
    return [f"{row.name}({name}=...) is never drawn by its row" for name in sorted(options)]


def covered_options(row: FunctionRow) -> set[str]:
    """The options of a NumPy function, in this version of it, that its row in the table of derivatives covers.

    An option is what a call may leave out.
    """
    known = row.derivative
    if known is None:
        return set()
    options = set(known.parameters) - known.partials.keys() - ADDED.keys() - ABSENT.keys()
    try:
        signature = inspect.signature(row.function).parameters
    except ValueError:  # of functions in C, older NumPys publish none
        return options
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.values())
    required = {name for name, p in signature.items() if p.default is p.empty}
    return options - required if open_ended else options & signature.keys() - required


@cache
def _drawn(row: FunctionRow, number: int) -> set[str]:
    """The names of everything that so many calls of this row are given."""
    names: set[str] = set()

    @hypothesis.seed(0)
    @hypothesis.settings(
        max_examples=number, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate,),
    )  # fmt: skip
    @hypothesis.given(row.calls)
    def look(call: Any) -> None:
        names.update(call.options, call.operands)

    look()
    return names


def option_problems(row: ModuleRow | OptimizerRow | SchedulerRow | InitialRow) -> Iterator[str]:
    """Options without a strategy, strategies without an option or a purpose, and arguments of PyTorch's that are not
    ours."""
    ours = list(inspect.signature(row.ours).parameters)
    drawn = [name for name in ours if name not in ADDED]
    yield from (f"{row.name}({name}=...) has no strategy" for name in drawn if name not in row.options)
    yield from (
        f"{row.name} has no option {name}, which a strategy is for" for name in row.options if name not in drawn
    )
    for name, strategy in row.options.items():
        if purpose(strategy) is None:
            yield f"{row.name}({name}=...) has a strategy that does not say what it is for"
    if isinstance(row, ModuleRow) and row.container:
        return  # it takes modules, under whatever name
    theirs = [
        n
        for n, p in inspect.signature(pytorch.attribute(row.torch)).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    renamed = {PYTORCH_OPTIONS.get(name, name) for name in ours}
    absent = {name for name in theirs if reason(row.name, Absent, name)}
    yield from (f"{row.name} lacks PyTorch's {name}" for name in theirs if name not in renamed | absent)
    yield from (
        f"{row.name}({name}=...) is not PyTorch's" for name in drawn if PYTORCH_OPTIONS.get(name, name) not in theirs
    )
