"""Module: what a layer, a loss or a model is. Its parameters and buffers, its state dict, its modes, its repr."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DTypeError, StateError, kind_of
from numpyml.names import ExplainsKeywords
from numpyml.nn import drivers
from numpyml.nn.parameter import Buffer, Parameter, StateTensor
from numpyml.nn.representation import constructor_call, is_default, short
from numpyml.options import array_or_none, flag
from numpyml.typing import Array

__all__ = ["Module", "as_floats"]

M = TypeVar("M", bound="Module")
S = TypeVar("S", bound=StateTensor)
T = TypeVar("T")


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` did not load."""

    missing_keys: list[str]
    """Entries of the model that the state dict lacks."""
    unexpected_keys: list[str]
    """Entries of the state dict that the model lacks."""


def _defines_nothing(self: Module, *inputs: Any) -> Any:
    raise NotImplementedError(
        f"{type(self).__name__} defines neither forward nor both compute and pullback; define forward on Tensors"
    )


class Module(ExplainsKeywords):
    """A layer, a loss or a model.

    There are two ways to write one.

    *A layer* defines a pair of pure array functions: ``compute(*inputs) -> (output, context)`` and
    ``pullback(context, gy[, needs_input_grad]) -> gradient of each input``. ``context`` is all that is kept between the
    two. ``pullback`` adds to the gradients of the parameters; ``needs_input_grad``, one bool per input, lets it skip a
    gradient that nobody reads.

    *A model* defines ``forward`` alone, in ordinary NumPy on Tensors, with any Python control flow.

    Either way both drivers are there: ``m(tensor)`` records, ``m.forward(array)`` and ``m.backward(gradient)`` are
    explicit. Arrays in, arrays out; Tensors in, Tensors out; the same numbers. Inputs and outputs may be tuples, lists
    and dicts of arrays, as in ``y, (h, c) = m(x, (h0, c0))``; ``needs_input_grad`` and all gradients are nested in the
    same way.

    Parameters, buffers and submodules are the attributes of these classes; ``super().__init__()`` is not needed.
    """

    training: bool = True
    forward: Callable[..., Any] = drivers.forward
    """Run the module: Tensors in, Tensors out and recorded; arrays in, arrays out, and ``backward`` may follow."""

    backward = drivers.backward

    as_input: Callable[[Any], Any] = staticmethod(np.asarray)
    """How a layer converts an argument that is neither an array nor a Tensor, nor holds one."""

    _record: drivers.Record | None = None

    def __init__(self) -> None:
        """Nothing: a subclass need not call it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        program = cls.__dict__.get("forward")
        if program is not None:
            drivers.install_program(cls, program)
        pullback = cls.__dict__.get("pullback")
        if pullback is not None and "needs_input_grad" not in inspect.signature(pullback).parameters:

            def ignoring_needs(self: Any, context: Any, gy: Any, needs_input_grad: Any = None) -> Any:
                return pullback(self, context, gy)

            cls.pullback = ignoring_needs

    compute: Callable[..., tuple[Any, Any]] = _defines_nothing
    """Arrays in; the output, and what the pullback needs of this call, out."""

    pullback: Callable[..., Any] = _defines_nothing
    """(context, output gradient, needs_input_grad) -> gradient of each input; adds to the parameters' gradients."""

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    # Its parts

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, by attribute name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under the empty name) and every module inside, each once, in definition order."""
        return _once(_walk(self, prefix))

    def modules(self) -> Iterator[Module]:
        """As :meth:`named_modules`, without the names."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter inside, each once under the first of its names, in PyTorch's order."""
        return _once(_entries(self, prefix, Parameter))

    def parameters(self) -> list[Array]:
        """The arrays of all parameters. They are never rebound: an optimizer may hold on to them."""
        return [parameter.data for _, parameter in self.named_parameters()]

    def gradients(self) -> list[Array]:
        """The gradients, in the order of :meth:`parameters`; zeros before the first backward. Never rebound."""
        return [parameter.grad for _, parameter in self.named_parameters()]

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """Every buffer inside, each once under the first of its names, in PyTorch's order."""
        return _once(_entries(self, prefix, Buffer))

    def buffers(self) -> list[Array]:
        """The arrays of all buffers. They are never rebound."""
        return [buffer.data for _, buffer in self.named_buffers()]

    def holds_trainable(self) -> bool:
        """Whether any parameter inside requires a gradient."""
        return any(
            isinstance(value, Parameter) and value.requires_grad
            for _, module in _walk(self, "")
            for value in vars(module).values()
        )

    # Modes, gradients and state

    def train(self: M, mode: bool = True) -> M:
        """Switch this module and all inside to training (or evaluation); returns the module."""
        flag(self, "mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch to evaluation: Dropout is off. Gradients can still be computed."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Fill every gradient with zeros."""
        for _, parameter in self.named_parameters():
            parameter.zero_grad()

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze (True) every parameter; returns the module.

        A frozen parameter costs no gradient, and optimizers leave it as it is.
        """
        for _, parameter in self.named_parameters():
            parameter.requires_grad = requires_grad
        return self

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter and buffer under PyTorch's key, a shared one under each of its names."""
        return {name: entry.data.copy() for name, entry in _entries(self, "", Parameter, Buffer)}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike], strict: bool = True) -> IncompatibleKeys:
        """Write the values of a state dict, ours or PyTorch's, into the parameters and buffers.

        Args:
            state_dict: arrays by name.
            strict: whether every entry must be there, and no other. False loads those that both have.

        Returns: the names that are missing and those that are unexpected, as in PyTorch.

        Raises:
            StateError: listing every missing, unexpected, misshapen or non-numeric entry, and entries of one shared
                array that disagree. Nothing is written then.
        """
        flag(self, "strict", strict)
        if not isinstance(state_dict, Mapping):
            raise DTypeError(
                f"load_state_dict expected a dict of arrays, got {kind_of(state_dict)}; pass a module's state_dict()",
                self,
            )
        own = dict(_entries(self, "", Parameter, Buffer))
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = [f"{name} is missing" for name in missing] if strict else []
        problems += [f"{name} is not in this model" for name in unexpected] if strict else []
        values: dict[int, tuple[str, StateTensor, Array]] = {}
        for name, entry in own.items():
            if name not in state_dict:
                continue
            array = array_or_none(state_dict[name])
            if array is None or array.shape != entry.shape or array.dtype.kind not in "biuf":
                got = state_dict[name] if array is None else array
                problems.append(f"{name} should have shape {entry.shape}, got {kind_of(got)}")
                continue
            first = values.setdefault(id(entry), (name, entry, array))
            if not np.array_equal(first[2], array, equal_nan=True):
                kind = type(entry).__name__.lower()
                problems.append(f"{name} differs from {first[0]}, though the model shares one {kind} between them")
        if problems:
            raise StateError(
                "load_state_dict expected the entries of this model: " + "; ".join(problems) + ". Nothing was loaded; "
                "pass the state_dict() of such a model",
                self,
            )
        for _, entry, array in values.values():
            entry.data[...] = array
        return IncompatibleKeys(missing, unexpected)

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call a function with every module inside, children first, and with this one; returns the module."""
        for child in dict(self.named_children()).values():
            child.apply(function)
        function(self)
        return self

    def summary(self, *inputs: Any) -> str:
        """A table of the layers: output shape, parameters, and the memory each keeps for the backward.

        Args:
            inputs: example arrays to run through the model, or shapes (tuples) to make such arrays of.
        """
        from numpyml.nn.summary import summary  # not needed to train

        return summary(self, *inputs)

    # Representation, attributes and pickling

    def argument(self, name: str) -> Any:
        """The constructor argument of this name: the attribute, or for ``bias=True`` whether the parameter is there."""
        value = getattr(self, name)
        default = inspect.signature(type(self)).parameters[name].default
        return value is not None if isinstance(default, bool) and not isinstance(value, bool) else value

    def __repr__(self) -> str:
        arguments = self._arguments()
        if arguments is None:  # what is inside is shown instead
            arguments = [f"{name}={module!r}" for name, module in self.named_children()]
        return constructor_call(f"{type(self).__name__}(", arguments)

    def __str__(self) -> str:
        """As ``repr``, with the modules inside, so that ``print(model)`` shows them."""
        arguments = self._arguments()
        if type(self).__repr__ is not Module.__repr__ or arguments is None:
            return repr(self)
        children = [f"{name}={module}" for name, module in self.named_children()]
        return constructor_call(f"{type(self).__name__}(", arguments + children)

    def _arguments(self) -> list[str] | None:
        """The constructor's arguments, but for defaults; None where it does not keep them as attributes."""
        arguments = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            method = name not in vars(self) and callable(getattr(type(self), name, None))
            starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if starred or method or not hasattr(self, name):
                return None
            value = self.argument(name)
            if parameter.default is parameter.empty:
                arguments.append(repr(value))
            elif not is_default(value, parameter.default):
                arguments.append(f"{name}={short(value)}")
        return arguments

    def __setattr__(self, name: str, value: Any) -> None:
        current = vars(self).get(name)
        if isinstance(current, StateTensor) and not (value is None or isinstance(value, StateTensor)):
            kind = "Parameter" if isinstance(current, Parameter) else "Buffer"
            raise DTypeError(
                f"expected a {kind} or None in place of the {kind.lower()} {name}, got {kind_of(value)}; "
                f"write its values with {name}.data = ...",
                self,
            )
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_record"}


