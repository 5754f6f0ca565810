"""Parameter groups: which parameters an optimizer updates together, and with which options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from numpyml.autograd.tensor import Tensor
from numpyml.errors import DTypeError, OptionError, OwnershipError, ShapeError, kind_of
from numpyml.nn.module import Module
from numpyml.nn.parameter import owner_of
from numpyml.options import list_or_none
from numpyml.typing import Array

G = TypeVar("G", bound="ParameterGroup")


class ParameterGroup(MutableMapping[str, Any]):
    """A parameter group: a mapping whose options can be set, in range, and whose arrays and keys stay.

    ``dict(group)`` is a plain copy. Options that depend on each other are set together: ``group.update(...)``.
    """

    def __init__(self, values: Mapping[str, Any], validate: Callable[[Mapping[str, Any]], None]) -> None:
        self.values_in_use = dict(values)  # for reading in a hot loop; all other code uses the mapping
        self._validate = validate
        self.update(self.options())

    def __getitem__(self, name: str) -> Any:
        return self.values_in_use[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_in_use)

    def __len__(self) -> int:
        return len(self.values_in_use)

    def update(self, other: Any = (), /, **changes: Any) -> None:
        """Set options: all of them, or none where one is out of its range. Every other method that sets calls this."""
        self.values_in_use.update(self.checked(dict(other, **changes)))

    def checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The changes as ``update`` sets them; an OptionError where one is out of its range."""
        # A list could be changed later without validation.
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
        own = self.options()
        for name in options:
            if name not in own:
                raise OptionError(
                    f"a parameter group expected one of its options {sorted(own)}, got {name!r}; "
                    "for other arrays make a new optimizer"
                )
        self._validate({**self.values_in_use, **options})
        return options

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __ior__(self: G, other: Any) -> G:
        self.update(other)
        return self

    def __delitem__(self, name: str) -> None:
        raise OptionError(f"a parameter group expected to keep all its options, got a deletion of {name!r}; set it")

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __repr__(self) -> str:
        return f"<group of {len(self['parameters'])} parameters: {self.options()}>"

    def options(self) -> dict[str, Any]:
        """All but the arrays."""
        return {name: value for name, value in self.values_in_use.items() if name not in ("parameters", "gradients")}


def set_all(groups: Sequence[ParameterGroup], changes: Sequence[Mapping[str, Any]]) -> None:
    """Update every group, or none where an option is out of its range."""
    checked = [group.checked(options) for group, options in zip(groups, changes, strict=True)]
    for group, options in zip(groups, checked, strict=True):
        group.values_in_use.update(options)


@dataclass(frozen=True)
class Entry:
    """A parameter of an optimizer: its index among all, its group, and the two arrays."""

    index: int
    group: ParameterGroup
    p: Array
    g: Array


State = tuple[int, dict[str, Array]]  # the step count and the state arrays of a parameter

REMEDY = "pass model.parameters(), model.gradients()"


def array_list(name: str, role: str, arrays: Any) -> list[Any]:
    """The parameters or gradients as a list, or a DTypeError where they are none."""
    items = None if isinstance(arrays, (Module, Tensor, Mapping)) else list_or_none(arrays)
    if items is not None:
        return items
    got = f"a {type(arrays).__name__}" if isinstance(arrays, Module) else kind_of(arrays)
    number = isinstance(arrays, (int, float, np.number))
    options = f", and options by their name: learning_rate={arrays!r}" if number else ""
    raise DTypeError(f"{name} expected a list of arrays as {role}, got {got}; {REMEDY}{options}")


def check_arrays(name: str, parameters: Sequence[Any], gradients: Sequence[Any]) -> list[Callable[[], Any]]:
    """Raise unless the two lists match; else return, for each parameter, a weak reference to its owner."""
    if not parameters:
        raise OptionError(
            f"{name} expected a model with parameters, got an empty list of them; {REMEDY} of a model with layers"
        )
    if len(parameters) != len(gradients):
        raise OwnershipError(
            f"{name} expected as many gradients as parameters, got {len(parameters)} parameters and "
            f"{len(gradients)} gradients; {REMEDY} of one model"
        )
    owners: list[Callable[[], Any]] = []
    for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        for array in (p, g):
            if isinstance(array, Tensor):
                raise DTypeError(
                    f"{name} expected arrays at index {i}, got a {type(array).__name__}; {REMEDY}, which give each "
                    "Parameter's .data and .grad"
                )
            if type(array) is not np.ndarray or array.dtype.kind != "f" or not array.flags.writeable:
                raise DTypeError(
                    f"{name} expected writable arrays of floats at index {i}, got {kind_of(array)}; {REMEDY}"
                )
        if p.shape != g.shape or p.dtype != g.dtype:
            raise ShapeError(
                f"{name} expected a gradient like parameter {i}, {kind_of(p)}, got {kind_of(g)}; {REMEDY} of one model"
            )
        owner = owner_of(p)
        if (owner is not None and owner.grad is not g) or owner_of(g) is not None:
            raise OwnershipError(
                f"{name} expected at index {i} a parameter and its own gradient, got arrays of two; "
                f"{REMEDY} of one model, in this order"
            )
        owners.append(ref(owner) if owner is not None else lambda: _UNOWNED)
    return owners


_UNOWNED = SimpleNamespace(requires_grad=True)  # the owner of arrays that belong to no Parameter
