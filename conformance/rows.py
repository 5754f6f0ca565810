"""What a contract row is. There are four kinds: of modules, of optimizers, of initial values and of NumPy functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy as Strategy

from conformance.comparison.rule import Given

# What NumPy does where its signature says that no value is given; of other options it says nothing that a call could.
NO_VALUE = {"keepdims": False, "correction": 0}
NO_DEFAULT: Any = vars(np)["_NoValue"]

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A component inside a container: PyTorch's name and options. Every framework makes its own of it."""

    component: str
    options: Options = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.component}({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"


@dataclass(frozen=True)
class Large:
    """How a component is given many elements: so many times those it may have elsewhere, and these options."""

    growth: float = 4
    options: Options = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class ModuleRow:
    """A layer, an activation, a loss or a container.

    ``options`` has a strategy for every constructor option; one that depends on others is a function of those drawn
    before it. ``inputs``, given the options, draws the tuple of arrays that go into ``forward``.
    """

    ours: type[Any]
    torch: str  # PyTorch's class, from torch on: "nn.Linear"
    options: Mapping[str, Strategy[Any]]
    inputs: Callable[[dict[str, Any]], Strategy[tuple[Given, ...]]]
    loss: bool = False
    container: bool = False  # of parts that a user chooses
    wrap: bool = False  # a container without a forward of its own: the checks apply its modules in turn
    settled: Callable[[Options, Any], Options] = lambda options, dtype: options  # what a precision decides, decided
    call: Callable[[dict[str, Any], tuple[Given, ...]], Strategy[dict[str, Any]]] | None = None  # its further arguments
    spread: Callable[[tuple[int, ...]], float] = lambda shape: 1.0  # of a parameter's values, by its shape
    composed: bool = (
        False  # of other components: what passes between them is rounded, gradients are summed in any order
    )
    signed: bool = False  # an output of 0 has PyTorch's sign: nothing is added up, whose order would decide it
    large: tuple[Large, ...] = (Large(),)  # what the check of large arrays gives it; nothing: there is no such check
    tied: bool = True  # ties mean something to it: equal numbers are moved together, as far as their kind is for that
    written: tuple[str, ...] = ()  # parameters that a call writes to: they are compared after it, like an output

    @property
    def name(self) -> str:
        return self.ours.__name__


@dataclass(frozen=True)
class OptimizerRow:
    """An optimizer: a strategy for every option but the parameters and their gradients."""

    ours: type[Any]
    torch: str
    options: Mapping[str, Strategy[Any]]
    refused: tuple[tuple[tuple[str, Any], tuple[str, Any]], ...] = ()  # pairs of values that both sides refuse
    at_first: tuple[tuple[str, Any], ...] = ()  # values that PyTorch takes before the first step alone

    @property
    def name(self) -> str:
        return self.ours.__name__


@dataclass(frozen=True)
class InitialRow:
    """A function that writes initial values into an array: a strategy for every option, and one for the shape."""

    ours: Callable[..., Any]
    torch: str
    options: Mapping[str, Strategy[Any]]
    shapes: Strategy[tuple[int, ...]]

    @property
    def name(self) -> str:
        return self.ours.__name__


@dataclass(frozen=True)
class Call:
    """How a function is called: floating operands by name, in order, and everything else."""

    operands: Mapping[str, Given]
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class FunctionRow:
    """A NumPy function with a derivative: what PyTorch writes for it, and how it may be called.

    ``torch`` takes the torch module, the operands and the options. ``ours`` takes the namespace of NumPy's functions
    (numpyml's is NumPy itself), the operands and the options; by default it calls the function, operands first.
    """

    function: Callable[..., Any]
    torch: Callable[..., Any]
    calls: Strategy[Call]
    ours: Callable[..., Any] | None = None
    asked: str = ""  # the operand that alone tells NumPy whose function to call: it is never a plain array
    large: tuple[Large, ...] = (Large(),)  # as a module's

    @property
    def name(self) -> str:
        module = getattr(self.function, "__module__", None) or "numpy"
        name = getattr(self.function, "__qualname__", None) or self.function.__name__
        if name == "getitem":
            return "indexing"
        return f"linalg.{name}" if "linalg" in module else name

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """NumPy's own value of every option that has one."""
        try:
            known = inspect.signature(self.function).parameters.values()
        except ValueError:  # of functions in C, older NumPys do not tell
            return {}
        own = {p.name: NO_VALUE.get(p.name, p.default) for p in known if p.default is not p.empty}
        return {name: value for name, value in own.items() if value is not NO_DEFAULT}

    def at_default(self, name: str, value: Any) -> bool:
        """Whether a call may leave this option out."""
        return name in self.defaults and not isinstance(value, np.ndarray) and bool(value == self.defaults[name])

    def call(self, namespace: Any, *operands: Any, **options: Any) -> Any:
        """The function of this name in a namespace, or what ``ours`` says."""
        if self.ours is not None:
            try:
                return self.ours(namespace, *operands, **options)
            except AttributeError as error:
                if error.obj is namespace:
                    raise NotImplementedError(f"there is no {error.name} in the namespace") from error
                raise
        function = namespace
        for part in self.name.split("."):
            if not hasattr(function, part):
                raise NotImplementedError(f"there is no {self.name} in {getattr(namespace, '__name__', namespace)}")
            function = getattr(function, part)
        return function(*operands, **options)


Row = ModuleRow | OptimizerRow | InitialRow | FunctionRow


def peer(row: Row) -> str:
    """What a component is held to, by the name a PyTorch user knows."""
    if isinstance(row, FunctionRow):
        return f"what PyTorch makes of numpy.{row.name}"
    if row.torch.startswith("counterparts."):  # it has no class
        return FUNCTIONS.get(row.torch, "the formula in PyTorch's tensors")
    return f"torch.{row.torch}"


FUNCTIONS = {"counterparts.ScaledDotProductAttention": "torch.nn.functional.scaled_dot_product_attention"}
