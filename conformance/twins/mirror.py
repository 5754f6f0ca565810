"""NumPy's functions on PyTorch's tensors, for the twin of a user's own class.

A function runs the PyTorch code of its contract row. Where the row's arguments differ from NumPy's, :data:`CALLS`
converts them. Names and defaults of NumPy's parameters come from the table of derivatives.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from conformance import contracts
from conformance.errors import Misuse
from conformance.frameworks import pytorch
from numpyml import Tensor
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.methods import NO_OPTIONS
from numpyml.autograd.table import Row, argument_names, title_of
from numpyml.errors import DerivativeError
from numpyml.nn import Buffer, Parameter
from numpyml.typing import Array


class Mirror(Tensor):
    """A Tensor that holds a PyTorch tensor; operators, methods and NumPy functions are computed by PyTorch."""

    __slots__ = ("torch",)

    def __init__(self, value: Any) -> None:
        self.torch = value
        self.node, self.index = None, 0

    @staticmethod
    def _apply(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] = NO_OPTIONS) -> Any:
        return carry_out(function, args, kwargs)

    @property
    def _data(self) -> Array:  # type: ignore[override]  # a slot of Tensor; PyTorch owns the numbers here
        values: Array = self.torch.detach().numpy()
        return values

    @property
    def requires_grad(self) -> bool:
        return bool(self.torch.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.torch.requires_grad_(value)

    # Any because of MirrorParameter: the gradient of a Parameter is never None, and can be written.
    grad: Any = property(lambda self: None if self.torch.grad is None else self.torch.grad.numpy())

    def detach(self) -> Mirror:
        return Mirror(self.torch.detach())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.torch,)


class MirrorParameter(Mirror, Parameter):
    """A Parameter that holds a PyTorch parameter."""

    __slots__ = ()


class MirrorBuffer(Mirror, Buffer):
    """A Buffer that holds a PyTorch buffer, which is written in place."""

    __slots__ = ()


def carry_out(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The result of a NumPy function, computed by PyTorch, or by NumPy if the result has no gradient.

    Raises: Misuse if the function has no contract row.
    """
    refuse_outsiders(args, kwargs)
    row = COMPOSITES.get(function) or TABLE.get(function)
    if not any(x.dtype.kind == "f" for x in _mirrors(args, kwargs)) or (
        function in TABLE and not TABLE[function].partials
    ):
        return mirrored(function(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()}))
    if row is None or function not in _rows():
        raise Misuse(
            f"{title_of(function)} has no contract row, so it is not known what PyTorch writes for it; add one to "
            "conformance/contracts/functions/, or hand over the PyTorch model as twin="
        )
    if function in CALLS:
        return CALLS[function](**_arguments(row, args, kwargs, argument_names(CALLS[function])))
    if isinstance(function, np.ufunc):
        return write(function, [*_arguments(row, args, kwargs, row.positional).values()])
    operand = row.positional[0]
    options = argument_names(_rows()[function].torch)[2:]  # after the torch module and the operand
    arguments = _arguments(row, args, kwargs, (operand, *options))
    return write(function, [arguments.pop(operand)], **{name: plain(value) for name, value in arguments.items()})


