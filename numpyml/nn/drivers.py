"""The drivers of a module: explicit on arrays, dynamic on Tensors, and that of models with a ``forward`` of their own.

Each runs the module's pair of array functions, ``compute`` and ``pullback``. Inputs and outputs may be nested: tuples,
lists and dicts of arrays.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpyml import nested
from numpyml.autograd import tape
from numpyml.autograd.tape import Node
from numpyml.autograd.tensor import Tensor
from numpyml.errors import CallOrderError, DTypeError, NumpymlError, ShapeError, kind_of
from numpyml.nested import LEAF
from numpyml.options import array_or_none
from numpyml.typing import Array

Record = tuple[
    Sequence[tuple[tuple[int, ...], np.dtype[Any]]],  # shape and dtype of every leaf of the outputs
    Any,  # the structure of the outputs
    Sequence[tuple[Any, Any]],  # shape and dtype of every leaf of the inputs, None for what is no array
    Any,  # the structure of the inputs; None where no input is a container
    Any,  # the context
]
"""What the explicit driver keeps of a forward for the backward that follows. A named tuple would cost a call."""


class _Programs(threading.local):
    """The models whose own ``forward`` this thread is running, the innermost last."""

    running: tuple[Any, ...] = ()


_programs = _Programs()
_signature = functools.lru_cache(maxsize=256)(inspect.signature)

# The explicit driver


def forward(self: Any, *inputs: Any, **options: Any) -> Any:
    """Run the module: Tensors in, Tensors out and recorded; arrays in, arrays out, and ``backward`` may follow."""
    if options:  # by keyword: compute takes them by position
        bound = _signature(type(self).compute).bind(self, *inputs, **options)
        bound.apply_defaults()
        inputs = bound.args[1:]
    leaves: Sequence[Any] = inputs
    nesting = None
    for x in inputs:
        if type(x) is not np.ndarray:
            if nested.holds(inputs, Tensor):
                return _dynamic(self, inputs)
            inputs = tuple([_argument(self, x) for x in inputs])
            leaves, nesting = _flat(inputs)
            break
    if _programs.running:  # a constant in a model's forward: the parameters are recorded all the same
        return _dynamic(self, inputs)
    try:
        y, context = output_and_context(self, self.compute(*inputs))
    except NumpymlError as error:
        raise error.located(self) from error.__cause__
    _keep(self, leaves, nesting, y, context)
    return y


def backward(self: Any, *gradients: Any, input_gradient: bool = True) -> Any:
    """Pull gradients back through the last ``forward`` on arrays.

    Args:
        gradients: of the final scalar with respect to the output, in its shape; one for each of several outputs, nested
            as the output is.
        input_gradient: False skips the gradient of the input where nobody reads it, as in the first layer.

    Returns:
        The gradient with respect to the input, in its dtype (a tuple, where there are several inputs; nested as the
        input is; None, where it was skipped or the input has no derivative). The parameters' gradients are added to.

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
    outputs, structure, inputs, nesting, context = self._record
    leaves = gradients if structure is LEAF and len(gradients) == 1 else _leaves(self, structure, gradients)
    gys = [as_gradient(gy, shape, dtype, self) for gy, (shape, dtype) in zip(leaves, outputs, strict=True)]
    vars(self)["_record"] = None
    needs_input_grad = [input_gradient and dtype is not None and dtype.kind == "f" for _, dtype in inputs]
    once = {"retain_graph": False} if hasattr(type(self).pullback, "program") else {}
    if structure is LEAF and nesting is None:
        gxs = self.pullback(context, gys[0], needs_input_grad, **once)
    else:
        gxs = _pull(self, context, gys, needs_input_grad, nesting, structure, **once)
    if not input_gradient:
        return None
    single = nesting is None and not isinstance(gxs, tuple)
    if single:
        gxs = (gxs,) if inputs else ()
    if len(gxs) != len(inputs):
        raise tape.wrong_count(self, len(inputs), len(gxs))
    cast = [_gradient_of(self, gx, *spec) for gx, spec in zip(gxs, inputs, strict=True)]
    if single:
        return cast[0] if cast else None
    if nesting is None:
        return tuple(cast)
    nested_gradients = nested.unflatten(nesting, cast)
    return nested_gradients if len(nesting) > 1 else nested_gradients[0]


