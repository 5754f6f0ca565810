"""Default values in the signatures of both sides."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from conformance.frameworks import pytorch
from conformance.records import Refused
from conformance.rows import ComponentRow
from numpyml.autograd.table import NO_VALUE
from numpyml.names import OPTIONS

REQUIRED: Any = inspect.Parameter.empty  # in place of a default, where a call must pass the argument


@cache
def arguments_of(function: Any) -> Mapping[str, Any]:
    """The default of every argument, by our names, REQUIRED where there is none; of a function, such as an activation,
    its name. Empty where no signature is published, as by functions in C of older NumPys."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    values = {OPTIONS.get(p.name, p.name): p.default for p in parameters if p.kind not in variable}
    return {name: value.__name__ if inspect.isfunction(value) else value for name, value in values.items()}


@cache
def positional_of(function: Any) -> list[str]:
    """The arguments that may be passed by position, in their order. Empty where no signature is published."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]


def defaults_of(function: Any) -> Mapping[str, Any]:
    """The default of every argument that has one, by our names."""
    return {name: value for name, value in arguments_of(function).items() if value is not REQUIRED}


def component_defaults(row: ComponentRow) -> Mapping[str, Any]:
    """PyTorch's default of every option that may be left out on our side as well, and is not refused there. Containers
    have none: their modules make them."""
    if getattr(row, "container", False):
        return {}
    ours, theirs = defaults_of(row.ours), defaults_of(pytorch.attribute(row.torch))
    refused = [call for d in row.differences if isinstance(d, Refused) for call in d.calls]
    common = {name: value for name, value in theirs.items() if name in row.options and name in ours}
    return {name: value for name, value in common.items() if f"option {name}: {value}" not in refused}


def numpy_defaults(function: Any) -> Mapping[str, Any]:
    """NumPy's default of every argument. Its marker for no value stands for False in ``keepdims``, else for None."""
    return {
        name: (False if name == "keepdims" else None) if value is NO_VALUE else value
        for name, value in arguments_of(function).items()
    }
