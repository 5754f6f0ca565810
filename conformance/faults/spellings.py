"""Faults in single spellings of functions: methods, operators, reflected ones, positions of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml import Tensor
from numpyml.autograd.methods import ArrayMethods


def calls(replacement: Callable[..., Any]) -> Any:
    """The method is this function instead, which is given the right one first."""
    return lambda right: lambda self, *args, **options: replacement(right, self, *args, **options)


def method(name: str, component: str, attribute: str, replacement: Callable[..., Any], check: str = "output") -> Fault:
    return Fault(name, component, check, ArrayMethods, attribute, calls(replacement))


def without(option: str) -> Callable[..., Any]:
    """The method ignores this option."""

    def call(right: Any, self: Any, *args: Any, **options: Any) -> Any:
        return right(self, *args, **{name: x for name, x in options.items() if name != option})

    return call


def by_position(changed: Callable[[Any], Any]) -> Callable[..., Any]:
    """The method gets other arguments where some are passed by position."""

    def call(right: Any, self: Any, *args: Any, **options: Any) -> Any:
        return right(self, *(changed(args) if args else ()), **options)

    return call


def _several_reversed(right: Any, self: Any, *shape: Any) -> Any:
    return right(self[::-1] if len(shape) > 1 and self.ndim else self, *shape)


def _swapped(right: Any, self: Any, other: Any) -> Any:
    """The operator as if its operands were the other way round, where both orders have one shape."""
    y = right(self, other)
    z = right(Tensor(np.asarray(other, self.dtype)), self)
    return z if z.shape == y.shape else y


def _detached(right: Any, self: Any, *args: Any, **options: Any) -> Any:
    return right(self.detach(), *args, **options)


FAULTS = [
    method("2 - t is t - 2", "subtract", "__rsub__", _swapped),
    method("2 / t is t / 2", "divide", "__rtruediv__", _swapped),
    method("2 ** t is t ** 2", "power", "__rpow__", _swapped),
    method("2 % t is t % 2", "remainder", "__rmod__", _swapped),
    method("2 // t is t // 2", "floor_divide", "__rfloordiv__", _swapped),
    method("a list @ t is doubled", "matmul", "__rmatmul__", lambda right, self, a: right(self, a) * 2),
    method("t -= u adds", "subtract", "__sub__", lambda right, self, b: self + b),
    method("abs(t) is +t", "absolute", "__abs__", lambda right, self: +self),
    method("-t has no gradient", "negative", "__neg__", _detached, "function_gradients"),
    method("t.std ignores ddof", "std", "std", without("ddof")),
    method("t.var ignores ddof", "var", "var", without("ddof"), "function_gradients"),
    method("t.var takes dtype for ddof by position", "var", "var", by_position(lambda args: args[:3])),
    method("t.min is t.max", "min", "min", lambda right, self, *args, **o: self.max(*args, **o)),
    method("t.max(axis) by position is the last", "max", "max", by_position(lambda args: [-1 for _ in args])),
    method("t.clip ignores max", "clip", "clip", without("max")),
    method("t.clip ignores min", "clip", "clip", without("min")),
    method("t.mean is t.sum", "mean", "mean", lambda right, self, *args, **o: self.sum(*args, **o)),
    method("t.sum has no gradient", "sum", "sum", _detached, "function_gradients"),
    method("t.round ignores decimals", "round", "round", lambda right, self, *args, **o: right(self)),
    method("t.trace counts offsets backwards", "trace", "trace", by_position(lambda args: [-args[0], *args[1:]])),
    method("t.cumsum(axis) by position is the first", "cumsum", "cumsum", by_position(lambda args: [0 for _ in args])),
    method("t.copy has no gradient", "copy", "copy", _detached, "function_gradients"),
    method("t.swapaxes has no gradient", "swapaxes", "swapaxes", _detached, "function_gradients"),
    method("t.reshape of several lengths reverses", "reshape", "reshape", _several_reversed),
    method("t.flatten reverses", "ravel", "flatten", lambda right, self: right(self)[::-1]),
]
