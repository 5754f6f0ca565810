"""Nothing escapes: components are found by discovery, and whatever is missing is a line.

Every public class, every function that writes initial values and every derivative has a row; every option has a
strategy that says what it is for; every purpose is reached; and no check compares less than it used to.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import hypothesis

import numpyml
from conformance import contracts
from conformance.divergences import ADDED, own
from conformance.frameworks import pytorch
from conformance.results.census import UNRECORDED, Note
from conformance.rows import FunctionRow, InitialRow, ModuleRow, OptimizerRow, Row
from conformance.strategies.coverage import purpose
from conformance.twins.twin import RENAMED
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.errors import MissingPackageError
from numpyml.nn import Module, losses, optimizers

# Public, and nothing that PyTorch's twin of it could be asked about: what holds it instead.
HELD_OTHERWISE = {
    "numpyml.Tensor": "every row of a function runs on Tensors",
    "numpyml.gradcheck": "tests/autograd/test_gradcheck.py",
    "numpyml.is_recording": "tests/autograd/test_tape.py",
    "numpyml.no_grad": "tests/autograd/test_tape.py",
    "numpyml.manual_seed": "the check same_seed",
    "numpyml.nn.Module": "the base of every layer",
    "numpyml.nn.Parameter": "every row with parameters",
    "numpyml.nn.module.as_floats": "how every layer takes its data: the checks dtype_kept and rejections",
    "numpyml.typing.Array": "a type",
    "numpyml.save": "tests/test_checkpoint.py",
    "numpyml.load": "tests/test_checkpoint.py",
    **{
        f"numpyml.data.{name}": "tests/harness/test_data.py, beside PyTorch's"
        for name in ("ArrayDataset", "DataLoader", "Dataset", "Subset", "train_test_split")
    },
    **{f"numpyml.training.{name}": "tests/test_training.py" for name in ("History", "Run", "fit")},
    **{
        f"numpyml.estimators.NeuralNet{kind}": "tests/extras/test_estimators.py" for kind in ("Classifier", "Regressor")
    },
    "numpyml.generation.Hypothesis": "tests/test_generation.py",
    "numpyml.generation.beam_search": "tests/test_generation.py",
    "numpyml.generation.choose": "tests/test_generation.py",
    "numpyml.generation.generate": "tests/test_generation.py",
    "numpyml.generation.probabilities": "tests/test_generation.py",
    "numpyml.generation.take_rows": "tests/test_generation.py",
    **{
        f"numpyml.nn.schedulers.{name}": "tests/harness/test_schedulers.py, beside PyTorch's, to the last bit"
        for name in (
            "CosineAnnealingLR",
            "CosineAnnealingWarmRestarts",
            "ExponentialLR",
            "LambdaLR",
            "LinearLR",
            "MultiStepLR",
            "OneCycleLR",
            "ReduceLROnPlateau",
            "Scheduler",
            "SequentialLR",
            "StepLR",
        )
    },
    "numpyml.nn.utils.clip_grad_norm_": "tests/harness/test_schedulers.py, beside PyTorch's",
    "numpyml.nn.utils.clip_grad_value_": "tests/harness/test_schedulers.py, beside PyTorch's",
    "numpyml.nn.losses.Loss": "the base of every loss",
    "numpyml.nn.optimizers.Optimizer": "the base of every optimizer",
}


def modules() -> list[ModuleType]:
    """Every module of numpyml, but those around a package that is not installed: they bring no component."""
    found = [numpyml]
    for module in pkgutil.walk_packages(numpyml.__path__, "numpyml."):
        with contextlib.suppress(MissingPackageError):
            found.append(importlib.import_module(module.name))
    return found


def public() -> dict[str, Any]:
    """Everything that an ``__all__`` of numpyml's names, by its path."""
    return {f"{m.__name__}.{name}": getattr(m, name) for m in modules() for name in getattr(m, "__all__", ())}


def components() -> Iterator[type[Any]]:
    """Every layer, activation, loss, container and optimizer that numpyml defines, exported or forgotten."""
    modules()
    for base in (Module, optimizers.Optimizer):
        for made in _descendants(base):
            if made.__module__.split(".")[0] == "numpyml" and not made.__name__.startswith("_") and not _abstract(made):
                yield made


def _descendants(base: type[Any]) -> Iterator[type[Any]]:
    for made in base.__subclasses__():
        yield made
        yield from _descendants(made)


def _abstract(found: type[Any]) -> bool:
    if issubclass(found, Module):
        return issubclass(found, losses.Loss) and found.compute is Module.compute
    return not issubclass(found, optimizers.Optimizer) or found.update is optimizers.Optimizer.update


def derivatives() -> Iterator[Callable[..., Any]]:
    """The functions that carry a gradient."""
    yield from (function for function, row in TABLE.items() if row.partials)
    yield from COMPOSITES


