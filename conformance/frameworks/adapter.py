"""The interface of an adapter, and helpers to write one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

import numpy as np

from conformance.frameworks import pytorch
from conformance.frameworks.choice import under_test
from conformance.offers import Offer
from conformance.records import Difference
from conformance.rows import Part
from numpyml.typing import Array


class NotOffered(NotImplementedError):
    """The framework has no such component, option or value."""


class Lacking(NotOffered):
    """The adapter does not define a function that an example needs; raised by the harness."""


made: set[str] = set()  # components that the framework under test has made since the runner cleared it
IMPLEMENTATION = ("device", "dtype", "inplace")  # of PyTorch's arguments


class Adapter(Protocol):
    """What an adapter may define. The first five are enough for layers and losses."""

    NAME: str

    # Documented differences from PyTorch, by component: PyTorch's name or that in the table, '' for every one.
    DIFFERENCES: Mapping[str, Sequence[Difference]]

    # Present where a call may leave out options of a component: the values in use are PyTorch's defaults then.
    LEAVES_OUT: bool
    # What is offered of each component, by the same names. A component without an offer is not asked for, unless ''
    # is named: then the adapter refuses by NotOffered what it lacks of the others, as it does without this mapping.
    OFFERS: Mapping[str, Offer]

    # Modules

    def make(self, component: str, options: Mapping[str, Any], dtype: Any) -> Any:
        """The component, such as "nn.Linear", with these options and its parameters in this dtype."""

    def forward(self, module: Any, *inputs: Array, **further: Any) -> Any:
        """The output (a loss: of outputs and targets), or a tuple of several, in which None is none. ``further`` are
        arguments by name that a few components take, such as masks. ``backward`` follows at most once. Inputs and
        outputs are nested as PyTorch's: tuples, lists and dicts of arrays, as the state of a recurrent layer."""

    def backward(self, module: Any, *gys: Array) -> Sequence[Array | None]:
        """The gradient of each input of the last ``forward``, nested as it is, None where there is none, for the
        gradients of the outputs, nested as those; adds to the parameters' gradients."""

    def parameters(self, module: Any) -> dict[str, Array]:
        """The parameters, by PyTorch's names: the arrays themselves, which the harness writes to."""

    def gradients(self, module: Any) -> dict[str, Array]:
        """The accumulated gradient of each parameter, by PyTorch's names."""

    def zero_grad(self, module: Any) -> None:
        """Set the gradients to zero."""

    def freeze(self, module: Any, name: str) -> None:
        """Set this parameter, by PyTorch's name, to require no gradient."""

    def train(self, module: Any, mode: bool) -> None:
        """Training or evaluation."""

    def modes(self, module: Any) -> list[bool]:
        """The mode of every module inside, in PyTorch's order."""

    def dynamic(
        self, module: Any, inputs: Sequence[Array], *gys: Array, **further: Any
    ) -> tuple[Any, Sequence[Array | None]]:
        """Output and input gradients by a second way of running, such as a tape. Without gradients of the outputs,
        which happens inside ``no_grad`` alone, it makes no backward."""

    def used_twice(self, module: Any, inputs: Sequence[Array], *gys: Array, **further: Any) -> Sequence[Array | None]:
        """The input gradients of m(x) + m(x), with the module twice in one graph."""

    def state_dict(self, module: Any) -> dict[str, Array]:
        """What is saved, by PyTorch's keys."""

    def load_state_dict(self, module: Any, state: Mapping[str, Array]) -> None:
        """Load a state dict."""

    def seed(self, seed: int) -> None:
        """Restart the framework's randomness."""

    def inject_masks(self, module: Any, mask: Callable[[int, float, tuple[int, ...], Any], Array]) -> None:
        """Let the index-th module that drops elements take its mask from ``mask(index, p, shape, dtype)``."""

    def masks(self, module: Any, shape: tuple[int, ...], dtype: Any) -> list[tuple[float, Array]]:
        """p and a new mask of this shape, the framework's own, of every module that drops elements: what the elements
        of an input are multiplied by."""

    def recorded_masks(self, module: Any) -> Sequence[list[Array]]:
        """A list for every module that drops elements, to which each mask that it draws from now on is appended: the
        framework's own, in the shape in which it is drawn."""

    def copies(self, module: Any) -> Mapping[str, Any]:
        """Copies of the module by the method of copying: "deepcopy", "pickle"."""

    # Recording

    def no_grad(self) -> AbstractContextManager[Any]:
        """A context manager inside which the calling thread records nothing. ``backward`` after such a ``forward`` is
        refused by one of REJECTIONS, or its gradients are zeros; those of ``differentiate`` are zeros."""

    # Exceptions that the framework raises for invalid calls on purpose.
    REJECTIONS: tuple[type[Exception], ...]

    # Functions

    NAMESPACE: Any  # where NumPy's functions are, by NumPy's names

    def differentiate(
        self, function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Outputs of ``function(*operands)``, which uses NAMESPACE, and the gradient of each operand for these
        gradients of the outputs. Other arguments of the function, plain arrays or numbers, are bound already."""

    # Optimizers

    def optimizer(self, component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
        """An optimizer such as "optim.SGD"; a group holds lists of arrays under ``params`` and ``grads``, and options
        of its own. The arrays are written to and read in place."""

    def step(self, optimizer: Any) -> None:
        """One step with the present gradients."""

    def state(self, optimizer: Any) -> list[dict[str, Array]]:
        """The state arrays of each parameter, by PyTorch's names."""

    def change_option(self, optimizer: Any, group: int, name: str, value: Any) -> None:
        """Set an option of a group, such as ``lr``, between two steps; NotOffered for one that stays as it is."""

    def zero_gradients(self, optimizer: Any) -> None:
        """Set the gradients to zero."""

    def save(self, stepper: Any) -> Any:
        """The state of an optimizer, or of a schedule, for a restart."""

    def restore(self, stepper: Any, saved: Any) -> None:
        """Replace the state by a saved one."""

    def optimizer_state_dict(self, optimizer: Any) -> Mapping[str, Any]:
        """What is saved, by PyTorch's keys: ``state``, a mapping for each parameter by its number, and
        ``param_groups``, for each its options and, under ``params``, the numbers of its parameters."""

    # Schedules

    def scheduler(self, component: str, optimizer: Any, options: Mapping[str, Any]) -> Any:
        """A learning-rate schedule such as "optim.lr_scheduler.StepLR" for this optimizer; the rates of its step 0 are
        set at once. The options of SequentialLR contain schedules of this adapter."""

    def scheduler_step(self, scheduler: Any, metric: float | None = None) -> None:
        """The next step; only ReduceLROnPlateau receives a metric."""

    def rates(self, optimizer: Any) -> Sequence[Mapping[str, Any]]:
        """Of every group, by PyTorch's names, the options that schedules set: ``lr``, and ``momentum`` or ``betas``
        where the optimizer has them."""


def offers(adapter: Any, *names: str) -> bool:
    """Whether the adapter defines all of these."""
    return all(hasattr(adapter, name) for name in names)


@cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def make_from(makers: Mapping[str, Callable[..., Any]], component: str, options: Mapping[str, Any], *first: Any) -> Any:
    """The result of a component's maker, called with ``first`` and the options that its signature has; for
    :meth:`make` and :meth:`optimizer`.

    Raises: NotOffered where there is no maker, or an option that it does not name is not at PyTorch's default.
    """
    if component not in makers:
        raise NotOffered(component)
    named, defaults = _parameters(makers[component]), _parameters(pytorch.attribute(component))
    for name in options.keys() - named.keys():
        if not np.array_equal(options[name], defaults[name].default):
            raise NotOffered(f"{component}({name}={options[name]!r})")
    return makers[component](*first, **{name: x for name, x in options.items() if name in named})


def make_module(adapter: Any, component: str, options: Mapping[str, Any], dtype: Any) -> Any:
    """A component from the adapter; every :class:`Part` among its options is made first. Its other options are left out
    where the adapter's calls may leave out options, else they are PyTorch's defaults."""

    def make(part: Part) -> Any:
        others = {} if offers(adapter, "LEAVES_OUT") else _defaults(part.component)
        return make_module(adapter, part.component, {**others, **part.options}, dtype)

    module = adapter.make(component, _replace_parts(options, make), dtype)
    if adapter is under_test():
        made.add(component)
    return module


def make_scheduler(adapter: Any, component: str, optimizer: Any, options: Mapping[str, Any]) -> Any:
    """A schedule from the adapter; every :class:`Part` among its options is made first."""
    make = lambda part: make_scheduler(adapter, part.component, optimizer, part.options)  # noqa: E731
    return adapter.scheduler(component, optimizer, _replace_parts(options, make))


@cache
def _defaults(component: str) -> Mapping[str, Any]:
    """PyTorch's defaults of a component's options; of a function, such as an activation, its name."""
    parameters = _parameters(pytorch.attribute(component))
    return {
        name: parameter.default.__name__ if inspect.isroutine(parameter.default) else parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty and name not in IMPLEMENTATION
    }


def _replace_parts(value: Any, make: Callable[[Part], Any]) -> Any:
    """A value in which every part is replaced by what ``make`` gives for it."""
    if isinstance(value, Part):
        return make(value)
    if isinstance(value, list):
        return [_replace_parts(inner, make) for inner in value]
    return {name: _replace_parts(inner, make) for name, inner in value.items()} if isinstance(value, Mapping) else value
