"""Parameter and Module: the contract that every layer, loss and model keeps, and the two drivers of it."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from numpyml.autograd import tape
from numpyml.autograd.tape import Node
from numpyml.autograd.tensor import Tensor
from numpyml.errors import CallOrderError, DTypeError, NumpymlError, ShapeError, StateError, kind_of
from numpyml.names import explain_keywords
from numpyml.nn.parameter import Parameter
from numpyml.nn.representation import constructor_call, is_default, short
from numpyml.options import flag
from numpyml.typing import Array

__all__ = ["Module", "Parameter", "as_floats"]

M = TypeVar("M", bound="Module")


def _defines_nothing(self: Module, *inputs: Any) -> Any:
    raise NotImplementedError(f"{type(self).__name__} defines neither forward nor both compute and pullback")


class Module:
    """A layer, a loss or a model.

    There are two ways to write one.

    *A layer* defines a pair of pure array functions: ``compute(*inputs) -> (output, context)`` and
    ``pullback(context, gy[, wanted]) -> gradient of each input``. ``context`` is all that is kept between the two.
    ``pullback`` adds to the gradients of the parameters; ``wanted``, one bool per input, lets it skip what nobody
    reads.

    *A model* defines ``forward`` alone, in ordinary NumPy on Tensors, with any Python control flow.

    Either way both drivers are there: ``m(tensor)`` records, ``m.forward(array)`` and ``m.backward(gradient)`` are
    explicit. Arrays in, arrays out; Tensors in, Tensors out; the same numbers. Parameters and submodules are found on
    the instance's attributes; ``super().__init__()`` is not needed.
    """

    training: bool = True
    forward: Callable[..., Any]
    """Run the module: Tensors in, Tensors out and recorded; arrays in, arrays out, and ``backward`` may follow."""

    as_input: Callable[[Any], Any] = staticmethod(np.asarray)
    """What a layer makes of an argument that is neither an array nor a Tensor."""

    _record: tuple[Any, Any, Any, Any] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        explain_keywords(cls)
        program = cls.__dict__.get("forward")
        if program is not None:
            _install_program(cls, program)
        pullback = cls.__dict__.get("pullback")
        if pullback is not None and "wanted" not in inspect.signature(pullback).parameters:

            def ignoring_wanted(self: Any, context: Any, gy: Any, wanted: Any = None) -> Any:
                return pullback(self, context, gy)

            cls.pullback = ignoring_wanted

    compute: Callable[..., tuple[Any, Any]] = _defines_nothing
    """Arrays in; the output, and what the pullback needs of this call, out."""

    pullback: Callable[..., Any] = _defines_nothing
    """(context, gradient of the output, wanted) -> gradient of each input; the parameters' gradients are added to."""

    # The two drivers

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def backward(self, *gradients: ArrayLike, input_gradient: bool = True) -> Any:
        """Pull gradients back through the last ``forward`` on arrays.

        Args:
            gradients: of the final scalar with respect to the output, in its shape; one for each output.
            input_gradient: False skips the gradient of the input where nobody reads it, as in the first layer.

        Returns:
            The gradient with respect to the input, in its dtype (a tuple, where there are several inputs; None, where
            it was skipped or the input has no derivative). The parameters' gradients are added to.

        Raises:
            CallOrderError: before a ``forward`` on arrays, after one inside ``no_grad()``, or twice after one.
            ShapeError: when a gradient has not the shape of the output; nothing is changed then.
        """
        if self._record is None:
            raise CallOrderError(
                "backward expected a forward on arrays before it, outside no_grad(), and only one backward for each; "
                "call forward first (on Tensors: backward of the loss)",
                self,
            )
        context, dtypes, outputs, several = self._record
        if len(gradients) != len(outputs):
            raise ShapeError(f"backward expected {len(outputs)} gradients, one per output, got {len(gradients)}", self)
        gys = [as_gradient(gy, shape, dtype, self) for gy, (shape, dtype) in zip(gradients, outputs, strict=True)]
        self._record = None
        wanted = [input_gradient and dtype is not None and dtype.kind == "f" for dtype in dtypes]
        once = {"retain_graph": False} if hasattr(type(self).pullback, "program") else {}
        gxs = self.pullback(context, gys if several else gys[0], wanted, **once)
        if not input_gradient:
            return None
        if isinstance(gxs, tuple):
            return tuple(gx if gx is None else gx.astype(d, copy=False) for gx, d in zip(gxs, dtypes, strict=True))
        return gxs if gxs is None else gxs.astype(dtypes[0], copy=False)

    # What it is made of

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, by attribute name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under the empty name) and every module inside, each once, in definition order."""
        seen: set[int] = set()
        for name, module in _walk(self, prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """As :meth:`named_modules`, without the names."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter inside, each once under the first of its names, in PyTorch's order."""
        seen: set[int] = set()
        for name, parameter in _entries(self, prefix):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Array]:
        """The arrays of all parameters. They are never rebound: an optimizer may hold on to them."""
        return [parameter.data for _, parameter in self.named_parameters()]

    def gradients(self) -> list[Array]:
        """The gradients, in the order of :meth:`parameters`; zeros where no backward came by. Never rebound."""
        return [parameter.grad for _, parameter in self.named_parameters()]

    def holds_trainable(self) -> bool:
        """Whether any parameter inside requires a gradient."""
        return any(parameter.requires_grad for _, parameter in _entries(self, ""))

    # What can be done to all of it

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
        """A copy of every parameter under PyTorch's key, in PyTorch's shape; a shared one under each of its names."""
        return {name: parameter.data.copy() for name, parameter in _entries(self, "")}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Write the values of a state dict, ours or PyTorch's, into the parameters.

        Raises:
            StateError: listing every missing, unexpected, misshapen or non-numeric entry, and entries of one shared
                parameter that disagree. Nothing is written then.
        """
        if not isinstance(state_dict, Mapping):
            raise DTypeError(f"load_state_dict expected a dict of arrays, got {kind_of(state_dict)}", self)
        own = dict(_entries(self, ""))
        problems = [f"{name} is missing" for name in own if name not in state_dict]
        problems += [f"{name} is not in this model" for name in state_dict if name not in own]
        values: dict[int, tuple[str, Parameter, Array]] = {}
        for name, parameter in own.items():
            if name not in state_dict:
                continue
            array = np.asarray(state_dict[name])
            first = values.setdefault(id(parameter), (name, parameter, array))
            if array.shape != parameter.shape or array.dtype.kind not in "biuf":
                problems.append(f"{name} should have shape {parameter.shape}, got {kind_of(array)}")
            elif not np.array_equal(first[2], array, equal_nan=True):
                problems.append(f"{name} differs from {first[0]}, though the model shares one parameter between them")
        if problems:
            raise StateError(
                "load_state_dict expected the entries of this model: " + "; ".join(problems) + ". Nothing was loaded",
                self,
            )
        for _, parameter, array in values.values():
            parameter.data[...] = array

    def summary(self, *inputs: Any) -> str:
        """A table of the layers: output shape, parameters, and the memory each keeps for the backward.

        Args:
            inputs: example arrays to run through the model, or shapes (tuples) to make such arrays of.
        """
        from numpyml.nn.summary import summary  # not needed to train

        return summary(self, *inputs)

    # How it reads, copies and pickles

    def argument(self, name: str) -> Any:
        """The constructor argument of this name: the attribute, or for ``bias=True`` whether the parameter is there."""
        value = getattr(self, name)
        default = inspect.signature(type(self)).parameters[name].default
        return value is not None if isinstance(default, bool) and not isinstance(value, bool) else value

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(self, name):
                # Not a constructor that keeps its arguments: show what is inside instead.
                inside = (f"{child}={module!r}" for child, module in self.named_children())
                return constructor_call(f"{type(self).__name__}(", inside)
            value = self.argument(name)
            if parameter.default is parameter.empty:
                shown.append(repr(value))
            elif not is_default(value, parameter.default):
                shown.append(f"{name}={short(value)}")
        return constructor_call(f"{type(self).__name__}(", shown)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not (value is None or isinstance(value, Parameter)):
            raise DTypeError(
                f"expected a Parameter or None in place of the parameter {name}, got {kind_of(value)}; "
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


def _entries(module: Module, prefix: str) -> Iterator[tuple[str, Parameter]]:
    """Every parameter under each of its names: the keys of PyTorch's state dict, in its order."""
    for place, inner in _walk(module, prefix):
        for name, value in vars(inner).items():
            if isinstance(value, Parameter):
                yield (f"{place}.{name}" if place else name), value


