"""The table of derivatives: what a row is, how to read one, and the driver that runs it.

How to read a row. Each operand of the function has one *partial*: a function from the gradient of the output to the
gradient of that operand. A partial asks for its arguments by name, and nothing else is kept from the forward call:

    g        gradient of the output             x, a, b, ...   an operand, by NumPy's own parameter name
    y        the output                         axis, ...      an option; its default is NumPy's
    shape    shape of the operand (one for each array, where the operand is a sequence of arrays)
    positions    which arrays of such a sequence need a gradient

``derivative(np.log, "x", x=lambda g, x: g / x)`` reads: the gradient of ``log x`` is ``g / x``, and x is kept for it.
A gradient of a broadcast operand is summed back to the operand's shape by the driver, so no row mentions it.
The parameters stand in NumPy's order: ``*`` begins the keyword-only ones, ``[name]`` is a sequence of arrays, and one
marked ``!`` is not covered by the derivative: passing it is an error, never ignored (``!name=default`` allows that).
Where a function is not differentiable, the derivative is PyTorch's. In the backward pass inf and NaN raise no warning.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from numpyml.errors import DerivativeError
from numpyml.kernels.sums import unbroadcast
from numpyml.typing import Array

Partial = Callable[..., Any]
Shape = tuple[int, ...]
PROVIDED = ("g", "shape", "positions")  # by the driver, whatever the function's own parameters are called
NO_VALUE: Any = vars(np)["_NoValue"]  # in place of a default, in a few of NumPy's signatures


class Row:
    """A NumPy function and, for each of its operands, the partial that pulls a gradient back to it.

    Args:
        function: the NumPy function.
        names: its parameters, space-separated, in NumPy's order and under NumPy's names. As in Python, ``*name`` takes
            all positional arguments that are left, and what follows it or a bare ``*`` is keyword-only.
            ``[name]`` is a sequence of arrays. ``!name`` is a parameter that the derivative does not cover: passing it
            is an error; ``!name=default`` allows that one value.
        partials: operand name -> partial; see the head of this module for what a partial may ask for.
        refuse: asks for arguments by name, as a partial does, and says which of their values the derivative does not
            cover; the empty string when it covers them all.

    ``arrays`` are the operands that are no sequences of arrays. ``positional`` and ``starred`` are the names of the
    positional parameters and of ``*name``; ``parameters`` are the names of all parameters that a call may pass, in
    NumPy's order; ``refused`` are the others, with the one value, as a string, that is allowed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        names: str,
        partials: Mapping[str, Partial],
        refuse: Callable[..., str] | None = None,
    ) -> None:
        tokens = names.split()
        self.function = function
        self.refused = dict(token[1:].partition("=")[::2] for token in tokens if token[0] == "!")
        self.sequences = {token.strip("*[]") for token in tokens if token[0] in "*["}
        star = next((i for i, token in enumerate(tokens) if token[0] == "*"), len(tokens))
        bare = [token.lstrip("*!").strip("[]").partition("=")[0] for token in tokens]
        self.positional = bare[:star]
        self.starred = bare[star] if star < len(tokens) else ""
        self.parameters = [name for name in bare if name and name not in self.refused]
        self.partials = partials
        self.arrays = [name for name in partials if name not in self.sequences]
        self.requests = {operand: argument_names(partial) for operand, partial in partials.items()}
        self.refuse = refuse
        self.refuse_requests = argument_names(refuse) if refuse else ()

    @property
    def title(self) -> str:
        """The function's public name: ``numpy.linalg.norm``."""
        return title_of(self.function)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """NumPy's default of each parameter that has one; empty where NumPy does not expose a signature.

        Where NumPy has a marker for no value, the default is None, and False for ``keepdims``.
        """
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except ValueError:
            return {}
        values = {p.name: p.default for p in parameters if p.name in self.parameters and p.default is not p.empty}
        unset = {"keepdims": False}
        return {name: unset.get(name) if value is NO_VALUE else value for name, value in values.items()}

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments under their names; a refused or unknown one is an error."""
        bound = dict(zip(self.positional, args, strict=False))
        if self.starred:
            bound[self.starred] = list(args[len(self.positional) :])
        elif len(args) > len(self.positional):
            raise DerivativeError(
                f"{self.title} expected at most {len(self.positional)} arguments by position, got {len(args)}; "
                "pass the others by name"
            )
        for name, value in kwargs.items():
            if name in self.parameters or name in self.refused:
                bound[name] = value
            elif value is not None:
                raise self._refusal(name)
        for name, default in self.refused.items():
            value = bound.pop(name, None)
            if value is not None and str(value) != default:
                raise self._refusal(name)
        if self.refuse:
            reason = self.refuse(**{name: bound[name] for name in self.refuse_requests if name in bound})
            if reason:
                raise DerivativeError(f"{self.title} {reason}, or call it on t.data where no gradient is needed")
        return bound

    def _refusal(self, name: str) -> DerivativeError:
        return DerivativeError(
            f"{self.title}({name}=...) has no derivative here; leave {name} out, or call it on t.data"
        )

    def keep(self, bound: Mapping[str, Any], y: Any, operands: Sequence[str]) -> dict[str, Any]:
        """Of the call's arguments and its result, what the partials of these operands ask for."""
        saved: dict[str, Any] = {}
        for operand in operands:
            for name in self.requests[operand]:
                if name == "y":
                    saved[name] = y
                elif name in bound and name not in PROVIDED:
                    saved[name] = bound[name]
        return saved

    def pullback(self, context: Any, gy: Any, needs_input_grad: Sequence[bool]) -> list[Array | None]:
        """One gradient for each of the inputs in ``context``, computed only where ``needs_input_grad`` is True."""
        saved, inputs, shapes = context
        gradients: dict[str, Any] = {}
        gxs: list[Array | None] = []
        for (operand, position), needed in zip(inputs, needs_input_grad, strict=True):
            if not needed:
                gxs.append(None)
                continue
            if operand not in gradients:
                positions = [
                    i
                    for (name, i), is_read in zip(inputs, needs_input_grad, strict=True)
                    if is_read and name == operand
                ]
                values = {**saved, "g": gy, "shape": shapes[operand], "positions": positions}
                request = self.requests[operand]
                gradients[operand] = self.partials[operand](
                    **{name: values[name] for name in request if name in values}
                )
            gx, shape = gradients[operand], shapes[operand]
            if position is not None:
                gx, shape = gx[position], shape[position]
            gxs.append(unbroadcast(gx, shape))
        return gxs


