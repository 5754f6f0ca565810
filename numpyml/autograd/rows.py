"""What a row of the table of derivatives is, and the driver that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numpyml.autograd.tape import Array

Partial = Callable[..., Any]


class Row:
    """A NumPy function and, for each of its operands, the partial that pulls a gradient back to it.

    Args:
        function: the NumPy function.
        names: its parameters, space-separated, in NumPy's order and under NumPy's names; ``*name`` takes all that is
            left; ``!name`` is a parameter that the derivative does not cover, and giving it is an error.
        partials: operand name -> partial; see :mod:`numpyml.autograd.derivatives` for what a partial may ask for.
    """

    __slots__ = ("function", "names", "partials", "refused", "requests", "starred")

    def __init__(self, function: Callable[..., Any], names: str, partials: Mapping[str, Partial]) -> None:
        self.function = function
        self.names = [name.lstrip("*!") for name in names.split()]
        self.refused = {name[1:] for name in names.split() if name[0] == "!"}
        self.starred = self.names[-1] if "*" in names else ""
        self.partials = partials
        self.requests = {
            operand: partial.__code__.co_varnames[: partial.__code__.co_argcount]
            for operand, partial in partials.items()
        }

    @property
    def title(self) -> str:
        """The function's public name: ``numpy.linalg.norm``."""
        return title_of(self.function)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments under their names; a refused or unknown one is an error."""
        if self.starred:
            split = len(self.names) - 1
            bound = dict(zip(self.names, args[:split], strict=False))
            bound[self.starred] = list(args[split:])
        else:
            bound = dict(zip(self.names, args, strict=False))
            if len(args) > len(self.names):
                raise TypeError(f"{self.title} expected at most {len(self.names)} arguments here, got {len(args)}")
        for name, value in kwargs.items():
            if name not in self.names and value is not None:
                self._refuse(name)
            bound[name] = value
        for name in self.refused:
            if bound.pop(name, None) is not None:
                self._refuse(name)
        return bound

    def _refuse(self, name: str) -> None:
        raise TypeError(f"{self.title}({name}=...) has no derivative here; leave {name} out, or call it on t.data")

    def keep(self, bound: Mapping[str, Any], y: Any, operands: Sequence[str]) -> dict[str, Any]:
        """Of the call's arguments and its result, what the partials of these operands ask for."""
        kept: dict[str, Any] = {}
        for operand in operands:
            for name in self.requests[operand]:
                if name == "y":
                    kept[name] = y
                elif name in bound:
                    kept[name] = bound[name]
        return kept

    def pullback(self, context: Any, gy: Any, wanted: Sequence[bool]) -> list[Array | None]:
        """One gradient for each of the inputs in ``context``, computed only for the operands that are wanted."""
        kept, places, shapes = context
        gradients: dict[str, Any] = {}
        gxs: list[Array | None] = []
        for (operand, position), is_wanted in zip(places, wanted, strict=True):
            if not is_wanted:
                gxs.append(None)
                continue
            if operand not in gradients:
                values = {"g": gy, "shape": shapes[operand], **kept}
                request = self.requests[operand]
                gradients[operand] = self.partials[operand](
                    **{name: values[name] for name in request if name in values}
                )
            gx, shape = gradients[operand], shapes[operand]
            if position is not None:
                gx, shape = gx[position], shape[position]
            gxs.append(unbroadcast(gx, shape))
        return gxs


def title_of(function: Any) -> str:
    """A function's name as a user writes it: ``numpy.linalg.norm``."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{getattr(function, '__name__', function)}"


def unbroadcast(gx: Any, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which its operand was broadcast, back to the operand's shape."""
    if gx.shape != shape:
        extra = gx.ndim - len(shape)
        axes = (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 and gx.shape[extra + i] != 1))
        gx = gx.sum(axis=axes, keepdims=True).reshape(shape)
    return np.asarray(gx)
