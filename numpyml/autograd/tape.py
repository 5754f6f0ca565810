"""The tape: the recorded calls, and backpropagation through them.

A :class:`Node` stands for one recorded call. It holds the three things that its derivative needs and nothing else:
the operation (whose ``pullback`` turns the gradient of the output into gradients of the inputs), the context of the
forward call, and the input tensors. Tensors refer to the node that computed them, nodes to their input tensors. That
is the whole graph; it is freed when no tensor refers to it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import numpy as np

from numpyml.errors import CallOrderError, DTypeError, ShapeError, kind_of
from numpyml.typing import Array

if TYPE_CHECKING:
    from numpyml.autograd.tensor import Tensor


class Operation(Protocol):
    """What a node records: a module, or a row of the table of derivatives."""

    def pullback(self, context: Any, gy: Any, needs_input_grad: Sequence[bool], /) -> Any:
        """Gradient of the output -> one gradient per input (None where ``needs_input_grad`` is False)."""


class Node:
    """One recorded call."""

    __slots__ = ("context", "inputs", "operation", "outputs", "serial", "several")
    _serials = count()

    def __init__(
        self,
        operation: Operation,
        context: Any,
        inputs: Sequence[Tensor],
        outputs: Sequence[Array],
        several: bool = False,
    ) -> None:
        self.operation: Operation | None = operation
        self.context = context
        self.inputs = inputs
        self.outputs = [(y.shape, y.dtype) for y in outputs]
        self.several = several  # the pullback takes a list of gradients, of one even where there is one output
        self.serial = next(self._serials)  # a node's inputs are older than it: creation order is a topological order

    def pull(self, gys: list[Array | None], needs_input_grad: Sequence[bool]) -> Sequence[Array | None]:
        """One gradient per input, from one per output; an output that nobody used contributes zeros."""
        assert self.operation is not None
        filled = [np.zeros(*spec) if g is None else g for g, spec in zip(gys, self.outputs, strict=True)]
        gxs = self.operation.pullback(self.context, filled if self.several else filled[0], needs_input_grad)
        if not isinstance(gxs, (tuple, list)):
            gxs = (gxs,) if self.inputs else ()
        if len(gxs) != len(self.inputs):
            raise wrong_count(self.operation, len(self.inputs), len(gxs))
        return gxs

    def free(self) -> None:
        """Drop the operation, the context and the inputs."""
        self.operation = self.context = None
        self.inputs = ()


class _Mode(threading.local):
    def __init__(self) -> None:
        self.recording = True
        self.blocks: list[AbstractContextManager[None]] = []  # of no_grad, that have not ended


_mode = _Mode()


def is_recording() -> bool:
    """True unless the calling thread is inside :func:`no_grad`."""
    return _mode.recording


@contextmanager
def recording(on: bool = True) -> Iterator[None]:
    """Inside this block calls are recorded, or not, in this thread, whatever the surrounding block does."""
    before, _mode.recording = _mode.recording, on
    try:
        yield
    finally:
        _mode.recording = before


T = TypeVar("T", bound=Callable[..., Any])


class NoGrad:
    """What :func:`numpyml.no_grad` returns: a block, which may be entered again, and a decorator."""

    def __enter__(self) -> None:
        block = recording(False)
        block.__enter__()
        _mode.blocks.append(block)

    def __exit__(self, *_: object) -> None:
        _mode.blocks.pop().__exit__(None, None, None)

    def __call__(self, function: T) -> T:
        asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if not callable(function) or isinstance(function, type) or asynchronous:
            raise DTypeError(
                f"no_grad expected a function to decorate, got {kind_of(function)}; "
                "decorate the methods of a class, and in a coroutine use a block, `with no_grad():`, without await"
            )

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        @wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Any:
            return _in_block(self, function(*args, **kwargs))

        return generate if inspect.isgeneratorfunction(function) else call  # type: ignore[return-value]


def _in_block(block: NoGrad, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The generator, each of whose steps runs inside the block; what its caller does between them does not."""
    resume: Callable[[Any], Any] = generator.send
    value: Any = None
    try:
        while True:
            with block:
                item = resume(value)
            try:
                resume, value = generator.send, (yield item)
            except Exception as error:  # noqa: BLE001  # thrown into the generator
                resume, value = generator.throw, error
    except StopIteration as end:
        return end.value
    finally:
        with block:
            generator.close()


