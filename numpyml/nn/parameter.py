"""The tensors of a module: Parameter, an array and its gradient, and Buffer, state that is not trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpyml.autograd.tape import is_recording
from numpyml.autograd.tensor import Tensor
from numpyml.errors import CallOrderError, DTypeError, ShapeError, kind_of
from numpyml.kernels import thresholds
from numpyml.nn.storage import allocate
from numpyml.options import array_or_none
from numpyml.typing import Array

S = TypeVar("S", bound="StateTensor")
_ALL = slice(None)


def _in_place(ufunc: np.ufunc) -> Callable[[S, Any], S]:
    """``p += v`` as PyTorch has it: into the array, where nothing is recorded."""

    def operator(self: S, other: Any) -> S:
        if is_recording():
            raise CallOrderError(
                f"{type(self).__name__} expected in-place arithmetic only inside no_grad(), got it where calls are "
                "recorded; write to the array, p.data += ..., or p + ... for a new Tensor"
            )
        ufunc(self._data, other.data if isinstance(other, Tensor) else other, out=self._data, casting="same_kind")
        return self

    return operator


class StateTensor(Tensor):
    """An entry of a module's state dict: a Tensor whose array is allocated once, written in place and never rebound."""

    __slots__ = ()

    @property
    def data(self) -> Array:
        """The array itself; assigning to it writes into it."""
        return self._data

    @data.setter
    def data(self, values: ArrayLike) -> None:
        self._write(self._data, values)

    def _write(self, target: Array, values: ArrayLike) -> None:
        if values is not target:  # p.grad += g ends with p.grad = p.grad
            source = array_or_none(values)
            fits = source is not None and source.shape == target.shape
            if source is None or not fits or source.dtype.kind not in "biuf":
                raise (DTypeError if fits else ShapeError)(
                    f"{type(self).__name__} expected values of its own shape {target.shape} and a real dtype, "
                    f"got {kind_of(values if source is None else source)}; pass an array of this shape"
                )
            target[...] = source

    __iadd__ = _in_place(np.add)
    __isub__ = _in_place(np.subtract)
    __imul__ = _in_place(np.multiply)
    __itruediv__ = _in_place(np.true_divide)


class Parameter(StateTensor):
    """A trainable array and its gradient, allocated side by side once and never rebound.

    Args:
        data: the initial values; they are copied.
        requires_grad: False freezes it: no gradient is computed, no optimizer changes it.
        dtype: float32 by default, whatever the dtype of ``data``.

    ``p.data = values`` writes into the array. ``p.grad`` starts as zeros, and every backward adds to it.
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike, requires_grad: bool = True, dtype: DTypeLike | None = None) -> None:
        values = _real("Parameter", data)
        array, grad = allocate(values.shape, parameter_dtype(dtype))
        array[...] = values
        super().__init__(array, requires_grad)
        self._grad: Array = grad
        _owners[id(array)] = self

    @property
    def grad(self) -> Array:
        """The accumulated gradient; assigning to it writes into it."""
        return self._grad

    @grad.setter
    def grad(self, values: ArrayLike) -> None:
        self._write(self._grad, values)

    def accumulate(self, gx: Array) -> None:
        """grad += gx, unless frozen."""
        if self.requires_grad:
            self._grad += gx

    def accumulate_product(self, a: Array, b: Array, part: slice = _ALL) -> None:
        """grad += a @ b (or this part of its rows), unless frozen; straight into ``grad`` where it is all zeros."""
        if not self.requires_grad:
            return
        grad = self._grad[part]
        # One pass that only reads can save the two that a temporary product costs.
        if grad.size >= thresholds.SCANNED_GRADIENT and not grad.flat[0] and not grad.view(_BITS[grad.itemsize]).max():
            np.matmul(a, b, out=grad)
        else:
            grad += a @ b

    def zero_grad(self) -> None:
        """Fill ``grad`` with zeros."""
        self._grad.fill(0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._data, self._grad, self.requires_grad)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype}, requires_grad={self.requires_grad})"


class Buffer(StateTensor):
    """State of a module that is not a parameter, such as running statistics: saved and loaded, never trained.

    Args:
        data: the initial values; they are copied.
        dtype: float32 by default for floating data, whatever its precision; that of ``data`` for integers and booleans.

    It is written in place: ``b.data[...] = values``. In a model's ``forward`` it is a Tensor without a gradient; there
    a statistic is computed from arrays, such as ``x.data.mean(axis=0)``.
    PyTorch: nn.Buffer.
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike, dtype: DTypeLike | None = None) -> None:
        values = _real("Buffer", data)
        default = np.float32 if values.dtype.kind == "f" else values.dtype
        super().__init__(np.array(values, _as_dtype(dtype or default, "biuf", "real", "np.float32 or np.int64")))

    def __reduce__(self) -> tuple[Any, ...]:
        return Buffer, (self._data, self.dtype)

    def __repr__(self) -> str:
        return f"Buffer(shape={self.shape}, dtype={self.dtype})"


def _real(kind: str, data: ArrayLike) -> Array:
    values = array_or_none(data)
    if values is None or values.dtype.kind not in "biuf":
        raise DTypeError(f"{kind} expected real data, got {kind_of(data)}; convert it to an array of floats first")
    return values


_BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.uint64}
_owners: WeakValueDictionary[int, Parameter] = WeakValueDictionary()


def _rebuild(data: Array, grad: Array, requires_grad: bool) -> Parameter:
    parameter = Parameter(data, requires_grad, data.dtype)
    parameter.grad[...] = grad
    return parameter


def owner_of(array: Array) -> Parameter | None:
    """The parameter whose ``data`` this array is, if there is one."""
    owner = _owners.get(id(array))
    return owner if owner is not None and owner.data is array else None


def parameter_dtype(dtype: DTypeLike | None) -> np.dtype[Any]:
    """The dtype of a parameter, float32 by default; anything but a floating one is an error."""
    return _as_dtype(np.float32 if dtype is None else dtype, "f", "real floating", "np.float32 or np.float64")


def _as_dtype(dtype: DTypeLike, kinds: str, name: str, examples: str) -> np.dtype[Any]:
    try:
        result = np.dtype(dtype)
    except (TypeError, ValueError):
        result = None
    if result is None or result.kind not in kinds:
        got = kind_of(dtype) if result is None else result
        raise DTypeError(f"dtype expected a {name} type such as {examples}, got {got}; pass one of these")
    return result