class Composite(Row):
    """A NumPy function defined by others that have a row: it has parameters as a row has, and no partials."""

    def __init__(self, function: Callable[..., Any], names: str, definition: Callable[..., Any]) -> None:
        super().__init__(function, names, {})
        self.definition = definition


TABLE: dict[Callable[..., Any], Row] = {}
"""Function -> its row. A row without partials is a function whose result carries no gradient (``argmax``)."""

COMPOSITES: dict[Callable[..., Any], Composite] = {}
"""Function -> the same thing written in functions that have a row, where NumPy itself defines it so."""


def derivative(
    function: Callable[..., Any], names: str, refuse: Callable[..., str] | None = None, /, **partials: Partial
) -> None:
    """Add a row."""
    TABLE[function] = Row(function, names, partials, refuse)


def unary(function: np.ufunc, x: Partial) -> None:
    """Add the row of an elementwise function of one operand."""
    derivative(function, "x", x=x)


def binary(function: np.ufunc, a: Partial, b: Partial) -> None:
    """Add the row of an elementwise function of two operands."""
    derivative(function, "a b", a=a, b=b)


def composite(function: Callable[..., Any], names: str, definition: Callable[..., Any]) -> None:
    """Add a function that is written in others."""
    COMPOSITES[function] = Composite(function, names, definition)


def argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters."""
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def title_of(function: Any) -> str:
    """A function's name as a user writes it: ``numpy.linalg.norm``."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{getattr(function, '__name__', function)}"
