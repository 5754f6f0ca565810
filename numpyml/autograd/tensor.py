"""Tensor: an array with automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpyml.autograd import tape
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.methods import NO_OPTIONS, ArrayMethods
from numpyml.autograd.table import Row, title_of
from numpyml.autograd.tape import Node
from numpyml.errors import CallOrderError, DerivativeError, DTypeError, NumpymlError, ShapeError, kind_of
from numpyml.typing import Array

FLOATS = (float, np.floating)
REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
}
"""The function that ``ufunc.reduce`` is an instance of; its axis is 0 by default."""


class Tensor(ArrayMethods):
    """An array that NumPy's functions accept and record, so that their results can be differentiated.

    Args:
        data: anything ``np.asarray`` takes; bool, integer or real floating. An array is not copied.
        requires_grad: whether :meth:`backward` leaves a gradient in ``grad``. Needs a floating dtype.
        dtype: of the data; by default as it comes.

    NumPy is the operation library: ``np.tanh(t)``, ``t @ u``, ``np.einsum("ij,jk", t, u)``, ``t[1:, mask]`` all give
    Tensors. A function without a derivative raises a DerivativeError that names it. The array itself is ``t.data``.
    ``t += u`` makes a new Tensor: nothing recorded is ever written to.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_requires_grad", "index", "node")

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
            raise DTypeError(f"requires_grad expected True or False, got {kind_of(value)}; pass one of the two")
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
        """Drop the gradient accumulated so far."""
        self._grad = None

    def backward(self, gradient: ArrayLike | None = None, *, retain_graph: bool = False) -> None:
        """Accumulate into every leaf the gradient of this tensor, weighted by ``gradient`` (1 for a scalar).

        Args:
            gradient: of the final scalar with respect to this tensor; its shape is this tensor's.
            retain_graph: keep the graph, so that another backward can follow.

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
                    "reduce it to a scalar first, or pass gradient= of that shape"
                )
            gy = np.ones(self.shape, self.dtype)
        else:
            gy = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient)
            if gy.shape != self.shape or gy.dtype.kind not in "biuf":
                raise ShapeError(
                    f"Tensor.backward expected a real gradient of shape {self.shape}, the tensor's own, "
                    f"got {kind_of(gy)}; pass one value for each element"
                )
            gy = gy.astype(self.dtype, copy=False)
        tape.backward([self], [gy], retain_graph=retain_graph)

    def detach(self) -> Tensor:
        """A Tensor that shares the data and is not part of the graph."""
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
            return self._apply(REDUCTIONS[ufunc], inputs, {"axis": 0, **options})
        if method != "__call__":
            raise DerivativeError(f"numpy.{ufunc.__name__}.{method} has no derivative here; use the plain function")
        return self._apply(ufunc, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._apply(function, args, kwargs)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self.requires_grad or self.node is not None:
            raise DerivativeError(
                "this NumPy call would turn a Tensor that requires a gradient into a plain array and lose the "
                "gradient; use a function of numpyml's table of derivatives, or pass t.data"
            )
        return np.array(self._data, dtype=dtype, copy=True) if copy else np.asarray(self._data, dtype=dtype)

    def __repr__(self) -> str:
        note = ", requires_grad=True" if self.requires_grad or self.node is not None else ""
        return f"Tensor({np.array2string(self._data, separator=', ', prefix='Tensor(')}, dtype={self.dtype}{note})"

    # Applying a function

    @staticmethod
    def _apply(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] = NO_OPTIONS) -> Any:
        """Call a NumPy function on Tensors and record it: what every operator, method and protocol comes down to."""
        composite = COMPOSITES.get(function)
        if composite is not None:
            bound = composite.bind(args, kwargs)
            try:
                return composite.definition(**bound)
            except (TypeError, ValueError, IndexError) as error:
                raise (
                    error if isinstance(error, NumpymlError) else _own_error(function, args, kwargs) or error
                ) from None
        row = TABLE.get(function)
        if row is None:
            raise DerivativeError(
                f"{title_of(function)} has no derivative in numpyml; use the functions that have one "
                "(numpyml.autograd.derivatives), or call it on t.data where no gradient is needed"
            )
        bound = row.bind(args, kwargs)
        numeric = bound if isinstance(function, np.ufunc) else row.partials  # names of values, not of options
        scalar = _scalar_type([bound[name] for name in numeric if name in bound])
        raw = {name: _arrays(value, scalar if name in numeric else None) for name, value in bound.items()}
        for name in row.arrays:  # a partial is asked for arrays
            if type(raw.get(name)) in (list, tuple):
                raw[name] = np.asarray(raw[name])
        plain = [raw.get(name, value) for name, value in zip(row.positional, args, strict=False)]
        options = {name: raw.get(name, value) for name, value in kwargs.items()}
        y = function(*plain, *raw.get(row.starred, ()), **options)
        several = isinstance(y, (list, tuple))
        results = [Tensor(z) if isinstance(z, (np.ndarray, np.generic)) else z for z in (y if several else [y])]
        if tape.is_recording() and row.partials and all(isinstance(z, Tensor) and z.dtype.kind == "f" for z in results):
            positions, inputs = _tracked(row, bound)
            if inputs:
                operands = list(dict.fromkeys(operand for operand, _ in positions))
                shapes = {operand: _shapes(raw[operand], operand in row.sequences) for operand in operands}
                context = row.keep(raw, y, operands), positions, shapes
                node = Node(row, context, inputs, [z.data for z in results], several)
                for index, z in enumerate(results):
                    z.node, z.index = node, index
        return (tuple(results) if isinstance(y, tuple) else results) if several else results[0]


def _own_error(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Exception | None:
    """NumPy's own error for a call: it names the function that was called, not those that it is written in."""
    try:
        function(*map(_arrays, args), **{name: _arrays(value) for name, value in kwargs.items()})
    except (TypeError, ValueError, IndexError) as error:
        return error
    return None


def _arrays(value: Any, scalar: Callable[[Any], Any] | None = None) -> Any:
    """The value with the array in place of every Tensor in it, and a Python or NumPy scalar as ``scalar``."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, (list, tuple)):
        items = [_arrays(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, slice):
        return slice(*map(_arrays, (value.start, value.stop, value.step)))
    return scalar(value) if scalar is not None and (type(value) is int or isinstance(value, FLOATS)) else value


def _scalar_type(values: Iterable[Any]) -> Callable[[Any], Any] | None:
    """The type of a scalar combined with these arrays: NumPy 1 lets Python's widen 0-d ones, NumPy 2 its own any."""
    kinds = [x.dtype for x in values if isinstance(x, (Tensor, np.ndarray))]
    return np.result_type(*kinds).type if kinds and all(kind.kind == "f" for kind in kinds) else None


def _tracked(row: Row, bound: Mapping[str, Any]) -> tuple[list[tuple[str, int | None]], list[Tensor]]:
    """The tensors that need a gradient: the operand and the position in it of each, and the tensors themselves."""
    positions: list[tuple[str, int | None]] = []
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
                    expected = "one Tensor" if several else "a list of Tensors"
                    remedy = "np.stack them" if several else "pass list(t)"
                    raise DerivativeError(
                        f"{row.title} expected {name} to be {expected}, got a {type(value).__name__}; {remedy}"
                    )
                positions.append((name, position if several else None))
                inputs.append(x)
    return positions, inputs


def _shapes(value: Any, several: bool) -> Any:
    """Shape of an operand; of each array, where it is a sequence of them."""
    return [np.shape(x) for x in value] if several else np.shape(value)
