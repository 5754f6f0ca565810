"""Options of optimizers: a constructor declares each once, with its name, its default and, as its type, its range."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Annotated, Any, get_type_hints

from numpyml.options import flag, number, require

Check = Callable[[str, str, Any], Any]  # class, option, value; raises an OptionError


def betas(owner: str, name: str, value: Any) -> Any:
    """Two decay rates, each at least 0 and below 1."""
    require(isinstance(value, (tuple, list)) and len(value) == 2, owner, name, value, "a pair of numbers")
    for beta in value:
        number(owner, name, beta, 0, 1)
        require(beta < 1, owner, name, beta, "below 1")
    return value


Finite = Annotated[float, partial(number, low=-inf)]
NonNegative = Annotated[float, number]  # and finite
Flag = Annotated[bool, flag]
Betas = Annotated[tuple[float, float], betas]


def declared(constructor: Callable[..., Any]) -> dict[str, Check]:
    """The options of a constructor, each with the check of its type; a plain type allows any value."""
    return {
        name: _check_of(parameter.annotation, constructor.__globals__)
        for name, parameter in inspect.signature(constructor).parameters.items()
        if name not in ("self", "parameters", "gradients")
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def _check_of(annotation: Any, names: dict[str, Any]) -> Check:
    """The check of a type; none where its name is for type checkers alone."""
    holder = SimpleNamespace(__annotations__={"option": annotation})
    try:
        hint = get_type_hints(holder, names, include_extras=True)["option"]
    except NameError:
        return _anything
    check: Check = next(iter(getattr(hint, "__metadata__", ())), _anything)
    return check


def _anything(owner: str, name: str, value: Any) -> Any:
    return value
