"""The operators and methods of an array: each is a NumPy function under another name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from numpyml.typing import Array

if TYPE_CHECKING:
    from numpyml.autograd.tensor import Tensor

Axis = int | tuple[int, ...] | None
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def _unary(function: np.ufunc) -> Callable[[Any], Tensor]:
    """The operator that this function of one operand stands for."""
    return _titled(function, lambda self: self._apply(function, (self,)))


def _binary(function: np.ufunc) -> Callable[[Any, Any], Tensor]:
    """The operator that this function of two operands stands for. A subclass on the right decides, as in NumPy."""
    return _titled(
        function,
        lambda self, other: (other if isinstance(other, type(self)) else self)._apply(function, (self, other)),
    )


def _reflected(function: np.ufunc) -> Callable[[Any, Any], Tensor]:
    """The same operator, called on its right operand."""
    return _titled(function, lambda self, other: self._apply(function, (other, self)))


def _titled(function: np.ufunc, call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = f"``np.{function.__name__}``."
    return call


class ArrayMethods:
    """What a NumPy array has: attributes, conversions, operators and methods.

    A class that derives from this one holds the array in ``_data``, and carries out functions in :meth:`_apply`.
    NumPy's own mixin of operators is not used: it goes through the ufunc, which costs 5 to 8 % of a recorded call, its
    in-place operators write to the operand, and its results are Any to a type checker.
    """

    __slots__ = ()
    _data: Array

    @staticmethod
    def _apply(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] = NO_OPTIONS) -> Any:
        """The function's result: what every operator and method comes down to."""
        raise NotImplementedError

    # Attributes and conversions

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self._data.dtype

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return self.transpose()

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return self.swapaxes(-1, -2)

    def item(self, *args: Any) -> Any:
        """The one element, or that at an index, as a Python number."""
        return self._data.item(*args)

    def tolist(self) -> Any:
        """The elements, as nested lists of Python numbers."""
        return self._data.tolist()

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __float__(self) -> float:
        return float(self._data)

    def __index__(self) -> int:
        return operator.index(self._data[()])

    def __contains__(self, value: object) -> bool:
        return value in self._data

    # Operators

    def __getitem__(self, index: Any) -> Tensor:
        return self._apply(operator.getitem, (self, index))

    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)
    __add__, __radd__ = _binary(np.add), _reflected(np.add)
    __sub__, __rsub__ = _binary(np.subtract), _reflected(np.subtract)
    __mul__, __rmul__ = _binary(np.multiply), _reflected(np.multiply)
    __truediv__, __rtruediv__ = _binary(np.true_divide), _reflected(np.true_divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide), _reflected(np.floor_divide)
    __mod__, __rmod__ = _binary(np.remainder), _reflected(np.remainder)
    __pow__, __rpow__ = _binary(np.power), _reflected(np.power)
    __matmul__, __rmatmul__ = _binary(np.matmul), _reflected(np.matmul)
    __eq__ = _binary(np.equal)  # type: ignore[assignment]  # elementwise, as in NumPy
    __ne__ = _binary(np.not_equal)  # type: ignore[assignment]
    __lt__ = _binary(np.less)
    __le__ = _binary(np.less_equal)
    __gt__ = _binary(np.greater)
    __ge__ = _binary(np.greater_equal)
    __and__, __rand__ = _binary(np.bitwise_and), _reflected(np.bitwise_and)
    __or__, __ror__ = _binary(np.bitwise_or), _reflected(np.bitwise_or)
    __xor__, __rxor__ = _binary(np.bitwise_xor), _reflected(np.bitwise_xor)
    __hash__ = object.__hash__

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    # Methods

    def astype(
        self, dtype: DTypeLike, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Tensor:
        """The values in another dtype; the gradient comes back in this one."""
        return self._apply(np.ndarray.astype, (self, np.dtype(dtype), order, casting, subok, copy))

    def copy(self, order: str = "C") -> Tensor:
        """The values in a new array."""
        return self._apply(np.copy, (self, order))

    def sum(
        self, axis: Axis = None, dtype: None = None, out: None = None, *, keepdims: bool = False, **options: Any
    ) -> Tensor:
        """``np.sum``."""
        return self._apply(np.sum, (self, axis, dtype, out), {"keepdims": keepdims, **options})

    def mean(
        self, axis: Axis = None, dtype: None = None, out: None = None, *, keepdims: bool = False, **options: Any
    ) -> Tensor:
        """``np.mean``."""
        return self._apply(np.mean, (self, axis, dtype, out), {"keepdims": keepdims, **options})

    def prod(
        self, axis: Axis = None, dtype: None = None, out: None = None, *, keepdims: bool = False, **options: Any
    ) -> Tensor:
        """``np.prod``."""
        return self._apply(np.prod, (self, axis, dtype, out), {"keepdims": keepdims, **options})

    def var(
        self,
        axis: Axis = None,
        dtype: None = None,
        out: None = None,
        ddof: float = 0,
        *,
        keepdims: bool = False,
        **options: Any,
    ) -> Tensor:
        """``np.var``."""
        return self._apply(np.var, (self, axis, dtype, out, ddof), {"keepdims": keepdims, **options})

    def std(
        self,
        axis: Axis = None,
        dtype: None = None,
        out: None = None,
        ddof: float = 0,
        *,
        keepdims: bool = False,
        **options: Any,
    ) -> Tensor:
        """``np.std``."""
        return self._apply(np.std, (self, axis, dtype, out, ddof), {"keepdims": keepdims, **options})

    def max(self, axis: Axis = None, out: None = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.max``."""
        return self._apply(np.max, (self, axis, out), {"keepdims": keepdims, **options})

    def min(self, axis: Axis = None, out: None = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.min``."""
        return self._apply(np.min, (self, axis, out), {"keepdims": keepdims, **options})

    def cumsum(self, axis: int | None = None, dtype: None = None, out: None = None) -> Tensor:
        """``np.cumsum``."""
        return self._apply(np.cumsum, (self, axis, dtype, out))

    def all(self, axis: Axis = None, out: None = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.all``."""
        return self._apply(np.all, (self, axis, out), {"keepdims": keepdims, **options})

    def any(self, axis: Axis = None, out: None = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.any``."""
        return self._apply(np.any, (self, axis, out), {"keepdims": keepdims, **options})

    def argmax(self, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Tensor:
        """``np.argmax``."""
        return self._apply(np.argmax, (self, axis, out), {"keepdims": keepdims})

    def argmin(self, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Tensor:
        """``np.argmin``."""
        return self._apply(np.argmin, (self, axis, out), {"keepdims": keepdims})

    def argsort(self, axis: int | None = -1, kind: str | None = None, order: None = None, **options: Any) -> Tensor:
        """``np.argsort``."""
        return self._apply(np.argsort, (self, axis, kind, order), options)

    def clip(self, min: Any = None, max: Any = None, out: None = None) -> Tensor:
        """``np.clip``."""
        return self._apply(np.clip, (self, min, max, out))

    def round(self, decimals: int = 0, out: None = None) -> Tensor:
        """``np.round``."""
        return self._apply(np.round, (self, decimals, out))

    def dot(self, other: Any, out: None = None) -> Tensor:
        """``np.dot``."""
        return self._apply(np.dot, (self, other, out))

    def reshape(self, *shape: Any, **options: Any) -> Tensor:
        """``np.reshape``; the shape as one tuple or as several arguments."""
        return self._apply(np.reshape, (self, shape[0] if len(shape) == 1 else shape), options)

    def ravel(self, order: str = "C") -> Tensor:
        """``np.ravel``."""
        return self._apply(np.ravel, (self, order))

    flatten = ravel

    def transpose(self, *axes: Any) -> Tensor:
        """``np.transpose``; the axes as one tuple or as several arguments."""
        order: Sequence[int] | None = None if not axes else axes[0] if len(axes) == 1 else axes
        return self._apply(np.transpose, (self, order))

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """``np.swapaxes``."""
        return self._apply(np.swapaxes, (self, axis1, axis2))

    def squeeze(self, axis: Axis = None) -> Tensor:
        """``np.squeeze``."""
        return self._apply(np.squeeze, (self, axis))

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """``np.repeat``."""
        return self._apply(np.repeat, (self, repeats, axis))

    def take(self, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Tensor:
        """``np.take``."""
        return self._apply(np.take, (self, indices, axis, out, mode))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """``np.diagonal``."""
        return self._apply(np.diagonal, (self, offset, axis1, axis2))

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: None = None, out: None = None) -> Tensor:
        """``np.trace``."""
        return self._apply(np.trace, (self, offset, axis1, axis2, dtype, out))