def _gradient_of(self: Any, gx: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """The gradient of an input, as the pullback returned it, in the input's dtype."""
    if gx is None or (gx.shape == shape and gx.dtype == dtype):
        return gx
    if gx.shape != shape:
        raise tape.wrong_shape(self, gx, shape)
    return gx.astype(dtype)


def _keep(self: Any, leaves: Sequence[Any], nesting: Any, y: Any, context: Any) -> None:
    """Keep what a backward needs; nothing, where calls are not recorded."""
    record: Record | None = None
    if tape.is_recording():
        specs = [(x.shape, x.dtype) if type(x) is np.ndarray else (None, None) for x in leaves]
        ys, structure = ((y,), LEAF) if isinstance(y, (np.ndarray, np.generic)) else nested.flatten(y)
        record = [(z.shape, z.dtype) for z in ys], structure, specs, nesting, context
    vars(self)["_record"] = record


def _leaves(self: Any, structure: Any, gradients: tuple[Any, ...]) -> Sequence[Any]:
    """The gradients that ``backward`` was given, one for each leaf of the output."""
    parts = [part for part in structure if part is not None] if isinstance(structure, tuple) else [structure]
    if len(gradients) != len(parts):
        raise ShapeError(
            f"backward expected {len(parts)} gradients, one per output, got {len(gradients)}; {_REMEDY}", self
        )
    try:
        return nested.flatten_as(parts, gradients)
    except ValueError:
        raise ShapeError(
            f"backward expected gradients nested as the output, {', '.join(map(_shown, parts))}, got "
            f"{', '.join(map(kind_of, gradients))}; {_REMEDY}",
            self,
        ) from None


def _shown(structure: Any) -> str:
    """A structure as an error message shows it: ``(array, [array, array])``."""
    return repr(structure).replace("Ellipsis", "array")


def as_gradient(gy: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], layer: object) -> Array:
    """An incoming gradient, checked against the output's shape and in its dtype."""
    array = gy if isinstance(gy, np.ndarray) else array_or_none(gy)
    if array is None or array.shape != shape or array.dtype.kind not in "biuf":
        raise ShapeError(
            f"backward expected a real gradient of shape {shape}, the output's, got {kind_of(gy)}; {_REMEDY}",
            layer,
        )
    return array if array.dtype == dtype else array.astype(dtype)


_REMEDY = "pass the gradient of the loss with respect to each output, such as loss.backward()"

# What both drivers do


def output_and_context(self: Any, result: Any) -> tuple[Any, Any]:
    """The pair that compute returns, checked: an array of two rows unpacks just as well."""
    if isinstance(result, tuple) and len(result) == 2:
        return result
    raise DTypeError(
        f"expected compute to return a pair (output, context), got {kind_of(result)}; return y, None where pullback "
        "needs nothing of the call",
        self,
    )


def _argument(self: Any, x: Any) -> Any:
    """An argument as compute takes it: arrays and Tensors as they are, alone or in a container; else ``as_input``."""
    if type(x) is np.ndarray or isinstance(x, Tensor):
        return x
    if isinstance(x, (tuple, list, dict)) and nested.holds(x, (np.ndarray, Tensor)):
        return nested.map_leaves(functools.partial(_argument, self), x)
    try:
        return self.as_input(x)
    except ValueError:
        raise ShapeError(f"expected an array, got {kind_of(x)}; pass rows of one length", self) from None


def _flat(inputs: Sequence[Any]) -> tuple[Sequence[Any], Any]:
    """The leaves of the inputs, and their structure; the inputs and None where none is a container."""
    for x in inputs:
        if isinstance(x, (tuple, list, dict)):
            return nested.flatten(tuple(inputs))
    return inputs, None