def as_gradient(gy: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], layer: Module) -> Array:
    """An incoming gradient, checked against the output's shape and in its dtype."""
    array = np.asarray(gy)
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise ShapeError(f"backward expected a real gradient of shape {shape}, the output's, got {kind_of(gy)}", layer)
    return array if array.dtype == dtype else array.astype(dtype)


def as_given(x: Any) -> Any:
    """None and flags as they are, anything else as an array: ``as_input`` of layers with optional inputs."""
    return x if x is None or isinstance(x, (bool, np.bool_)) else np.asarray(x)


def as_floats(x: Array, dtype: np.dtype[Any] | None, layer: Module, name: str = "") -> Array:
    """Features in the parameters' dtype (None: as they are); anything but real floats is an error.

    ``name`` is the input's, where a layer has several.
    """
    given = getattr(x, "dtype", None)  # a layer of several inputs may be given None
    if given is dtype and given is not None:
        return x
    if given is None or given.kind != "f":
        remedy = "pass an array" if given is None else f"convert them: x.astype({dtype or np.dtype(np.float32)!s})"
        features = f"features as {name}" if name else "features"
        raise DTypeError(f"expected floating {features}, got {kind_of(x)}; {remedy}", layer)
    return x if dtype is None or x.dtype == dtype else x.astype(dtype)


