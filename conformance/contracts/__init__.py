"""The contract: a row for each component, a file for each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from conformance.contracts import (
    activations,
    containers,
    init,
    layers,
    losses,
    optimizers,
    position,
    schedulers,
    transformer,
)
from conformance.contracts.functions import elementwise, indexing, products, reductions, shapes
from conformance.rows import FunctionRow, ModuleRow, OptimizerRow, Row, SchedulerRow

# The rows by group and file, in the order of the table of components.
FAMILIES: dict[str, dict[str, Sequence[Row]]] = {
    "layers": {"layers": layers.ROWS},
    "attention and Transformers": {"position": position.ROWS, "transformer": transformer.ROWS},
    "activations": {"activations": activations.ROWS},
    "losses": {"losses": losses.ROWS},
    "containers": {"containers": containers.ROWS},
    "optimizers": {"optimizers": optimizers.ROWS},
    "schedules": {"schedulers": schedulers.ROWS},
    "initial values": {"init": init.ROWS},
    "functions": {
        "elementwise": elementwise.ROWS,
        "reductions": reductions.ROWS,
        "shapes": shapes.ROWS,
        "indexing": indexing.ROWS,
        "products": products.ROWS,
    },
}


def groups() -> dict[str, list[Row]]:
    """The rows by group."""
    return {group: [row for members in files.values() for row in members] for group, files in FAMILIES.items()}


def rows() -> list[Row]:
    """Every row, in the order of the table of components."""
    return [row for members in groups().values() for row in members]


@cache
def named() -> Mapping[str, Row]:
    """The rows by name."""
    return MappingProxyType({row.name: row for row in rows()})


@cache
def module_rows() -> list[ModuleRow]:
    return [row for row in rows() if isinstance(row, ModuleRow)]


@cache
def optimizer_rows() -> list[OptimizerRow]:
    return [row for row in rows() if isinstance(row, OptimizerRow)]


@cache
def scheduler_rows() -> list[SchedulerRow]:
    return [row for row in rows() if isinstance(row, SchedulerRow)]


@cache
def function_rows() -> list[FunctionRow]:
    return [row for row in rows() if isinstance(row, FunctionRow)]
