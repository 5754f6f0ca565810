"""Parameter groups: which parameters an optimizer moves together, and by which options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

from numpyml.errors import OptionError

G = TypeVar("G", bound="ParameterGroup")


class ParameterGroup(MutableMapping[str, Any]):
    """A parameter group: a mapping whose options can be set, in range, and whose arrays and keys stay.

    ``dict(group)`` is a plain copy. Options that depend on each other are set together: ``group.update(...)``.
    """

    def __init__(self, values: Mapping[str, Any], validate: Callable[[Mapping[str, Any]], None]) -> None:
        self.values_in_use = dict(values)  # for reading in a hot loop; everybody else goes through the mapping
        self._validate = validate
        self.update(self.options())

    def __getitem__(self, name: str) -> Any:
        return self.values_in_use[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_in_use)

    def __len__(self) -> int:
        return len(self.values_in_use)

    def update(self, other: Any = (), /, **changes: Any) -> None:
        """Set options, all or, where one is out of its range, none: the only way in."""
        # A list could be changed later, behind the validation.
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in dict(other, **changes).items()}
        for name in options:
            if name not in self.options():
                raise OptionError(
                    f"a parameter group expected one of its options {sorted(self.options())}, got {name!r}; "
                    "for other arrays make a new optimizer"
                )
        self._validate({**self.values_in_use, **options})
        self.values_in_use.update(options)

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
