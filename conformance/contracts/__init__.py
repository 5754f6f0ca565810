"""The contract: one row per component, and nothing else."""

from __future__ import annotations

from functools import cache

from conformance.rows import FunctionRow, InitialRow, ModuleRow, OptimizerRow, Row


@cache
def module_rows() -> list[ModuleRow]:
    from conformance.contracts import activations, containers, layers, losses, position, transformer

    return [*layers.ROWS, *position.ROWS, *transformer.ROWS, *activations.ROWS, *losses.ROWS, *containers.ROWS]


@cache
def optimizer_rows() -> list[OptimizerRow]:
    from conformance.contracts import optimizers

    return list(optimizers.ROWS)


@cache
def initial_rows() -> list[InitialRow]:
    from conformance.contracts import init

    return list(init.ROWS)


@cache
def function_rows() -> list[FunctionRow]:
    from conformance.contracts import functions

    return list(functions.ROWS)


def rows() -> list[Row]:
    """Every row, in the order of the table that the run ends with."""
    return [row for members in groups().values() for row in members]


def groups() -> dict[str, list[Row]]:
    """The rows by the family they belong to: the file they stand in."""
    from conformance.contracts import activations, containers, layers, losses, position, transformer

    return {
        "layers": [*layers.ROWS],
        "attention and Transformers": [*position.ROWS, *transformer.ROWS],
        "activations": [*activations.ROWS],
        "losses": [*losses.ROWS],
        "containers": [*containers.ROWS],
        "optimizers": [*optimizer_rows()],
        "initial values": [*initial_rows()],
        "functions": [*function_rows()],
    }