def _pull(
    operation: Any,
    context: Any,
    gys: list[Any],
    needs_input_grad: list[bool],
    nesting: Any,
    structure: Any,
    **once: Any,
) -> Any:
    """The pullback of a call: its gradients nested as the outputs, what it returns flattened again.

    Of a tuple of outputs it takes a list of gradients, in which an output that is None has none.
    """
    gy: Any = gys
    if structure is LEAF:
        gy = gys[0]
    elif not isinstance(structure, tuple):
        gy = nested.unflatten(structure, gys)
    elif not all(part is LEAF or part is None for part in structure):
        gy = list(nested.unflatten(tuple(part for part in structure if part is not None), gys))
    if nesting is None:
        return operation.pullback(context, gy, needs_input_grad, **once)
    gxs = operation.pullback(context, gy, nested.unflatten(nesting, needs_input_grad), **once)
    try:
        return nested.flatten_as(nesting, gxs if len(nesting) > 1 else (gxs,))
    except ValueError:
        raise ShapeError(
            f"expected pullback to return gradients nested as the inputs, {_shown(nesting)}, got "
            f"{_shown(nested.flatten(gxs)[1])}; return None for an input that has none",
            operation,
        ) from None


# The dynamic driver


class _Nested:
    """The operation of a node whose module has nested inputs or outputs: tensors and gradients of a node are flat."""

    def __init__(self, operation: Any, nesting: Any, structure: Any) -> None:
        self.operation, self.nesting, self.structure = operation, nesting, structure
        self.holds_trainable = operation.holds_trainable

    def pullback(self, context: Any, gys: list[Any], needs_input_grad: list[bool]) -> Any:
        return _pull(self.operation, context, gys, needs_input_grad, self.nesting, self.structure)

    def __repr__(self) -> str:
        return repr(self.operation)


def _dynamic(self: Any, inputs: Sequence[Any]) -> Any:
    """Run on Tensors: the module becomes one node of the tape."""
    operation = _as_parent(self) if any(self is model for model in _programs.running) else self
    leaves, nesting = _flat([_argument(self, x) for x in inputs])
    arrays = [x.data if isinstance(x, Tensor) else x for x in leaves]
    running, _programs.running = _programs.running, ()  # compute works on arrays
    try:
        result = operation.compute(*(arrays if nesting is None else nested.unflatten(nesting, arrays)))
        y, context = output_and_context(self, result)
    except NumpymlError as error:
        raise error.located(self) from error.__cause__
    finally:
        _programs.running = running
    ys, structure = ([y], LEAF) if type(y) is np.ndarray else nested.flatten(y)
    outputs = [Tensor(z) for z in ys]
    if tape.is_recording():
        tracked = [x if isinstance(x, Tensor) and (x.requires_grad or x.node) else _UNTRACKED for x in leaves]
        if any(x is not _UNTRACKED for x in tracked) or self.holds_trainable():
            several = structure is not LEAF or nesting is not None
            if several:
                operation = _Nested(operation, nesting, structure)
            node = Node(operation, context, tracked, [z.data for z in outputs], several)
            for index, z in enumerate(outputs):
                z.node, z.index = node, index
    return outputs[0] if structure is LEAF else nested.unflatten(structure, outputs)


_UNTRACKED = Tensor(0.0)  # stands for an input that needs no gradient


def _as_parent(self: Any) -> Any:
    """The module as the layer its class was derived from: what ``super().forward`` means in a model's forward."""
    own: Any = next(
        cls for cls in type(self).__mro__ if "compute" in vars(cls) and not hasattr(vars(cls)["compute"], "program")
    )
    return SimpleNamespace(
        compute=functools.partial(own.compute, self),
        pullback=functools.partial(own.pullback, self),
        holds_trainable=self.holds_trainable,
    )


