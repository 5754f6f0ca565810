"""The six kinds of references of functions: from what stands in the table to the value and every gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.references.arithmetic import Wide, axes_of, fold, wide
from numpyml.typing import Array

Function = Callable[..., Any]
Answers = tuple[list[Array], list[Array]]  # the outputs, and the gradient of every operand


@dataclass(frozen=True)
class FunctionReference:
    """What a function computes and the gradients of its operands, from the arrays and the gradients of its outputs."""

    how: str
    compute: Callable[[list[Array], Mapping[str, Any], Sequence[Array]], Answers]

    def __call__(
        self, operands: Mapping[str, Array], options: Mapping[str, Any], gys: Sequence[Array]
    ) -> tuple[list[Array], dict[str, Array]]:
        with np.errstate(all="ignore"):
            outputs, gradients = self.compute([wide(x) for x in operands.values()], options, [wide(g) for g in gys])
        return outputs, dict(zip(operands, gradients, strict=True))


def elementwise(value: Function, *partials: Function) -> FunctionReference:
    """A value, and its derivative by each operand; both take the operands and options."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (gy,) = gys
        gradients = [
            fold(wide(gy * partial(*operands, **options)), x.shape)
            for x, partial in zip(operands, partials, strict=True)
        ]
        return [wide(value(*operands, **options))], gradients

    return FunctionReference("formula in extended precision", compute)


def reduction(value: Function, partial: Function, how: str = "formula in extended precision") -> FunctionReference:
    """One number y for every cell: value(x, axes), the axes kept, and its derivative partial(x, y, axes)."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (x,), (gy,) = operands, gys
        rest = {name: option for name, option in options.items() if name not in ("axis", "keepdims")}
        axes = axes_of(options["axis"], x.ndim)
        y = value(x, axes, **rest)
        gradient = gy.reshape(y.shape) * partial(x, y, axes, **rest)
        return [y.reshape(gy.shape)], [np.broadcast_to(gradient, x.shape)]

    return FunctionReference(how, compute)


def moves(function: Function) -> FunctionReference:
    """A function that only moves elements. Given their numbers, from 1 on, it tells where each one went; 0 is none."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        ends = np.cumsum([x.size for x in operands])
        numbers = [1 + end - x.size + np.arange(x.size).reshape(x.shape) for x, end in zip(operands, ends, strict=True)]
        gradient = np.zeros(1 + ends[-1], Wide)
        for places, gy in zip(_listed(function(*numbers, **options)), gys, strict=True):
            np.add.at(gradient, places, gy)
        parts = np.split(gradient[1:], ends[:-1])
        outputs = [wide(y) for y in _listed(function(*operands, **options))]
        return outputs, [part.reshape(x.shape) for part, x in zip(parts, operands, strict=True)]

    return FunctionReference("numbered elements: the function itself tells where each one went", compute)


def linear(function: Function) -> FunctionReference:
    """A function linear in each operand: at a unit vector, the others fixed, it is its own derivative."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (gy,) = gys
        gradients = []
        for place, x in enumerate(operands):
            unit, gradient = np.zeros(x.shape, Wide), np.zeros(x.shape, Wide)
            given = [*operands[:place], unit, *operands[place + 1 :]]
            for k in np.ndindex(x.shape):
                unit[k] = 1
                gradient[k] = np.vdot(function(*given, **options), gy)
                unit[k] = 0
            gradients.append(gradient)
        return [wide(function(*operands, **options))], gradients

    return FunctionReference("unit vectors: the function itself is linear in each operand", compute)


def multilinear(function: Function, spell: Function, *, flatten: bool = False) -> FunctionReference:
    """A sum of products, spelled as einsum does: by one factor, it is the sum of the products of all the others."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (gy,) = gys
        factors = [x.reshape(-1) for x in operands] if flatten else operands
        subscripts = spell(*factors, **options)
        left, result = subscripts.split("->")
        letters = left.split(",")
        gradients = []
        for place, (x, own) in enumerate(zip(factors, letters, strict=True)):
            others = [*factors[:place], np.ones_like(x), *factors[place + 1 :]]
            gradient = np.einsum(f"{','.join(letters)},{result}->{own}", *others, gy)
            gradients.append(fold(gradient, x.shape).reshape(operands[place].shape))
        return [wide(function(*operands, **options))], gradients

    return FunctionReference("einsum over the other factors: the function is a sum of products", compute)


def selects(order: Callable[..., Array], function: Function) -> FunctionReference:
    """A function that moves elements to where their values tell: function(x, order(x), options)."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        chosen = order(*operands, **options)
        return moves(lambda x, **given: function(x, chosen, **given)).compute(operands, options, gys)

    return FunctionReference("numbered elements, in the order of their values", compute)


def _listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


def zero(*_: Any, **__: Any) -> int:
    return 0


def one(*_: Any, **__: Any) -> int:
    return 1