@overload
def no_grad() -> NoGrad: ...
@overload
def no_grad(function: T) -> T: ...
def no_grad(function: Any = None) -> Any:
    """Inside this block, or the function that it decorates, nothing is recorded and no context is kept, in this thread.

        with no_grad(): ...         @no_grad() or @no_grad, before a function or a generator function

    Raises: DTypeError when it decorates anything else.
    PyTorch: torch.no_grad.
    """
    return NoGrad() if function is None else NoGrad()(function)


def _reachable(nodes: Iterable[Node]) -> list[Node]:
    """Every node that these were computed from, oldest first."""
    seen: dict[int, Node] = {}
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node.serial not in seen:
            seen[node.serial] = node
            stack.extend(x.node for x in node.inputs if x.node is not None)
    return [seen[serial] for serial in sorted(seen)]


def wrong_shape(operation: object, gx: Array, shape: tuple[int, ...]) -> ShapeError:
    """The error of a gradient that has not the shape of its input."""
    return ShapeError(
        f"pulled back a gradient of shape {gx.shape} to an input of shape {shape}; "
        "expected the input's shape: fix the pullback",
        operation,
    )


def wrong_count(operation: Any, expected: int, got: int) -> ShapeError:
    """The error of a pullback that does not return one gradient for each input."""
    return ShapeError(
        f"expected pullback to return one gradient for each of {expected} inputs, got {got}; "
        "return None for an input that has none",
        operation,
    )


class _Pending:
    """The gradients accumulated so far, of every output of every node that was not visited yet."""

    def __init__(self) -> None:
        self.gradients: dict[int, list[Array | None]] = {}
        self.summed: set[tuple[int, int]] = set()  # the outputs whose gradient is an array allocated here

    def add(self, node: Node, index: int, gx: Array) -> None:
        """Another part of the gradient of one output."""
        slots = self.gradients.setdefault(node.serial, [None] * len(node.outputs))
        before, key = slots[index], (node.serial, index)
        if before is None:
            slots[index] = gx
        elif key in self.summed:
            before += gx
            slots[index] = before
        else:
            slots[index] = before + gx  # a new array: either may be shared with another input
            self.summed.add(key)


def backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[Array],
    *,
    retain_graph: bool = False,
    excluded: Sequence[Tensor] = (),
) -> None:
    """Backpropagate from ``outputs`` and accumulate into the ``grad`` of every leaf that requires one.

    ``gradients`` are those of the final scalar with respect to each output. Leaves in ``excluded`` get nothing, and
    what would have been computed for them alone is skipped.
    """
    nodes = _reachable(y.node for y in outputs if y.node is not None)
    if any(node.operation is None for node in nodes):
        raise CallOrderError(
            "backward went through this graph, or a part of it, before, and it was freed; "
            "expected one backward per forward: run the forward again, or pass retain_graph=True the first time"
        )
    skipped = {id(x) for x in excluded}
    live: set[int] = set()  # serials of the nodes that lead to a leaf whose gradient is read

    def needs_gradient(x: Tensor) -> bool:
        return x.node.serial in live if x.node is not None else x.requires_grad and id(x) not in skipped

    for node in nodes:
        # Only a module holds parameters; bool() is False.
        if any(map(needs_gradient, node.inputs)) or getattr(node.operation, "holds_trainable", bool)():
            live.add(node.serial)

    pending = _Pending()

    def deliver(x: Tensor, gx: Array) -> None:
        if x.node is None:
            x.accumulate(gx)
        else:
            pending.add(x.node, x.index, gx)

    for y, gy in zip(outputs, gradients, strict=True):
        if needs_gradient(y):
            deliver(y, gy)
    for node in reversed(nodes):
        if node.serial in pending.gradients:
            inputs = node.inputs
            needs_input_grad = [needs_gradient(x) for x in inputs]
            with np.errstate(all="ignore"):  # the forward call has already warned
                gxs = node.pull(pending.gradients.pop(node.serial), needs_input_grad)
            for x, gx, needed in zip(inputs, gxs, needs_input_grad, strict=True):
                if needed and gx is not None:
                    if gx.shape != x.shape:
                        raise wrong_shape(node.operation, gx, x.shape)
                    deliver(x, gx if gx.dtype == x.dtype else gx.astype(x.dtype))
        if not retain_graph:
            node.free()