def problems(rows: Sequence[Row] | None = None) -> list[str]:
    """What has no row or no strategy, a line each."""
    rows = contracts.rows() if rows is None else rows
    held = {row.function if isinstance(row, FunctionRow) else row.ours for row in rows}
    found = [f"{path} has no contract row" for path, thing in _to_hold().items() if thing not in held]
    found += [f"{title(f)} has a derivative and no contract row" for f in derivatives() if f not in held]
    for row in rows:
        found += function_option_problems(row) if isinstance(row, FunctionRow) else option_problems(row)
    names = [row.name for row in rows]
    untold = [m for m in public().values() if isinstance(m, ModuleType) and not hasattr(m, "__all__")]
    found += [f"{m.__name__} has no __all__, which tells what is public" for m in untold]
    return found + [f"two rows are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]


def _to_hold() -> dict[str, Any]:
    """What must have a row, by its path."""
    classes = {f"{made.__module__}.{made.__name__}": made for made in components()}
    names = public()
    known = {*classes.values(), *(names.get(path) for path in HELD_OTHERWISE)}
    return classes | {
        path: thing for path, thing in names.items() if not isinstance(thing, ModuleType) and thing not in known
    }


def unreached(notes: Iterable[Note]) -> list[str]:
    """What the strategies promise, and no case that a check passed on has held."""
    return [
        f"{note.row}-{note.check}: {label} was promised and never drawn"
        for note in notes
        if note.covers and not note.failure
        for label in sorted(note.promised - note.reached)
    ]


def blunt(notes: Iterable[Note]) -> list[str]:
    """Components of which no planted error can tell how sharp the eye is."""
    return [
        f"{note.row}-{note.check}: no well-conditioned element in {precision} was met; let its row draw some: "
        "conformance/contracts"
        for note in notes
        if note.outcome in ("passed", "nothing to compare")
        for precision in sorted(note.blind)
    ]


def unrecorded(notes: Iterable[Note]) -> list[str]:
    """Answers in which PyTorch breaks the rule, and that neither script nor line is about."""
    return [
        f"{note.row}-{note.check}: PyTorch is off: {found}; put it on record: conformance/divergences.py"
        for note in notes
        for found in note.findings
        if found.endswith(UNRECORDED)
    ]


# Options of functions that a row draws under another name, and those that no row draws.
DRAWN_AS = {
    "indices_or_sections": "cuts",
    "a_min": "spelling",
    "a_max": "spelling",
    "min": "spelling",
    "max": "spelling",
}
NOT_DRAWN = {
    "full_like.dtype": "every check runs in both precisions",
    "full_like.device": "there is one",
}
NEWER = {"correction", "max", "min", "stable"}  # than NumPy 1
OPERANDS = {"a", "b", "m", "arr", "values", "ary", "arys", "arrays", "tup"}  # of composites: no partials to tell


def function_option_problems(row: FunctionRow) -> list[str]:
    """Options that the derivative of a NumPy function covers and no call of its row gives."""
    known = TABLE.get(row.function) or COMPOSITES.get(row.function)
    if known is None:
        return []
    there = _parameters(row.function)
    options = set(known.parameters) - set(known.partials) - OPERANDS
    for number in (1, 30):  # nearly always the first call has them all
        options = options - _drawn(row, number) if options else options
    return [
        f"{row.name}({name}=...) is never given by its row"
        for name in sorted(options)
        if f"{row.name}.{name}" not in NOT_DRAWN and (name not in NEWER or not there or name in there)
    ]


def _parameters(function: Any) -> set[str]:
    """The names of a function's parameters in this NumPy; none where it does not tell all of them."""
    try:
        found = inspect.signature(function).parameters
    except ValueError:
        return set()
    return set() if any(p.kind == p.VAR_KEYWORD for p in found.values()) else set(found)


@cache
def _drawn(row: FunctionRow, number: int) -> set[str]:
    """The names of everything that so many calls of this row are given."""
    found: set[str] = set()

    @hypothesis.seed(0)
    @hypothesis.settings(
        max_examples=number, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate,),
    )  # fmt: skip
    @hypothesis.given(row.calls)
    def look(call: Any) -> None:
        found.update(call.options, call.operands)

    look()
    return found | {name for name, drawn_as in DRAWN_AS.items() if drawn_as in found}


def title(function: Any) -> str:
    """A function's name for a message."""
    return f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"


def option_problems(row: ModuleRow | OptimizerRow | InitialRow) -> Iterator[str]:
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
    renamed = {RENAMED.get(name, name) for name in ours}
    absent = {name for name in theirs if name in own().ABSENT or f"{row.name}.{name}" in own().ABSENT}
    yield from (f"{row.name} lacks PyTorch's {name}" for name in theirs if name not in renamed | absent)
    yield from (f"{row.name}({name}=...) is not PyTorch's" for name in drawn if RENAMED.get(name, name) not in theirs)
