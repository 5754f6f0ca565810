"""Faults that single classes of arguments show: orders of axes, implicit subscripts, layouts of incoming gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults.answers import _where as where
from conformance.faults.fault import Fault
from numpyml.autograd.derivatives import TABLE, indexing
from numpyml.nn import activations, layers

LAYOUT_TESTS: dict[str, Callable[[Any], bool]] = {
    "fortran": lambda x: x.flags.f_contiguous and not x.flags.c_contiguous,
    "reversed": lambda x: any(s < 0 for s, n in zip(x.strides, x.shape, strict=True) if n > 1),
    "broadcast": lambda x: any(s == 0 for s, n in zip(x.strides, x.shape, strict=True) if n > 1),
    "one number": lambda x: x.size > 1 and not any(x.strides),
}


def of_layout(kind: Any, layout: str) -> Fault:
    """A component whose input gradient is wrong for incoming gradients of a memory layout."""
    name = f"{kind.__name__} wrong for incoming gradients: {layout}"
    wrong = where(lambda self, gy: bool(LAYOUT_TESTS[layout](gy)))
    return Fault(name, kind.__name__, "input_gradients", kind, "pullback", wrong)


def derivative(name: str, function: Any, operand: str, wrong: Callable[..., Any]) -> Fault:
    """A partial derivative that is wrong for some arguments: ``wrong`` gets its result, and what it asks for."""
    row = TABLE[function]

    def replaced(partials: Any) -> Any:
        right = partials[operand]

        def partial(*args: Any, **asked: Any) -> Any:
            return wrong(right(*args, **asked), {**dict(zip(row.requests[operand], args, strict=False)), **asked})

        return {**partials, operand: partial}

    return Fault(name, function.__name__, "function_gradients", row, "partials", replaced)


def if_(holds: Callable[[Any], Any]) -> Callable[..., Any]:
    """Times 1.5 where a condition holds for what the partial asks for."""
    return lambda gx, asked: gx * gx.dtype.type(1.5) if holds(asked) else gx


def _inner(asked: Any) -> bool:
    axes = len(asked["shape"])
    return bool(np.ndim(asked["repeats"]) and axes > 2 and asked.get("axis") in (-1, axes - 1))


def _without_arrow(gxs: Any, asked: Any) -> Any:
    if "->" in asked["subscripts"]:
        return gxs
    return {position: g * g.dtype.type(1.5) for position, g in gxs.items()}


def _lists(asked: Any) -> Any:
    axes = asked.get("axes", 2)
    return axes if isinstance(axes, tuple) else ([], [])


def _mixed(axes: Any) -> bool:
    return axes is not None and 0 < sum(i < 0 for i in axes) < len(axes) and list(axes) != sorted(axes)


FAULTS = [
    of_layout(layers.Flatten, "fortran"),
    of_layout(layers.Flatten, "reversed"),
    of_layout(layers.Flatten, "broadcast"),
    of_layout(layers.Dense, "reversed"),
    of_layout(layers.LayerNorm, "fortran"),
    of_layout(layers.RMSNorm, "broadcast"),
    of_layout(activations.SiLU, "one number"),
    of_layout(activations.GELU, "reversed"),
    Fault(
        "a list as an index takes no element twice",
        "indexing",
        "function_gradients",
        indexing,
        "may_repeat",
        lambda right: lambda part: isinstance(part, np.ndarray) and right(part),
    ),
    derivative(
        "transpose wrong for another order that is counted from the back in part",
        np.transpose,
        "a",
        if_(lambda asked: _mixed(asked.get("axes"))),
    ),
    derivative(
        "split wrong for positions out of order",
        np.split,
        "ary",
        if_(lambda asked: np.ndim(asked["indices_or_sections"]) and (np.diff(asked["indices_or_sections"]) < 0).any()),
    ),
    derivative(
        "reshape wrong for Fortran-ordered gradients",
        np.reshape,
        "a",
        if_(lambda asked: LAYOUT_TESTS["fortran"](asked["g"])),
    ),
    derivative(
        "reshape wrong for broadcast gradients",
        np.reshape,
        "a",
        if_(lambda asked: LAYOUT_TESTS["broadcast"](asked["g"])),
    ),
    derivative("repeat by an array along the last of three axes", np.repeat, "a", if_(_inner)),
    derivative("einsum without an arrow", np.einsum, "operands", _without_arrow),
    derivative(
        "tensordot of axes in another order",
        np.tensordot,
        "a",
        if_(lambda asked: _lists(asked)[1] != sorted(_lists(asked)[1])),
    ),
    derivative(
        "tensordot of axes from the back", np.tensordot, "b", if_(lambda asked: min(_lists(asked)[0], default=0) < 0)
    ),
]
