"""References of functions, in five kinds, and of modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.references.arithmetic import Wide, axes_of, fold, wide
from numpyml.typing import Array

Function = Callable[..., Any]
Answers = tuple[list[Array], list[Array]]  # the outputs, and the gradient of every operand
Options = Mapping[str, Any]
Arrays = Mapping[str, Array]
Mask = Callable[[float, tuple[int, ...]], Array]  # rate and shape to the scaled mask of Dropout


@dataclass(frozen=True)
class FunctionReference:
    """The outputs of a function, and the gradients of its operands from those of its outputs."""

    how: str
    compute: Callable[[list[Array], Mapping[str, Any], Sequence[Array]], Answers]

    def __call__(
        self, operands: Mapping[str, Array], options: Mapping[str, Any], gys: Sequence[Array]
    ) -> tuple[list[Array], dict[str, Array]]:
        with np.errstate(all="ignore"):
            outputs, gradients = self.compute([wide(x) for x in operands.values()], options, [wide(g) for g in gys])
        return outputs, dict(zip(operands, gradients, strict=True))


def elementwise(value: Function, *partials: Function) -> FunctionReference:
    """An elementwise function: its value, and its derivative by each operand, of operands and options."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (gy,) = gys
        gradients = [
            fold(wide(gy * partial(*operands, **options)), x.shape)
            for x, partial in zip(operands, partials, strict=True)
        ]
        return [wide(value(*operands, **options))], gradients

    return FunctionReference("formula in extended precision", compute)


def reduction(value: Function, partial: Function) -> FunctionReference:
    """A reduction y = value(x, axes), with the axes kept, and its derivative partial(x, y, axes)."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (x,), (gy,) = operands, gys
        rest = {name: option for name, option in options.items() if name not in ("axis", "keepdims")}
        axes = axes_of(options["axis"], x.ndim)
        y = value(x, axes, **rest)
        gradient = gy.reshape(y.shape) * partial(x, y, axes, **rest)
        return [y.reshape(gy.shape)], [np.broadcast_to(gradient, x.shape)]

    return FunctionReference("formula in extended precision", compute)


def moves(function: Function) -> FunctionReference:
    """A function that only moves elements; applied to their indices from 1, it shows where each goes. 0 is padding."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        ends = np.cumsum([x.size for x in operands])
        numbers = [1 + end - x.size + np.arange(x.size).reshape(x.shape) for x, end in zip(operands, ends, strict=True)]
        gradient = np.zeros(1 + ends[-1], Wide)
        for indices, gy in zip(_listed(function(*numbers, **options)), gys, strict=True):
            np.add.at(gradient, indices, gy)
        parts = np.split(gradient[1:], ends[:-1])
        outputs = [wide(y) for y in _listed(function(*operands, **options))]
        return outputs, [part.reshape(x.shape) for part, x in zip(parts, operands, strict=True)]

    return FunctionReference("numbered elements: the function itself shows where each one goes", compute)


def linear(function: Function) -> FunctionReference:
    """A function that is linear in each operand: its derivative is its value at unit vectors, the others fixed."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (gy,) = gys
        gradients = []
        for i, x in enumerate(operands):
            unit, gradient = np.zeros(x.shape, Wide), np.zeros(x.shape, Wide)
            arguments = [*operands[:i], unit, *operands[i + 1 :]]
            for k in np.ndindex(x.shape):
                unit[k] = 1
                gradient[k] = np.vdot(function(*arguments, **options), gy)
                unit[k] = 0
            gradients.append(gradient)
        return [wide(function(*operands, **options))], gradients

    return FunctionReference("unit vectors: the function itself is linear in each operand", compute)


def multilinear(function: Function, spell: Function, *, flatten: bool = False) -> FunctionReference:
    """A sum of products with einsum subscripts: its derivative by one factor is an einsum of the others."""

    def compute(operands: list[Array], options: Mapping[str, Any], gys: Sequence[Array]) -> Answers:
        (gy,) = gys
        factors = [x.reshape(-1) for x in operands] if flatten else operands
        subscripts = spell(*factors, **options)
        left, result = subscripts.split("->")
        letters = left.split(",")
        gradients = []
        for i, (x, own) in enumerate(zip(factors, letters, strict=True)):
            others = [*factors[:i], np.ones_like(x), *factors[i + 1 :]]
            gradient = np.einsum(f"{','.join(letters)},{result}->{own}", *others, gy)
            gradients.append(fold(gradient, x.shape).reshape(operands[i].shape))
        return [wide(function(*operands, **options))], gradients

    return FunctionReference("einsum over the other factors: the function is a sum of products", compute)


def _listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


def zero(*_: Any, **__: Any) -> int:
    return 0


def one(*_: Any, **__: Any) -> int:
    return 1


@dataclass(frozen=True)
class ModuleReference:
    """The output, and the gradients of floating inputs and of parameters, by name.

    ``mask`` gives the scaled mask of Dropout; None in evaluation.
    """

    compute: Callable[[Options, Arrays, Arrays, Array, Mask | None], dict[str, Array]]
    how: str = "formula in extended precision"

    def __call__(
        self, options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None = None
    ) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            inputs = {name: wide(x) if x.dtype.kind == "f" else x for name, x in inputs.items()}
            return self.compute(options, inputs, {name: wide(x) for name, x in parameters.items()}, wide(gy), mask)


def named(inputs: Arrays, output: Any, *gradients: Any) -> dict[str, Array]:
    """The output and the gradients of the inputs, by name."""
    answers = {f"gradient of {name}": wide(g) for name, g in zip(inputs, gradients, strict=False)}
    return {"output": wide(output)} | answers


def masked(compute: Callable[[Options, Arrays, Arrays, Array, Mask | None], dict[str, Array]]) -> ModuleReference:
    """The reference of a module with dropout."""
    return ModuleReference(compute, "formula in extended precision, under PyTorch's mask")
