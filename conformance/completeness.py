"""Nothing escapes: every public class and every derivative has a row, every option a strategy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from conformance import contracts
from conformance.divergences import ABSENT, ADDED
from conformance.frameworks import pytorch
from conformance.rows import FunctionRow, ModuleRow, OptimizerRow, Row
from conformance.twin import RENAMED
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.nn import Module, activations, layers, losses, model, optimizers


def public_classes() -> Iterator[type[Any]]:
    """The components in the public namespaces; classes that only others build on are none."""
    for namespace in (layers, activations, losses, optimizers, model):
        names = getattr(namespace, "__all__", [name for name in vars(namespace) if not name.startswith("_")])
        for name in names:
            found = getattr(namespace, name)
            local = inspect.isclass(found) and found.__module__.startswith(namespace.__name__)
            if local and not _abstract(found):
                yield found


def _abstract(found: type[Any]) -> bool:
    if issubclass(found, Module):
        return issubclass(found, losses.Loss) and found.compute is Module.compute
    return not issubclass(found, optimizers.Optimizer) or found.update is optimizers.Optimizer.update


def derivatives() -> Iterator[Callable[..., Any]]:
    """The functions that carry a gradient."""
    yield from (function for function, row in TABLE.items() if row.partials)
    yield from COMPOSITES


def problems(rows: Sequence[Row] | None = None) -> list[str]:
    """What is missing, a line each."""
    rows = contracts.rows() if rows is None else rows
    classes = {row.ours for row in rows if not isinstance(row, FunctionRow)}
    functions = {row.function for row in rows if isinstance(row, FunctionRow)}
    found = [f"{c.__module__}.{c.__name__} has no contract row" for c in public_classes() if c not in classes]
    found += [f"{title(f)} has a derivative and no contract row" for f in derivatives() if f not in functions]
    for row in rows:
        if not isinstance(row, FunctionRow):
            found += option_problems(row)
    names = [row.name for row in rows]
    return found + [f"two rows are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]


def title(function: Any) -> str:
    """A function's name for a message."""
    return f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"


def option_problems(row: ModuleRow | OptimizerRow) -> Iterator[str]:
    """Options without a strategy, strategies without an option, and arguments of PyTorch's that are not ours."""
    ours = list(inspect.signature(row.ours).parameters)
    drawn = [name for name in ours if name not in ADDED]
    yield from (f"{row.name}({name}=...) has no strategy" for name in drawn if name not in row.options)
    yield from (
        f"{row.name} has no option {name}, which a strategy is for" for name in row.options if name not in drawn
    )
    if isinstance(row, ModuleRow) and row.ours.__module__ == model.__name__:
        return  # containers take modules, under whatever name
    theirs = [
        n
        for n, p in inspect.signature(pytorch.attribute(row.torch)).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    renamed = {RENAMED.get(name, name) for name in ours}
    yield from (f"{row.name} lacks PyTorch's {name}" for name in theirs if name not in renamed and name not in ABSENT)
    yield from (f"{row.name}({name}=...) is not PyTorch's" for name in drawn if RENAMED.get(name, name) not in theirs)