# The drivers of the two kinds of module


class _Inside(threading.local):
    """The models whose own ``forward`` this thread is in, the innermost last."""

    models: tuple[Module, ...] = ()


_inside = _Inside()


_signature = functools.lru_cache(maxsize=256)(inspect.signature)


def _explicit(self: Module, *inputs: Any, **options: Any) -> Any:
    """``forward`` of every module: arrays are computed on here, Tensors go to the tape."""
    if options:  # where they stand in compute
        bound = _signature(type(self).compute).bind(self, *inputs, **options)
        bound.apply_defaults()
        inputs = bound.args[1:]
    for x in inputs:
        if type(x) is not np.ndarray:
            if any(_holds_tensor(x) for x in inputs):
                return _dynamic(self, inputs)
            if not _inside.models:
                inputs = tuple(map(self.as_input, inputs))
            break
    if _inside.models:  # on a constant, in a model's forward: the parameters are recorded all the same
        return _dynamic(self, inputs)
    return _compute_on_arrays(self, inputs, {})


def output_and_context(self: Module, found: Any) -> tuple[Any, Any]:
    """What compute gave: an array with two rows would come apart just as well."""
    if isinstance(found, tuple) and len(found) == 2:
        return found
    raise DTypeError(f"expected compute to return a pair (output, context), got {kind_of(found)}", self)


