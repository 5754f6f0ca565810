"""Nested values: tuples, lists and dicts of arrays, taken apart into leaves and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

LEAF = ...
"""Stands for a leaf in a structure."""


def flatten(value: Any) -> tuple[list[Any], Any]:
    """The leaves of a nested value in order, and its structure: the same nesting with ``LEAF`` for every leaf.

    Anything but a tuple, a list, a dict or None is a leaf; None belongs to the structure.
    """
    if not isinstance(value, (tuple, list, dict)):
        return ([], None) if value is None else ([value], LEAF)
    parts = [flatten(item) for item in _items(value)]
    return [leaf for inner, _ in parts for leaf in inner], _like(value, [structure for _, structure in parts])


def unflatten(structure: Any, values: Iterable[Any]) -> Any:
    """The nested value of this structure with these leaves."""
    rest = iter(values)

    def build(part: Any) -> Any:
        if isinstance(part, (tuple, list, dict)):
            return _like(part, [build(item) for item in _items(part)])
        return next(rest) if part is LEAF else part

    return build(structure)


def flatten_as(structure: Any, value: Any) -> list[Any]:
    """The leaves of a value nested as ``structure``; None or a bool stands for all leaves of a container.

    Raises: ValueError when the value is nested in another way.
    """
    if structure is None:
        return []
    if structure is LEAF:
        return [value]
    if value is None or isinstance(value, bool):
        return [value] * len(flatten(structure)[0])
    inner, outer = _items(structure), _items(value) if isinstance(value, (tuple, list, dict)) else ()
    keys_differ = isinstance(structure, dict) and (not isinstance(value, dict) or list(value) != list(structure))
    if len(inner) != len(outer) or keys_differ:
        raise ValueError
    return [leaf for part, item in zip(inner, outer, strict=True) for leaf in flatten_as(part, item)]


def leaves(value: Any) -> list[Any]:
    """The leaves of a nested value, in order."""
    return flatten(value)[0]


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The nested value with ``function`` applied to every leaf; the value itself where that changes none."""
    before, structure = flatten(value)
    after = [function(leaf) for leaf in before]
    same = all(a is b for a, b in zip(before, after, strict=True))
    return value if same else unflatten(structure, after)


def holds(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether the value, or a leaf of it, is an instance of one of these classes."""
    if isinstance(value, (tuple, list, dict)):
        return any(holds(item, kinds) for item in _items(value))
    return isinstance(value, kinds)


def _items(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _like(value: Any, items: list[Any]) -> Any:
    """A container of the value's kind."""
    if isinstance(value, dict):
        return dict(zip(value, items, strict=True))
    kind = type(value)
    return getattr(kind, "_make", kind)(items)  # a named tuple takes its items one by one otherwise