def _arguments(row: Row, args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The arguments with these names, with NumPy's defaults; any other argument must be at its default."""
    try:
        passed = row.bind(args, kwargs)
    except DerivativeError as error:
        raise Misuse(str(error)) from None
    for name in passed.keys() - set(names):
        value, default = plain(passed[name]), row.defaults.get(name)
        if value is not None and value is not default and value != default:
            raise Misuse(f"{row.title}({name}=...) is not covered by its contract row; leave it out")
    values = {**row.defaults, **passed}
    return {name: values[name] for name in names if name in values}


def write(function: Any, operands: Sequence[Any], **options: Any) -> Any:
    """The PyTorch code of the function's row, on operands in the dtype of NumPy's result."""
    import torch

    values = [plain(x) if isinstance(x, (Tensor, np.ndarray, int, float)) else np.asarray(x) for x in operands]
    kind = torch_dtype(np.result_type(*values))
    tensors = [
        x.torch.to(kind) if isinstance(x, Mirror) else pytorch.tensor(np.asarray(value)).to(kind)
        for x, value in zip(operands, values, strict=True)
    ]
    return mirrored(_rows()[function].torch(torch, *tensors, **options))


@cache
def _rows() -> dict[Any, Any]:
    return {row.function: row for row in contracts.function_rows()}


def torch_dtype(dtype: Any) -> Any:
    """The PyTorch dtype of a NumPy dtype."""
    import torch

    return torch.from_numpy(np.empty(0, dtype)).dtype


def mirrored(value: Any) -> Any:
    """The value, its arrays and PyTorch tensors replaced by Mirrors."""
    import torch

    if isinstance(value, torch.Tensor):
        return Mirror(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return Mirror(torch.from_numpy(np.array(value)))
    if type(value) in (list, tuple):
        return type(value)(map(mirrored, value))
    return value


def plain(value: Any) -> Any:
    """The value, its Tensors replaced by arrays and NumPy's integers and booleans by Python's."""
    if isinstance(value, Tensor):
        return value._data
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if isinstance(value, slice):
        return slice(*map(plain, (value.start, value.stop, value.step)))
    return value


def refuse_outsiders(*values: Any) -> None:
    """Raise a Misuse for a Tensor with a gradient that PyTorch cannot compute."""
    for x in _tensors(*values):
        if not isinstance(x, Mirror) and (x.requires_grad or x.node is not None):
            raise Misuse(
                "a module or parameter that is no part of the model, such as a global one, has no twin; "
                "make it an attribute of the model"
            )


def _tensors(*values: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, (list, tuple)):
            tensors += _tensors(*value)
        elif isinstance(value, Mapping):
            tensors += _tensors(*value.values())
    return tensors


def _mirrors(*values: Any) -> list[Mirror]:
    return [x for x in _tensors(*values) if isinstance(x, Mirror)]


# NumPy's arguments, converted to those of the rows


def _clip(a: Any, a_min: Any, a_max: Any, min: Any = None, max: Any = None) -> Any:
    low = min if a_min is None else a_min
    high = max if a_max is None else a_max
    both = [a, -np.inf if low is None else low, np.inf if high is None else high]
    return write(np.clip, both, bounds="low high", spelling="a_min a_max")


def _deviations(function: Any) -> Any:
    """var or std; the row takes either ddof or correction."""

    def call(a: Any, axis: Any, ddof: Any, keepdims: bool, correction: Any = None) -> Any:
        option = {"ddof": ddof} if correction is None else {"correction": correction}
        return write(function, [a], axis=plain(axis), keepdims=keepdims, **option)

    return call


def _reshaped(function: Callable[..., Any]) -> Any:
    """A function that changes only the shape: a reshape to the shape of NumPy's result."""

    def call(a: Any, axis: Any) -> Any:
        return write(np.reshape, [a], shape=function(np.broadcast_to(0, a.shape), axis).shape)

    return call


def _reshape(a: Any, shape: Any = None, newshape: Any = None) -> Any:
    lengths = plain(newshape if shape is None else shape)  # the name depends on the version of NumPy
    return write(np.reshape, [a], shape=(lengths,) if isinstance(lengths, int) else tuple(lengths))


def _pad(array: Any, pad_width: Any, mode: str, constant_values: float = 0) -> Any:
    widths = tuple((int(before), int(after)) for before, after in np.broadcast_to(pad_width, (array.ndim, 2)))
    return write(np.pad, [array], pad_width=widths, mode=mode, constant_values=constant_values)


def _take(a: Any, indices: Any, axis: int | None) -> Any:
    if axis is None:
        return np.ravel(a)[plain(indices)]
    index = (*[slice(None)] * (axis % a.ndim), plain(indices))
    return a[index]


def _each(function: Any) -> Any:
    def call(arys: Any) -> Any:
        results = [write(function, [x]) for x in arys]
        return results[0] if len(results) == 1 else results

    return call


def _joined(function: Any) -> Any:
    return lambda tup: write(function, tuple(tup))


def _two(function: Any) -> Any:
    return lambda a, b: write(function, [a, b])


def _split(function: Any) -> Any:
    def call(ary: Any, indices_or_sections: Any, axis: int) -> Any:
        cuts = plain(indices_or_sections)
        return list(write(function, [ary], cuts=cuts if isinstance(cuts, int) else [int(i) for i in cuts], axis=axis))

    return call


# The parameters of each function are names of NumPy's parameters.
CALLS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.getitem: lambda x, index: write(operator.getitem, [x], index=plain(index)),
    np.ndarray.astype: lambda a, dtype: mirrored(a.torch.to(torch_dtype(dtype))),
    np.copy: lambda a, order, subok: write(np.copy, [a]),
    np.full_like: lambda a, fill_value: write(np.full_like, [a, fill_value], shape=None),
    np.clip: _clip,
    np.var: _deviations(np.var),
    np.std: _deviations(np.std),
    np.where: lambda condition, x, y: write(np.where, [x, y], condition=plain(condition)),
    np.reshape: _reshape,
    **{function: _reshaped(function) for function in (np.squeeze, np.expand_dims)},
    np.transpose: lambda a, axes: write(
        np.transpose, [a], axes=tuple(range(a.ndim))[::-1] if axes is None else tuple(plain(axes))
    ),
    np.tile: lambda A, reps: write(np.tile, [A], reps=tuple(np.atleast_1d(plain(reps)).tolist())),  # noqa: N803
    np.pad: _pad,
    **{function: _each(function) for function in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    np.concatenate: lambda arrays, axis=0: write(np.concatenate, tuple(arrays), axis=axis),
    np.stack: lambda arrays, axis: write(np.stack, tuple(arrays), axis=axis),
    **{function: _joined(function) for function in (np.vstack, np.hstack, np.dstack, np.column_stack)},
    np.append: lambda arr, values, axis: write(np.append, [arr, values], axis=axis),
    **{function: _split(function) for function in (np.split, np.array_split)},
    np.hsplit: lambda ary, indices_or_sections: np.split(ary, indices_or_sections, min(1, ary.ndim - 1)),
    np.vsplit: lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 0),
    np.dsplit: lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 2),
    np.take: _take,
    np.sort: lambda a, axis, kind, stable=None: write(np.sort, [a], axis=axis),
    **{function: _two(function) for function in (np.dot, np.inner, np.vdot, np.outer)},
    np.tensordot: lambda a, b, axes: write(np.tensordot, [a, b], axes=plain(axes)),
    np.einsum: lambda subscripts, operands, optimize=False: write(
        np.einsum, operands, subscripts=subscripts, optimize=optimize
    ),
}
