"""Tensor: an array that remembers where it came from."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpyml.autograd import tape
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.table import Row, title_of
from numpyml.autograd.tape import Node
from numpyml.errors import CallOrderError, DerivativeError, DTypeError, NumpymlError, ShapeError, kind_of
from numpyml.typing import Array

Axis = int | tuple[int, ...] | None
FLOATS = (float, np.floating)
REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
}
"""What ``ufunc.reduce`` is called on its own; its axis is 0 unless said otherwise."""


class Tensor:
    """An array that NumPy's functions accept, and whose derivatives are recorded as they run.

    Args:
        data: anything ``np.asarray`` takes; bool, integer or real floating. An array is not copied.
        requires_grad: whether :meth:`backward` leaves a gradient in ``grad``. Needs a floating dtype.
        dtype: of the data; by default as it comes.

    NumPy is the operation library: ``np.tanh(t)``, ``t @ u``, ``np.einsum("ij,jk", t, u)``, ``t[1:, mask]`` all give
    Tensors. A function without a derivative raises a DerivativeError that names it. The array itself is ``t.data``.
    ``t += u`` makes a new Tensor: nothing recorded is ever written to.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_requires_grad", "index", "node")
    __hash__ = object.__hash__

    def __init__(self, data: ArrayLike, requires_grad: bool = False, dtype: DTypeLike | None = None) -> None:
        if isinstance(data, Tensor):
            raise DTypeError("Tensor expected an array, got a Tensor; t.detach() gives one that shares its data")
        array = np.asarray(data, dtype=dtype)
        if array.dtype.kind not in "biuf":
            raise DTypeError(f"Tensor expected bool, integer or floating data, got {kind_of(array)}; convert it first")
        self._data: Array = array
        self._grad: Array | None = None
        self.requires_grad = requires_grad
        self.node: Node | None = None
        self.index = 0  # which of the node's outputs this is

    @property
    def requires_grad(self) -> bool:
        """Whether :meth:`backward` leaves a gradient in ``grad``."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise DTypeError(f"requires_grad expected True or False, got {kind_of(value)}")
        if value and self._data.dtype.kind != "f":
            raise DTypeError(
                f"Tensor expected floating data where requires_grad=True, got {kind_of(self._data)}; "
                "pass dtype=np.float32 or requires_grad=False"
            )
        self._requires_grad = bool(value)

    @property
    def data(self) -> Array:
        """The array itself."""
        return self._data

    @property
    def grad(self) -> Array | None:
        """The gradient that :meth:`backward` accumulated here; None before the first one."""
        return self._grad

    def accumulate(self, gx: Array) -> None:
        """Add to ``grad``; the first time, a copy of ``gx`` becomes it."""
        if self._grad is None:
            self._grad = np.array(gx)
        else:
            self._grad += gx

    def zero_grad(self) -> None:
        """Forget the gradient accumulated so far."""
        self._grad = None

    def backward(self, gradient: ArrayLike | None = None, *, retain_graph: bool = False) -> None:
        """Accumulate into every leaf the gradient of this tensor, weighted by ``gradient`` (1 for a scalar).

        Args:
            gradient: of the final scalar with respect to this tensor; its shape is this tensor's.
            retain_graph: keep what the walk needs, so that it can be repeated.

        Raises:
            CallOrderError: when nothing was recorded for this tensor, or the graph was freed by an earlier backward.
            ShapeError: when ``gradient`` has another shape, or is missing though this is not a scalar.
        """
        if self.node is None and not self.requires_grad:
            raise CallOrderError(
                "Tensor.backward expected a tensor that was computed from one with requires_grad=True or from a "
                "trainable parameter, outside no_grad(); nothing was recorded for this one"
            )
        if gradient is None:
            if self.size != 1:
                raise ShapeError(
                    f"Tensor.backward without a gradient expected a scalar, got shape {self.shape}; "
                    "reduce it to one number first, or pass gradient= of that shape"
                )
            gy = np.ones(self.shape, self.dtype)
        else:
            gy = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient)
            if gy.shape != self.shape or gy.dtype.kind not in "biuf":
                raise ShapeError(
                    f"Tensor.backward expected a real gradient of shape {self.shape}, the tensor's own, "
                    f"got {kind_of(gy)}"
                )
            gy = gy.astype(self.dtype, copy=False)
        tape.backward([self], [gy], retain_graph=retain_graph)

    def detach(self) -> Tensor:
        """The same data, cut off from the graph."""
        return Tensor(self._data)

    def numpy(self) -> Array:
        """The array itself, as ``data``."""
        return self._data

    def __reduce__(self) -> tuple[Any, ...]:
        if self.node is not None:
            raise TypeError(
                "copying or pickling a Tensor expected one that nothing was recorded for, got a computed one, whose "
                "graph cannot be copied; copy t.detach()"
            )
        return type(self), (self._data, self.requires_grad)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "reduce" and ufunc in REDUCTIONS:
            return apply(REDUCTIONS[ufunc], inputs, {"axis": 0, **options})
        if method != "__call__":
            raise DerivativeError(f"numpy.{ufunc.__name__}.{method} has no derivative here; use the plain function")
        return apply(ufunc, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return apply(function, args, kwargs)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self.requires_grad or self.node is not None:
            raise DerivativeError(
                "this NumPy call would turn a Tensor that requires a gradient into a plain array and lose the "
                "gradient; use a function of numpyml's table of derivatives, or say t.data"
            )
        return np.array(self._data, dtype=dtype, copy=True) if copy else np.asarray(self._data, dtype=dtype)

    # What an array can say of itself

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

    def item(self) -> Any:
        """The one element, as a Python number."""
        return self._data.item()

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

    def __repr__(self) -> str:
        note = ", requires_grad=True" if self.requires_grad or self.node is not None else ""
        return f"Tensor({np.array2string(self._data, separator=', ', prefix='Tensor(')}, dtype={self.dtype}{note})"

    # Operators: NumPy's functions under their Python names

    def __getitem__(self, index: Any) -> Tensor:
        return one(operator.getitem, (self, index))

    def __neg__(self) -> Tensor:
        return one(np.negative, (self,))

    def __pos__(self) -> Tensor:
        return one(np.positive, (self,))

    def __abs__(self) -> Tensor:
        return one(np.absolute, (self,))

    def __invert__(self) -> Tensor:
        return one(np.invert, (self,))

    def __add__(self, other: Any) -> Tensor:
        return one(np.add, (self, other))

    def __radd__(self, other: Any) -> Tensor:
        return one(np.add, (other, self))

    def __sub__(self, other: Any) -> Tensor:
        return one(np.subtract, (self, other))

    def __rsub__(self, other: Any) -> Tensor:
        return one(np.subtract, (other, self))

    def __mul__(self, other: Any) -> Tensor:
        return one(np.multiply, (self, other))

    def __rmul__(self, other: Any) -> Tensor:
        return one(np.multiply, (other, self))

    def __truediv__(self, other: Any) -> Tensor:
        return one(np.true_divide, (self, other))

    def __rtruediv__(self, other: Any) -> Tensor:
        return one(np.true_divide, (other, self))

    def __floordiv__(self, other: Any) -> Tensor:
        return one(np.floor_divide, (self, other))

    def __rfloordiv__(self, other: Any) -> Tensor:
        return one(np.floor_divide, (other, self))

    def __mod__(self, other: Any) -> Tensor:
        return one(np.remainder, (self, other))

    def __rmod__(self, other: Any) -> Tensor:
        return one(np.remainder, (other, self))

    def __pow__(self, other: Any) -> Tensor:
        return one(np.power, (self, other))

    def __rpow__(self, other: Any) -> Tensor:
        return one(np.power, (other, self))

    def __matmul__(self, other: Any) -> Tensor:
        return one(np.matmul, (self, other))

    def __rmatmul__(self, other: Any) -> Tensor:
        return one(np.matmul, (other, self))

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]  # elementwise, as in NumPy
        return one(np.equal, (self, other))

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]  # elementwise, as in NumPy
        return one(np.not_equal, (self, other))

    def __lt__(self, other: Any) -> Tensor:
        return one(np.less, (self, other))

    def __le__(self, other: Any) -> Tensor:
        return one(np.less_equal, (self, other))

    def __gt__(self, other: Any) -> Tensor:
        return one(np.greater, (self, other))

    def __ge__(self, other: Any) -> Tensor:
        return one(np.greater_equal, (self, other))

    def __and__(self, other: Any) -> Tensor:
        return one(np.bitwise_and, (self, other))

    def __or__(self, other: Any) -> Tensor:
        return one(np.bitwise_or, (self, other))

    def __xor__(self, other: Any) -> Tensor:
        return one(np.bitwise_xor, (self, other))

    # Methods: NumPy's functions once more

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The values in another dtype; the gradient comes back in this one."""
        return one(np.ndarray.astype, (self, np.dtype(dtype)))

    def copy(self) -> Tensor:
        """The values in a new array."""
        return one(np.copy, (self,))

    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.sum``."""
        return one(np.sum, (self,), {"axis": axis, "keepdims": keepdims})

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.mean``."""
        return one(np.mean, (self,), {"axis": axis, "keepdims": keepdims})

    def prod(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.prod``."""
        return one(np.prod, (self,), {"axis": axis, "keepdims": keepdims})

    def var(self, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """``np.var``."""
        return one(np.var, (self,), {"axis": axis, "ddof": ddof, "keepdims": keepdims})

    def std(self, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """``np.std``."""
        return one(np.std, (self,), {"axis": axis, "ddof": ddof, "keepdims": keepdims})

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.max``."""
        return one(np.max, (self,), {"axis": axis, "keepdims": keepdims})

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.min``."""
        return one(np.min, (self,), {"axis": axis, "keepdims": keepdims})

    def cumsum(self, axis: int | None = None) -> Tensor:
        """``np.cumsum``."""
        return one(np.cumsum, (self,), {"axis": axis})

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.all``."""
        return one(np.all, (self,), {"axis": axis, "keepdims": keepdims})

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """``np.any``."""
        return one(np.any, (self,), {"axis": axis, "keepdims": keepdims})

    def argmax(self, axis: int | None = None) -> Tensor:
        """``np.argmax``."""
        return one(np.argmax, (self,), {"axis": axis})

    def argmin(self, axis: int | None = None) -> Tensor:
        """``np.argmin``."""
        return one(np.argmin, (self,), {"axis": axis})

    def argsort(self, axis: int | None = -1) -> Tensor:
        """``np.argsort``."""
        return one(np.argsort, (self,), {"axis": axis})

    def clip(self, a_min: Any = None, a_max: Any = None) -> Tensor:
        """``np.clip``."""
        return one(np.clip, (self, a_min, a_max))

    def round(self, decimals: int = 0) -> Tensor:
        """``np.round``."""
        return one(np.round, (self, decimals))

    def dot(self, other: Any) -> Tensor:
        """``np.dot``."""
        return one(np.dot, (self, other))

    def reshape(self, *shape: Any) -> Tensor:
        """``np.reshape``; the shape as one tuple or as several arguments."""
        return one(np.reshape, (self, shape[0] if len(shape) == 1 else shape))

    def ravel(self) -> Tensor:
        """``np.ravel``."""
        return one(np.ravel, (self,))

    flatten = ravel

    def transpose(self, *axes: Any) -> Tensor:
        """``np.transpose``; the axes as one tuple or as several arguments."""
        order: Sequence[int] | None = None if not axes else axes[0] if len(axes) == 1 else axes
        return one(np.transpose, (self, order))

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """``np.swapaxes``."""
        return one(np.swapaxes, (self, axis1, axis2))

    def squeeze(self, axis: Axis = None) -> Tensor:
        """``np.squeeze``."""
        return one(np.squeeze, (self, axis))

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """``np.repeat``."""
        return one(np.repeat, (self, repeats, axis))

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        """``np.take``."""
        return one(np.take, (self, indices, axis))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """``np.diagonal``."""
        return one(np.diagonal, (self, offset, axis1, axis2))

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """``np.trace``."""
        return one(np.trace, (self, offset, axis1, axis2))


def apply(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Call a NumPy function on Tensors and record it: what every operator, method and protocol above comes down to."""
    composite = COMPOSITES.get(function)
    if composite is not None:
        bound = composite.bind(args, kwargs)
        try:
            return composite.definition(**bound)
        except (TypeError, ValueError, IndexError) as reason:
            raise reason if isinstance(reason, NumpymlError) else _refusal(function, args, kwargs) or reason from None
    row = TABLE.get(function)
    if row is None:
        raise DerivativeError(
            f"{title_of(function)} has no derivative in numpyml; use the functions that have one "
            "(numpyml.autograd.derivatives), or call it on t.data where no gradient is needed"
        )
    bound = row.bind(args, kwargs)
    numbers = bound if isinstance(function, np.ufunc) else row.partials  # the arguments that are values, not options
    scalar = _scalar_type([bound[name] for name in numbers if name in bound])
    raw = {name: _arrays(value, scalar if name in numbers else None) for name, value in bound.items()}
    plain = [raw.get(name, value) for name, value in zip(row.positional, args, strict=False)]
    y = function(*plain, *raw.get(row.starred, ()), **{name: raw.get(name, value) for name, value in kwargs.items()})
    several = isinstance(y, (list, tuple))
    results = [Tensor(z) if isinstance(z, (np.ndarray, np.generic)) else z for z in (y if several else [y])]
    if tape.is_recording() and row.partials and all(isinstance(z, Tensor) and z.dtype.kind == "f" for z in results):
        places, inputs = _tracked(row, bound)
        if inputs:
            operands = list(dict.fromkeys(operand for operand, _ in places))
            shapes = {operand: _shapes(raw[operand], operand in row.sequences) for operand in operands}
            node = Node(row, (row.keep(raw, y, operands), places, shapes), inputs, [z.data for z in results], several)
            for index, z in enumerate(results):
                z.node, z.index = node, index
    return (tuple(results) if isinstance(y, tuple) else results) if several else results[0]


def _refusal(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Exception | None:
    """NumPy's own reason to refuse a call, told of the function that was called and not of what it is written in."""
    try:
        function(*map(_arrays, args), **{name: _arrays(value) for name, value in kwargs.items()})
    except (TypeError, ValueError, IndexError) as reason:
        return reason
    return None


one: Callable[..., Tensor] = apply
"""``apply``, where the function returns a single array."""


def _arrays(value: Any, scalar: Callable[[Any], Any] | None = None) -> Any:
    """The value with the array in place of every Tensor in it, and a number that is no array as ``scalar``."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, (list, tuple)):
        items = [_arrays(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, slice):
        return slice(*map(_arrays, (value.start, value.stop, value.step)))
    return scalar(value) if scalar is not None and (type(value) is int or isinstance(value, FLOATS)) else value


def _scalar_type(values: Iterable[Any]) -> Callable[[Any], Any] | None:
    """What a number becomes beside these: NumPy 1 lets Python's widen a scalar array, NumPy 2 its own any array."""
    kinds = [x.dtype for x in values if isinstance(x, (Tensor, np.ndarray))]
    return np.result_type(*kinds).type if kinds and all(kind.kind == "f" for kind in kinds) else None


def _tracked(row: Row, bound: Mapping[str, Any]) -> tuple[list[tuple[str, int | None]], list[Tensor]]:
    """Where the tensors that need a gradient stand among the operands, and those tensors."""
    places: list[tuple[str, int | None]] = []
    inputs: list[Tensor] = []
    for name, value in bound.items():
        several = isinstance(value, (list, tuple))
        for position, x in enumerate(value if several else [value]):
            if isinstance(x, Tensor) and (x.requires_grad or x.node is not None):
                if name not in row.partials:
                    raise DerivativeError(
                        f"{row.title} has no derivative with respect to {name}; pass {name}.data there"
                    )
                if several != (name in row.sequences):
                    remedy = "np.stack them into one" if several else "pass a list of Tensors, such as list(t)"
                    raise DerivativeError(
                        f"{row.title} got for {name} a {type(value).__name__} it cannot differentiate; {remedy}"
                    )
                places.append((name, position if several else None))
                inputs.append(x)
    return places, inputs


def _shapes(value: Any, several: bool) -> Any:
    """Shape of an operand; of each array, where it is a sequence of them."""
    return [np.shape(x) for x in value] if several else np.shape(value)