def _compute_on_arrays(self: Module, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    try:
        y, context = output_and_context(self, self.compute(*inputs, **options))
    except NumpymlError as error:
        raise error.located(self) from error.__cause__
    record = None
    if tape.is_recording():
        several = isinstance(y, tuple)
        outputs = [(z.shape, z.dtype) for z in (y if several else (y,)) if z is not None]
        record = (context, [x.dtype if type(x) is np.ndarray else None for x in inputs], outputs, several)
    vars(self)["_record"] = record
    return y


def _dynamic(self: Module, inputs: Sequence[Any]) -> Any:
    """Run on Tensors: the module becomes one node of the tape."""
    operation = _as_parent(self) if any(self is model for model in _inside.models) else self
    models, _inside.models = _inside.models, ()  # compute works on arrays
    try:
        found = operation.compute(*(x.data if isinstance(x, Tensor) else self.as_input(x) for x in inputs))
        y, context = output_and_context(self, found)
    except NumpymlError as error:
        raise error.located(self) from error.__cause__
    finally:
        _inside.models = models
    several = isinstance(y, tuple)
    ys = [None if z is None else Tensor(z) for z in (y if several else (y,))]
    outputs = [z for z in ys if z is not None]
    if tape.is_recording():
        tracked = [x if isinstance(x, Tensor) and (x.requires_grad or x.node) else _UNTRACKED for x in inputs]
        if any(x is not _UNTRACKED for x in tracked) or self.holds_trainable():
            node = Node(operation, context, tracked, [z.data for z in outputs], several)
            for index, z in enumerate(outputs):
                z.node, z.index = node, index
    return tuple(ys) if several else outputs[0]


_UNTRACKED = Tensor(0.0)


def _holds_tensor(x: Any) -> bool:
    return isinstance(x, Tensor) or (isinstance(x, (list, tuple)) and any(map(_holds_tensor, x)))


def _as_parent(self: Module) -> Any:
    """The module as the layer its class was derived from: what ``super().forward`` means in a model's forward."""
    own: Any = next(
        cls for cls in type(self).__mro__ if "compute" in vars(cls) and not hasattr(vars(cls)["compute"], "program")
    )
    return SimpleNamespace(
        compute=functools.partial(own.compute, self),
        pullback=functools.partial(own.pullback, self),
        holds_trainable=self.holds_trainable,
    )


def _install_program(cls: type[Module], program: Callable[..., Any]) -> None:
    """Give a class that defines ``forward`` on Tensors its compute and pullback, so that both drivers fit it."""

    def run(self: Module, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        dtype = next((parameter.dtype for _, parameter in _entries(self, "")), None)
        models, _inside.models = _inside.models, (*_inside.models, self)
        try:
            y = program(self, *(_at_boundary(x, dtype) for x in inputs), **options)
        finally:
            _inside.models = models
        several = isinstance(y, tuple)
        if not all(isinstance(z, Tensor) or (several and z is None) for z in (y if several else (y,))):
            raise DTypeError(f"expected forward to return a Tensor or a tuple of Tensors, got {kind_of(y)}", self)
        return y

    def compute(self: Module, *inputs: Any, **options: Any) -> tuple[Any, Any]:
        tensors = [Tensor(x, requires_grad=x.dtype.kind == "f") if type(x) is np.ndarray else x for x in inputs]
        y = run(self, tensors, options)
        data = tuple(None if z is None else z.data for z in y) if isinstance(y, tuple) else y.data
        return data, (tensors, y)

    def pullback(self: Module, context: Any, gy: Any, wanted: Sequence[bool], retain_graph: bool = True) -> Any:
        tensors, y = context
        pairs = list(zip(tensors, wanted, strict=True))
        for x, is_wanted in pairs:
            if is_wanted:
                x.zero_grad()
        outputs, gys = ([z for z in y if z is not None], gy) if isinstance(y, tuple) else ((y,), (gy,))
        # Of the program's own arguments; what stands among the options has no gradient.
        unwanted = [x for x, is_wanted in pairs if not is_wanted and isinstance(x, Tensor)]
        tape.backward(outputs, gys, retain_graph=retain_graph, unwanted=unwanted)
        gxs = tuple(
            (np.zeros(x.shape, x.dtype) if x.grad is None else x.grad) if is_wanted else None for x, is_wanted in pairs
        )
        return gxs[0] if len(gxs) == 1 else gxs

    @functools.wraps(program)
    def forward(self: Module, *inputs: Any, **options: Any) -> Any:
        if not _inside.models and not any(map(_holds_tensor, (*inputs, *options.values()))):
            return _compute_on_arrays(self, tuple(map(self.as_input, inputs)), options)
        try:
            return run(self, inputs, options)
        except NumpymlError as error:
            raise error.located(self) from error.__cause__

    compute.program = pullback.program = program  # type: ignore[attr-defined]  # tells them from a layer's own
    cls.forward, cls.compute, cls.pullback = forward, compute, pullback
    cls.as_input = staticmethod(_argument)


def _argument(x: Any) -> Any:
    """What a model is given where no Tensor is: lists of numbers are arrays, anything else stays what it is."""
    if isinstance(x, (list, tuple)):
        try:
            array = np.asarray(x)
        except ValueError:  # ragged
            return x
        return array if array.dtype.kind in "biuf" else x
    return x


def _at_boundary(x: Any, dtype: np.dtype[Any] | None) -> Any:
    """Data as a model's forward gets it: an array as a Tensor, floats in the parameters' dtype."""
    if type(x) is np.ndarray:
        x = Tensor(x)
    if isinstance(x, Tensor) and dtype is not None and x.dtype.kind == "f" and x.dtype != dtype:
        return x.astype(dtype)
    return x


Module.forward = _explicit
