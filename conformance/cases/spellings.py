"""The spellings of a call of NumPy's: as a function, a method, an operator; in place; by keyword and by position."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from conformance.rows import FunctionRow
from numpyml.autograd.table import NO_VALUE

FUNCTION = "function"
OPERATOR, IN_PLACE = "operator", "in place"
OPTIONS_BY_POSITION, ALL_BY_KEYWORD = "options by position", "operands by keyword"
METHOD, METHOD_BY_POSITION = "method", "method, options by position"
METHODS_OF_ARRAYS = (METHOD, METHOD_BY_POSITION)
OF_ARRAYS = (OPERATOR, OPTIONS_BY_POSITION, ALL_BY_KEYWORD)  # whose first operand may be a plain array

OPERATORS: dict[Any, Callable[..., Any]] = {
    np.positive: operator.pos,
    np.negative: operator.neg,
    np.absolute: abs,
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.true_divide: operator.truediv,
    np.floor_divide: operator.floordiv,
    np.remainder: operator.mod,
    np.power: operator.pow,
    np.matmul: operator.matmul,
}
IN_PLACE_OPERATORS: dict[Any, Callable[..., Any]] = {
    np.add: operator.iadd,
    np.subtract: operator.isub,
    np.multiply: operator.imul,
    np.true_divide: operator.itruediv,
    np.floor_divide: operator.ifloordiv,
    np.remainder: operator.imod,
    np.power: operator.ipow,
    np.matmul: operator.imatmul,
}


NONE = ("axis", "dtype", "out")  # what these are by default in the methods that take further options by position


@dataclass(frozen=True)
class Method:
    """A method of NumPy's arrays. After the array and the other operands it takes options by position alone, by
    position or keyword, and by keyword alone, each in NumPy's order."""

    name: str
    positional: str = ""
    either: str = ""
    keyword: str = ""

    def takes(self, options: Mapping[str, Any]) -> bool:
        """Whether the method has all of these options, and gets those that it requires."""
        known = f"{self.positional} {self.either} {self.keyword}".split()
        return set(self.positional.split()) <= options.keys() <= set(known)

    def leading(self, options: Mapping[str, Any]) -> list[str]:
        """The names that a call by position can pass so: up to the last of the options, if each that the call leaves
        out before it is None by default."""
        names = self.either.split()
        last = max((i for i, name in enumerate(names) if name in options), default=-1)
        usable = (i for i, name in enumerate(names[: last + 1]) if name not in options and name not in NONE)
        return names[: next(usable, last + 1)]

    def spelled(self, names: list[str]) -> Callable[..., Any]:
        """The call with these options by position."""

        def call(x: Any, *others: Any, **options: Any) -> Any:
            first = [options.pop(name) for name in self.positional.split()]
            first += [options.pop(name, None) for name in names]
            return getattr(x, self.name)(*others, *first, **options)

        return call


METHODS: dict[Any, Method] = {
    np.sum: Method("sum", "", "axis", "keepdims"),
    np.mean: Method("mean", "", "axis", "keepdims"),
    np.prod: Method("prod", "", "axis", "keepdims"),
    np.var: Method("var", "", "axis dtype out ddof", "keepdims"),
    np.std: Method("std", "", "axis dtype out ddof", "keepdims"),
    np.max: Method("max", "", "axis", "keepdims"),
    np.min: Method("min", "", "axis", "keepdims"),
    np.cumsum: Method("cumsum", "", "axis"),
    np.round: Method("round", "", "decimals"),
    np.copy: Method("copy", "", "order"),
    np.dot: Method("dot"),
    np.ravel: Method("ravel"),
    np.reshape: Method("reshape", "shape"),
    np.transpose: Method("transpose", "axes"),
    np.swapaxes: Method("swapaxes", "axis1 axis2"),
    np.squeeze: Method("squeeze", "", "axis"),
    np.repeat: Method("repeat", "repeats", "axis"),
    np.take: Method("take", "indices", "axis"),
    np.diagonal: Method("diagonal", "", "offset axis1 axis2"),
    np.trace: Method("trace", "", "offset axis1 axis2"),
}


@cache
def _parameters(function: Any) -> tuple[inspect.Parameter, ...]:
    """The parameters of a function that may be passed by position; none where NumPy publishes no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ()
    return tuple(p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


def _by_position(row: FunctionRow, operands: int, options: Mapping[str, Any]) -> list[inspect.Parameter]:
    """The parameters behind the operands, up to the last of these options. One that the call leaves out is passed at
    its default, as far as it has a value."""
    behind = _parameters(row.function)[operands:]
    last = max((i for i, p in enumerate(behind) if p.name in options), default=-1)
    chosen = behind[: last + 1]
    stop = next((i for i, p in enumerate(chosen) if p.name not in options and p.default is NO_VALUE), len(chosen))
    chosen = chosen[:stop]
    return list(chosen) if any(p.name in options for p in chosen) else []


def spellings(row: FunctionRow, operands: int, options: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Every way to spell a call with so many operands and these options, apart from the row's own."""
    ways: dict[str, Callable[..., Any]] = {}
    if row.function in OPERATORS:
        ways[OPERATOR] = OPERATORS[row.function]
    if row.function in IN_PLACE_OPERATORS:
        ways[IN_PLACE] = IN_PLACE_OPERATORS[row.function]
    method = METHODS.get(row.function)
    if method is not None and method.takes(options):
        ways[METHOD] = method.spelled([])
        if leading := method.leading(options):
            ways[METHOD_BY_POSITION] = method.spelled(leading)
    if row.ours is None:
        if chosen := _by_position(row, operands, options):
            ways[OPTIONS_BY_POSITION] = _positional(row.function, chosen)
        first = _parameters(row.function)[:operands]
        if len(first) == operands and all(p.kind is p.POSITIONAL_OR_KEYWORD for p in first):
            ways[ALL_BY_KEYWORD] = _named(row.function, [p.name for p in first])
    for name, call in row.spellings.items():
        try:
            inspect.signature(call).bind(*range(operands), **options)
        except TypeError:
            continue
        ways[name] = call
    return ways


def _positional(function: Any, chosen: list[inspect.Parameter]) -> Callable[..., Any]:
    def call(*operands: Any, **options: Any) -> Any:
        return function(*operands, *(options.pop(p.name, p.default) for p in chosen), **options)

    return call


def _named(function: Any, names: list[str]) -> Callable[..., Any]:
    return lambda *operands, **options: function(**dict(zip(names, operands, strict=True)), **options)
