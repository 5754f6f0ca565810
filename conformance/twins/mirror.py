"""NumPy's functions on PyTorch's tensors: what the twin of a user's own class computes with.

A function is carried out as its contract row says PyTorch writes it. The rows take their arguments in one way each;
:data:`CALLS` has NumPy's signature where that is another, and says the rest in terms of the rows.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import FunctionType, MappingProxyType
from typing import Any

import numpy as np

from conformance import contracts
from conformance.errors import Misuse
from conformance.frameworks import pytorch
from conformance.rows import NO_VALUE
from numpyml import Tensor
from numpyml.autograd.derivatives import TABLE
from numpyml.autograd.table import title_of
from numpyml.nn import Parameter
from numpyml.typing import Array


class Mirror(Tensor):
    """A PyTorch tensor in the place of a Tensor: the same operators, methods and protocols, PyTorch's numbers."""

    __slots__ = ("torch",)

    def __init__(self, value: Any) -> None:
        self.torch = value
        self.node, self.index = None, 0

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

    # Any, for MirrorParameter's sake: a Parameter's is never None, and can be written.
    grad: Any = property(lambda self: None if self.torch.grad is None else self.torch.grad.numpy())

    def detach(self) -> Mirror:
        return Mirror(self.torch.detach())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.torch,)


class MirrorParameter(Mirror, Parameter):
    """PyTorch's parameter in the place of ours."""

    __slots__ = ()


def carried(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """A NumPy function, carried out by PyTorch; by NumPy where the answer has no gradient anyway.

    Raises: Misuse where it is not known what PyTorch writes for it.
    """
    known(args, kwargs)
    if not any(x.dtype.kind == "f" for x in _mirrors(args, kwargs)) or (
        function in TABLE and not TABLE[function].partials
    ):
        return mirrored(function(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()}))
    if function in CALLS:
        try:
            bound = inspect.signature(CALLS[function]).bind(*args, **kwargs)
        except TypeError as error:
            raise Misuse(f"{title_of(function)} in a way that its contract row does not cover: {error}") from None
        return CALLS[function](*bound.args, **bound.kwargs)
    if function not in _rows():
        raise Misuse(
            f"{title_of(function)} has no contract row, so it is not known what PyTorch writes for it; add one to "
            "conformance/contracts/functions.py, or hand over the PyTorch model as twin="
        )
    if isinstance(function, np.ufunc):
        if kwargs:
            raise Misuse(f"{title_of(function)}({next(iter(kwargs))}=...) has no twin; leave it out")
        return write(function, args)
    operand, options = _bound(function, args, kwargs)
    return write(function, [operand], **options)


