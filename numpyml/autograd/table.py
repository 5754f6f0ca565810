"""What a row of the table of derivatives is, and the driver that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpyml.errors import DerivativeError
from numpyml.kernels.sums import unbroadcast
from numpyml.typing import Array

Partial = Callable[..., Any]
DRIVEN = (
    "g",
    "shape",
    "positions",
)  # requests that the driver answers, whatever the function's own parameters are called


class Row:
    """A NumPy function and, for each of its operands, the partial that pulls a gradient back to it.

    Args:
        function: the NumPy function.
        names: its parameters, space-separated, in NumPy's order and under NumPy's names. As in Python, ``*name`` takes
            all positional arguments that are left, and what follows it or a bare ``*`` is keyword-only.
            ``[name]`` is a sequence of arrays. ``!name`` is a parameter that the derivative does not cover: giving it
            is an error; ``!name=default`` allows that one value.
        partials: operand name -> partial; see :mod:`numpyml.autograd.derivatives` for what a partial may ask for.
        refuse: asks for arguments by name as a partial does, and says which of their values the derivative does not
            cover; the empty string when it covers them all.
    """

    __slots__ = (
        "asked",
        "function",
        "names",
        "partials",
        "positional",
        "refuse",
        "refused",
        "requests",
        "sequences",
        "starred",
    )

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
        self.names = {name for name in bare if name}
        self.partials = partials
        self.requests = {operand: asked_by(partial) for operand, partial in partials.items()}
        self.refuse = refuse
        self.asked = asked_by(refuse) if refuse else ()

    @property
    def title(self) -> str:
        """The function's public name: ``numpy.linalg.norm``."""
        return title_of(self.function)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments under their names; a refused or unknown one is an error."""
        bound = dict(zip(self.positional, args, strict=False))
        if self.starred:
            bound[self.starred] = list(args[len(self.positional) :])
        elif len(args) > len(self.positional):
            raise DerivativeError(
                f"{self.title} expected at most {len(self.positional)} arguments here, got {len(args)}"
            )
        for name, value in kwargs.items():
            if name in self.names:
                bound[name] = value
            elif value is not None:
                raise self._refusal(name)
        for name, default in self.refused.items():
            value = bound.pop(name, None)
            if value is not None and str(value) != default:
                raise self._refusal(name)
        if self.refuse:
            reason = self.refuse(**{name: bound[name] for name in self.asked if name in bound})
            if reason:
                raise DerivativeError(f"{self.title} {reason}, or call it on t.data where no gradient is needed")
        return bound

    def _refusal(self, name: str) -> DerivativeError:
        return DerivativeError(
            f"{self.title}({name}=...) has no derivative here; leave {name} out, or call it on t.data"
        )

    def keep(self, bound: Mapping[str, Any], y: Any, operands: Sequence[str]) -> dict[str, Any]:
        """Of the call's arguments and its result, what the partials of these operands ask for."""
        kept: dict[str, Any] = {}
        for operand in operands:
            for name in self.requests[operand]:
                if name == "y":
                    kept[name] = y
                elif name in bound and name not in DRIVEN:
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
                positions = [
                    i for (name, i), is_read in zip(places, wanted, strict=True) if is_read and name == operand
                ]
                values = {**kept, "g": gy, "shape": shapes[operand], "positions": positions}
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
    """A NumPy function written in others that have a row; only its parameters' names are a row's."""

    __slots__ = ("definition",)

    def __init__(self, function: Callable[..., Any], names: str, definition: Callable[..., Any]) -> None:
        super().__init__(function, names, {})
        self.definition = definition


def asked_by(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters."""
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def title_of(function: Any) -> str:
    """A function's name as a user writes it: ``numpy.linalg.norm``."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{getattr(function, '__name__', function)}"