def _walk(module: Module, prefix: str, above: tuple[Module, ...] = ()) -> Iterator[tuple[str, Module]]:
    """The module and all inside, depth first, a shared one under each of its names; a way back up is not taken."""
    yield prefix, module
    above = (*above, module)
    for name, child in module.named_children():
        if not any(child is other for other in above):
            yield from _walk(child, f"{prefix}.{name}" if prefix else name, above)


def _entries(module: Module, prefix: str, *kinds: type[S]) -> Iterator[tuple[str, S]]:
    """The entries of these kinds, under each of their names: module by module, as in PyTorch's state dict."""
    for path, inner in _walk(module, prefix):
        for kind in kinds:
            for name, value in vars(inner).items():
                if isinstance(value, kind):
                    yield (f"{path}.{name}" if path else name), value


def _once(entries: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Each entry under the first of its names."""
    seen: set[int] = set()
    for name, entry in entries:
        if id(entry) not in seen:
            seen.add(id(entry))
            yield name, entry


def as_optional(x: Any) -> Any:
    """``as_input`` of layers with optional inputs: None and flags unchanged, anything else as an array."""
    return x if x is None or isinstance(x, (bool, np.bool_)) else np.asarray(x)


def as_floats(x: Array, dtype: np.dtype[Any] | None, layer: Module, name: str = "") -> Array:
    """Features in the parameters' dtype (None: as they are); anything but real floats is an error.

    ``name`` is the input's, where a layer has several.
    """
    own = getattr(x, "dtype", None)  # None has none, which an optional input may be
    if own is dtype and own is not None:
        return x
    if own is None or own.kind != "f":
        remedy = "pass an array" if own is None else f"convert them: x.astype(np.{dtype or np.dtype(np.float32)!s})"
        features = f"features as {name}" if name else "features"
        raise DTypeError(f"expected floating {features}, got {kind_of(x)}; {remedy}", layer)
    return x if dtype is None or x.dtype == dtype else x.astype(dtype)