# The driver of models with a forward of their own


def is_program(kind: type) -> bool:
    """Whether the modules of a class run a ``forward`` of their own, recorded call by call."""
    return hasattr(getattr(kind, "compute", None), "program")


def install_program(cls: Any, program: Callable[..., Any]) -> None:
    """Give a class that defines ``forward`` on Tensors its compute and pullback, so that both drivers fit it."""

    def run(self: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        dtype = next((parameter.dtype for _, parameter in self.named_parameters()), None)
        running, _programs.running = _programs.running, (*_programs.running, self)
        try:
            y = program(self, *(_at_boundary(x, dtype) for x in inputs), **options)
        finally:
            _programs.running = running
        ys = nested.leaves(y)
        if not ys or not all(isinstance(z, Tensor) for z in ys):
            raise DTypeError(
                f"expected forward to return a Tensor, or Tensors in tuples, lists or dicts, got {kind_of(y)}; "
                "compute it from the inputs with layers and NumPy functions, and return it",
                self,
            )
        return y

    def compute(self: Any, *inputs: Any, **options: Any) -> tuple[Any, Any]:
        leaves, nesting = _flat(inputs)
        tensors = [Tensor(x, requires_grad=x.dtype.kind == "f") if type(x) is np.ndarray else x for x in leaves]
        y = run(self, tensors if nesting is None else nested.unflatten(nesting, tensors), options)
        return nested.map_leaves(lambda z: z.data, y), (tensors, nesting, y)

    def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Any, retain_graph: bool = True) -> Any:
        tensors, nesting, y = context
        flags = needs_input_grad if nesting is None else nested.flatten_as(nesting, needs_input_grad)
        pairs = list(zip(tensors, flags, strict=True))
        for x, needed in pairs:
            if needed:
                x.zero_grad()
        # Of the arguments by position; those by name have no gradient.
        excluded = [x for x, needed in pairs if not needed and isinstance(x, Tensor)]
        tape.backward(nested.leaves(y), nested.leaves(gy), retain_graph=retain_graph, excluded=excluded)
        gxs = [(np.zeros(x.shape, x.dtype) if x.grad is None else x.grad) if needed else None for x, needed in pairs]
        all_gradients = tuple(gxs) if nesting is None else nested.unflatten(nesting, gxs)
        return all_gradients[0] if len(all_gradients) == 1 else all_gradients

    @functools.wraps(program)
    def forward(self: Any, *inputs: Any, **options: Any) -> Any:
        explicit = not _programs.running and not nested.holds((inputs, options), Tensor)
        try:
            if not explicit:
                return run(self, inputs, options)
            arrays = [_argument(self, x) for x in inputs]
            y, context = self.compute(*arrays, **options)
        except NumpymlError as error:
            raise error.located(self) from error.__cause__
        _keep(self, *_flat(arrays), y, context)
        return y

    compute.program = pullback.program = program  # type: ignore[attr-defined]  # tells them from a layer's own
    cls.forward, cls.compute, cls.pullback = forward, compute, pullback
    cls.as_input = staticmethod(_model_input)


def _model_input(x: Any) -> Any:
    """An argument of a model's forward that holds no array: lists of numbers are arrays, anything else is unchanged."""
    if isinstance(x, (list, tuple)):
        try:
            array = np.asarray(x)
        except ValueError:  # ragged
            return x
        return array if array.dtype.kind in "biuf" else x
    return x


def _at_boundary(x: Any, dtype: np.dtype[Any] | None) -> Any:
    """Data as a model's forward gets it: arrays as Tensors, floats in the parameters' dtype."""
    if isinstance(x, (tuple, list, dict)):
        return nested.map_leaves(lambda leaf: _at_boundary(leaf, dtype), x)
    if type(x) is np.ndarray:
        x = Tensor(x)
    if isinstance(x, Tensor) and dtype is not None and x.dtype.kind == "f" and x.dtype != dtype:
        return x.astype(dtype)
    return x
