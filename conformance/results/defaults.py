"""Default values, compared with those in PyTorch's and NumPy's signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from conformance.divergences import reason
from conformance.frameworks import numpyml, pytorch
from conformance.frameworks.signatures import REQUIRED, arguments_of, numpy_defaults, positional_of
from conformance.records import OtherDefault
from conformance.rows import ComponentRow, Row
from numpyml import Tensor
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.methods import ArrayMethods
from numpyml.autograd.table import Composite, title_of
from numpyml.names import RENAMED

# Where PyTorch has what has no row here.
HOMES = ("nn", "nn.utils", "utils.data", "optim", "optim.lr_scheduler", "nn.parameter", "autograd", "")
PYTORCH_NAMES = {ours: theirs for theirs, ours in RENAMED.items()}
# Defaults that are not PyTorch's, of what has no row.
OTHERWISE = {
    "manual_seed(seed=None)": "without a seed the generator is unpredictable again",
    "DataLoader(shuffle=False)": "PyTorch's None means False",
    "Tensor.backward(retain_graph=False)": "PyTorch's None means False unless a graph of gradients is made",
    "Buffer(data=REQUIRED)": "there is no array without data",
    "Parameter(data=REQUIRED)": "there is no array without data",
}


def problems(rows: Sequence[Row], public: Mapping[str, Any]) -> list[str]:
    """Defaults that differ, and neither a row nor OTHERWISE documents it: a line each."""
    components = [row for row in rows if isinstance(row, ComponentRow)]
    held = {row.ours for row in components}
    lines = [line for row in components for line in of_component(row)]
    for path, thing in public.items():
        theirs = _namesake(path.rpartition(".")[2])
        if thing not in held and callable(thing) and theirs is not None:
            lines += _of_class_or_function(thing, theirs)
    lines += [line for function in (*TABLE, *COMPOSITES) for line in of_derivative(function)]
    lines += [line for name in _methods(Tensor) for line in of_method(name)]
    return list(dict.fromkeys(lines))


def of_component(row: ComponentRow) -> Iterator[str]:
    """Those of a component's constructor, or of a function of initial values, and of its methods."""
    theirs = pytorch.attribute(row.torch)
    for call, line in _pairs(row.name, row.ours, theirs):
        if not reason(row.name, OtherDefault, call.removeprefix(row.name).removeprefix("."), numpyml):
            yield line


def _of_class_or_function(ours: Any, theirs: Any) -> Iterator[str]:
    yield from (line for call, line in _pairs(ours.__name__, ours, theirs) if not _otherwise(call))


def _otherwise(call: str) -> bool:
    """Whether a default is documented, of this class or, for a method, of a base of it."""
    method = call.partition(".")[2]
    return call in OTHERWISE or bool(method and any(known.endswith(f".{method}") for known in OTHERWISE))


def _pairs(name: str, ours: Any, theirs: Any) -> Iterator[tuple[str, str]]:
    """Every default that differs, in a function or in a class and its methods: our call with it, and a line."""
    yield from _differing(name, arguments_of(ours), arguments_of(theirs), "PyTorch's")
    if isinstance(ours, type) and isinstance(theirs, type):
        for method in _methods(ours):
            other = getattr(theirs, {"compute": "forward"}.get(method, method), None)
            if other is not None:
                found = arguments_of(getattr(ours, method)), arguments_of(other)
                yield from _differing(f"{name}.{method}", *found, "PyTorch's")


def _differing(title: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], whose: str) -> Iterator[tuple[str, str]]:
    for name in ours:
        if name in theirs and name != "self" and not _same(ours[name], theirs[name]):
            call = f"{title}({name}={_shown(ours[name])})"
            yield call, f"{call} is {_shown(theirs[name])} by {whose} default"


def of_derivative(function: Callable[..., Any]) -> Iterator[str]:
    """Those of the partial derivatives of a NumPy function, and of a definition in other functions."""
    row = TABLE.get(function) or COMPOSITES[function]
    theirs = numpy_defaults(function)
    written = [*row.partials.values(), *([row.definition] if isinstance(row, Composite) else [])]
    for partial in written:
        # What has no default here is passed by the driver.
        ours = {name: value for name, value in arguments_of(partial).items() if value is not REQUIRED}
        yield from (line for _, line in _differing(f"the derivative of {title_of(function)}", ours, theirs, "NumPy's"))
    for name, value in row.refused.items():
        if value and name in theirs and str(theirs[name]) != value:
            yield f"{title_of(function)} covers {name}={value} alone, which is {theirs[name]!r} by NumPy's default"


def of_method(name: str) -> Iterator[str]:
    """Those of a method of Tensor, by NumPy's function and by NumPy's method where its signature is published; there
    the order of arguments is NumPy's, too."""
    theirs = {**numpy_defaults(vars(np).get(name)), **numpy_defaults(vars(np.ndarray).get(name))}
    ours = numpy_defaults(getattr(Tensor, name))
    yield from (line for _, line in _differing(f"Tensor.{name}", ours, theirs, "NumPy's"))
    order, of_array = (positional_of(vars(kind).get(name)) for kind in (ArrayMethods, np.ndarray))
    if of_array and order != of_array:
        yield f"Tensor.{name} takes {order} by position, NumPy's method {of_array}"


def _methods(kind: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")]


def _namesake(name: str) -> Any:
    """What PyTorch has under our name or that which it is renamed from; None where it has nothing."""
    for home in HOMES:
        for known in (PYTORCH_NAMES.get(name, name), name):
            value = getattr(pytorch.attribute(home) if home else pytorch.attribute("Tensor"), known, None)
            if value is not None:
                return value
    return None


def _same(a: Any, b: Any) -> bool:
    if a is REQUIRED or b is REQUIRED:
        return a is b
    return bool(type(a) is type(b) or not {bool, type(None)} & {type(a), type(b)}) and bool(a == b)


def _shown(value: Any) -> str:
    return "REQUIRED" if value is REQUIRED else repr(value)