def _bound(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The operand, and the row's options under their names, NumPy's defaults where none are given."""
    signature = inspect.signature(function)
    (_, operand), *rest = signature.bind(*args, **kwargs).arguments.items()
    names = list(inspect.signature(_rows()[function].torch).parameters)[2:]  # after the torch module and the operand
    given = {name: plain(value) for name, value in rest}
    for name, value in given.items():
        default = signature.parameters[name].default
        if name not in names and value is not None and value is not default and value != default:
            raise Misuse(f"{title_of(function)}({name}=...) is not covered by its contract row; leave it out")
    defaults = {name: NO_VALUE.get(name, signature.parameters[name].default) for name in names}
    return operand, {name: given.get(name, defaults[name]) for name in names}


def write(function: Any, operands: Sequence[Any], **options: Any) -> Any:
    """What the function's row says, on operands in the dtype that NumPy gives the result."""
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
    """PyTorch's name for a NumPy dtype."""
    import torch

    return torch.from_numpy(np.empty(0, dtype)).dtype


def mirrored(value: Any) -> Any:
    """The value with a Mirror in place of every array and PyTorch tensor in it."""
    import torch

    if isinstance(value, torch.Tensor):
        return Mirror(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return Mirror(torch.from_numpy(np.array(value)))
    if type(value) in (list, tuple):
        return type(value)(map(mirrored, value))
    return value


def plain(value: Any) -> Any:
    """The value with NumPy's arrays and Python's numbers in place of Tensors and NumPy's numbers."""
    if isinstance(value, Tensor):
        return value._data
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if isinstance(value, slice):
        return slice(*map(plain, (value.start, value.stop, value.step)))
    return value


def known(*values: Any) -> None:
    """Raise a Misuse where numpyml has recorded a gradient that PyTorch will not know of."""
    for x in _tensors(*values):
        if not isinstance(x, Mirror) and (x.requires_grad or x.node is not None):
            raise Misuse(
                "a module or parameter that is no part of the model, such as a global one, has no place in the twin; "
                "make it an attribute of the model"
            )


def _tensors(*values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(*value)
        elif isinstance(value, Mapping):
            found += _tensors(*value.values())
    return found


def _mirrors(*values: Any) -> list[Mirror]:
    return [x for x in _tensors(*values) if isinstance(x, Mirror)]


def _on_pytorch(method: FunctionType) -> FunctionType:
    """A method of Tensor that comes down to ``apply``, coming down to ``carried``."""
    made = FunctionType(
        method.__code__, {**method.__globals__, "apply": carried, "one": carried}, method.__name__,
        method.__defaults__, method.__closure__,
    )  # fmt: skip
    made.__kwdefaults__, made.__doc__ = method.__kwdefaults__, method.__doc__
    return made


for _name, _method in vars(Tensor).items():
    if isinstance(_method, FunctionType) and {"apply", "one"} & set(_method.__code__.co_names):
        setattr(Mirror, _name, _on_pytorch(_method))


# NumPy's signatures, where a row is called in another way


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low = min if a_min is None else a_min
    high = max if a_max is None else a_max
    both = [a, -np.inf if low is None else low, np.inf if high is None else high]
    return write(np.clip, both, bounds="low high", spelling="a_min a_max")


def _spread(function: Any) -> Any:
    """var and std, of which the row takes ddof or correction, whichever was said."""

    def call(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: bool = False, correction: Any = None) -> Any:
        less = {"ddof": ddof} if correction is None else {"correction": correction}
        return write(function, [a], axis=axis, keepdims=keepdims, **less)

    return call


def _shaped(function: Callable[..., Any]) -> Any:
    """A function that changes the shape alone: the shape that NumPy gives it."""

    def call(a: Any, axis: Any = None) -> Any:
        return write(np.reshape, [a], shape=function(np.broadcast_to(0, a.shape), axis).shape)

    return call


def _reshape(a: Any, shape: Any = None, *, newshape: Any = None) -> Any:
    wanted = plain(newshape if shape is None else shape)
    return write(np.reshape, [a], shape=(wanted,) if isinstance(wanted, int) else tuple(wanted))


def _pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0) -> Any:
    widths = tuple((int(before), int(after)) for before, after in np.broadcast_to(pad_width, (array.ndim, 2)))
    return write(np.pad, [array], pad_width=widths, mode=mode, constant_values=constant_values)


def _astype(a: Any, dtype: Any) -> Any:
    return mirrored(a.torch.to(torch_dtype(dtype)))


def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        return np.ravel(a)[plain(indices)]
    place = (*[slice(None)] * (axis % a.ndim), plain(indices))
    return a[place]


def _einsum(subscripts: str, *operands: Any, optimize: Any = False) -> Any:
    return write(np.einsum, operands, subscripts=subscripts, optimize=optimize)


def _each(function: Any) -> Any:
    def call(*arys: Any) -> Any:
        made = [write(function, [x]) for x in arys]
        return made[0] if len(made) == 1 else made

    return call


def _joined(function: Any) -> Any:
    return lambda tup: write(function, tuple(tup))


def _two(function: Any) -> Any:
    return lambda a, b: write(function, [a, b])


def _cut(function: Any) -> Any:
    def call(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        cuts = plain(indices_or_sections)
        return list(write(function, [ary], cuts=cuts if isinstance(cuts, int) else [int(i) for i in cuts], axis=axis))

    return call


CALLS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.getitem: lambda x, index: write(operator.getitem, [x], index=plain(index)),
    np.ndarray.astype: _astype,
    np.copy: lambda a, order="K", subok=False: write(np.copy, [a]),
    np.full_like: lambda a, fill_value: write(np.full_like, [a, fill_value], shape=None),
    np.clip: _clip,
    np.var: _spread(np.var),
    np.std: _spread(np.std),
    np.where: lambda condition, x, y: write(np.where, [x, y], condition=plain(condition)),
    np.reshape: _reshape,
    np.squeeze: _shaped(np.squeeze),
    np.expand_dims: _shaped(np.expand_dims),
    np.transpose: lambda a, axes=None: write(
        np.transpose, [a], axes=tuple(range(a.ndim))[::-1] if axes is None else tuple(plain(axes))
    ),
    np.tile: lambda A, reps: write(np.tile, [A], reps=tuple(np.atleast_1d(plain(reps)).tolist())),  # noqa: N803
    np.pad: _pad,
    np.atleast_1d: _each(np.atleast_1d),
    np.atleast_2d: _each(np.atleast_2d),
    np.atleast_3d: _each(np.atleast_3d),
    np.concatenate: lambda arrays, axis=0: write(np.concatenate, tuple(arrays), axis=axis),
    np.stack: lambda arrays, axis=0: write(np.stack, tuple(arrays), axis=axis),
    np.vstack: _joined(np.vstack),
    np.hstack: _joined(np.hstack),
    np.dstack: _joined(np.dstack),
    np.column_stack: _joined(np.column_stack),
    np.append: lambda arr, values, axis=None: write(np.append, [arr, values], axis=axis),
    np.split: _cut(np.split),
    np.array_split: _cut(np.array_split),
    np.hsplit: lambda ary, indices_or_sections: np.split(ary, indices_or_sections, min(1, ary.ndim - 1)),
    np.vsplit: lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 0),
    np.dsplit: lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 2),
    np.take: _take,
    np.sort: lambda a, axis=-1, kind=None, *, stable=None: write(np.sort, [a], axis=axis),
    np.dot: _two(np.dot),
    np.inner: _two(np.inner),
    np.vdot: _two(np.vdot),
    np.outer: _two(np.outer),
    np.tensordot: lambda a, b, axes=2: write(np.tensordot, [a, b], axes=plain(axes)),
    np.einsum: _einsum,
}
