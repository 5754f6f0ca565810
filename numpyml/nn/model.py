"""Containers of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from numpyml.autograd.tape import is_recording
from numpyml.errors import DTypeError, NumpymlError, OptionError, kind_of
from numpyml.nn.drivers import output_and_context
from numpyml.nn.module import Module
from numpyml.nn.representation import constructor_call
from numpyml.options import list_or_none

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


def _checked_list(modules: Any, container: str) -> list[Module]:
    items = list_or_none(modules)
    return [_checked(module, container) for module in ([modules] if items is None else items)]


def _checked(module: object, container: str) -> Module:
    if not isinstance(module, Module):
        raise DTypeError(
            f"{container} expected modules such as layers.Dense(2, 1), got {kind_of(module)}; for a function of your "
            "own write a Module with forward"
        )
    return module


def _checked_name(name: object, container: str) -> str:
    if not isinstance(name, str) or not name or "." in name:
        raise DTypeError(
            f"{container} expected names that are strings without a dot, since a state dict joins names by dots, "
            f"got {name!r}; rename it, as in {str(name).replace('.', '_') or 'first'!r}"
        )
    return name


class Sequential(Module, MutableSequence[Module]):
    """Each layer's output is the next one's input.

        y = fₙ(… f₂(f₁(x)))
        gx = the pullbacks of fₙ, …, f₁ applied to gy, in that order

    Args:
        layers: a list of modules, the modules one by one, or a dict that names them.

    It has the methods of a list, and ``+``. Its layers are named by their positions, but for those that a dict named.

    Raises: OptionError without a layer; DTypeError when one is not a module.
    PyTorch: nn.Sequential.
    """

    def __init__(self, *layers: Module | Iterable[Module] | Mapping[str, Module]) -> None:
        first: Any = layers[0] if len(layers) == 1 else layers
        if isinstance(first, Module):
            first = [first]
        if not isinstance(first, Mapping):
            first = {str(i): layer for i, layer in enumerate(_checked_list(first, "Sequential"))}
        if not first:
            raise OptionError("Sequential expected at least one layer, got none; pass a list of modules")
        self.names = [_checked_name(name, "Sequential") for name in first]
        self.layers = _checked_list(first.values(), "Sequential")

    def compute(self, x: Any) -> tuple[Any, Any]:
        contexts = []
        recording = is_recording()
        try:
            for name, layer in zip(self.names, self.layers, strict=True):  # noqa: B007  # for the error below
                x, context = output_and_context(layer, layer.compute(x))
                if recording:
                    contexts.append(context)
        except NumpymlError as error:
            raise error.at(self, f"[{name}]" if name.isdigit() else f".{name}") from error.__cause__
        return x, contexts

    def pullback(self, contexts: Any, gy: Any, needs_input_grad: Sequence[bool] = (True,)) -> Any:
        layers = self.layers
        first = 0
        if not needs_input_grad[0]:  # then nothing is needed before the first trainable layer
            first = next((i for i, layer in enumerate(layers) if layer.holds_trainable()), len(layers))
        for i in range(len(layers) - 1, first, -1):
            gy = layers[i].pullback(contexts[i], gy, (True,))
        return layers[first].pullback(contexts[first], gy, needs_input_grad) if first < len(layers) else None

    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from zip(self.names, self.layers, strict=True)
        yield from super().named_children()  # what a subclass added

    __eq__ = object.__eq__  # modules compare by identity, not by content
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(zip(self.names[index], self.layers[index], strict=True)))
        return self.layers[index]

    def __setitem__(self, index: Any, layer: Any) -> None:
        if isinstance(index, slice):
            raise DTypeError(
                "Sequential expected the index of one layer to replace, got a slice; replace them one by one"
            )
        self.layers[index] = _checked(layer, "Sequential")

    def insert(self, index: int, value: Module) -> None:
        """Insert a layer before this position."""
        layers, names = self.layers.copy(), self.names.copy()
        layers.insert(index, _checked(value, "Sequential"))
        names.insert(index, "")
        self._arrange(names, layers)

    def extend(self, values: Iterable[Module]) -> None:  # all of them or none
        added = _checked_list(values, "Sequential")
        self._arrange(self.names + [""] * len(added), self.layers + added)

    def __delitem__(self, index: Any) -> None:
        layers, names = self.layers.copy(), self.names.copy()
        del layers[index], names[index]
        if not layers:
            raise OptionError("Sequential expected at least one layer to stay, got none; build another one")
        self._arrange(names, layers)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        joined = Sequential(self.layers + other.layers)
        joined._arrange(self.names + other.names, joined.layers)
        return joined

    def _arrange(self, names: list[str], layers: list[Module]) -> None:
        """Set the layers; names that are not from a dict are the positions."""
        arranged = [str(i) if not name or name.isdigit() else name for i, name in enumerate(names)]
        if twice := {name for name in arranged if arranged.count(name) > 1}:
            raise DTypeError(f"Sequential expected each name once, got {sorted(twice)} twice; rename one of them")
        self.names, self.layers = arranged, layers

    def __repr__(self) -> str:
        if self.names == [str(i) for i in range(len(self.names))]:
            return constructor_call("Sequential([", map(repr, self.layers), "])")
        return constructor_call(
            "Sequential({", (f"{name!r}: {layer!r}" for name, layer in zip(self.names, self.layers, strict=True)), "})"
        )


class ModuleList(Module, MutableSequence[Module]):
    """A list whose modules belong to the model that holds it.

    Args:
        modules: the initial content.

    PyTorch: nn.ModuleList. It has the methods of a list and no forward of its own.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.items = _checked_list(modules, "ModuleList")

    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from ((str(i), module) for i, module in enumerate(self.items))
        yield from super().named_children()

    def insert(self, index: int, value: Module) -> None:
        self.items.insert(index, _checked(value, "ModuleList"))

    def extend(self, values: Iterable[Module]) -> None:  # all of them or none
        self.items.extend(_checked_list(values, "ModuleList"))

    def __getitem__(self, index: Any) -> Any:
        return ModuleList(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.items[index] = (
            _checked_list(value, "ModuleList") if isinstance(index, slice) else _checked(value, "ModuleList")
        )

    def __delitem__(self, index: Any) -> None:
        del self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return constructor_call("ModuleList([", map(repr, self.items), "])")


class ModuleDict(Module, MutableMapping[str, Module]):
    """A dict whose modules belong to the model that holds it.

    Args:
        modules: the initial content.

    PyTorch: nn.ModuleDict. It has the methods of a dict and no forward of its own.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.named: dict[str, Module] = {}
        self.update({} if modules is None else modules)

    def update(self, other: Any = (), /, **modules: Module) -> None:  # all of them or none
        try:
            named = dict(other, **modules)
        except (TypeError, ValueError):
            raise DTypeError(
                f"ModuleDict expected a dict of modules, got {kind_of(other)}; pass them by name: {{'a': layer}}"
            ) from None
        names = [_checked_name(name, "ModuleDict") for name in named]
        self.named.update(zip(names, _checked_list(list(named.values()), "ModuleDict"), strict=True))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from self.named.items()
        yield from super().named_children()

    __eq__ = object.__eq__  # modules compare by identity, not by content
    __hash__ = object.__hash__

    def __getitem__(self, name: str) -> Module:
        return self.named[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.named[_checked_name(name, "ModuleDict")] = _checked(module, "ModuleDict")

    def __delitem__(self, name: str) -> None:
        del self.named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.named)

    def __len__(self) -> int:
        return len(self.named)

    def __repr__(self) -> str:
        return constructor_call("ModuleDict({", (f"{name!r}: {module!r}" for name, module in self.named.items()), "})")
