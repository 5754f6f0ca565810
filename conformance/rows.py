"""What a contract row is: of a module, an optimizer, a schedule, a function of initial values or a NumPy function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from hypothesis.strategies import SearchStrategy as Strategy

from conformance.comparison.rule import Input
from conformance.records import Difference, Finding
from conformance.references import FunctionReference, ModuleReference
from numpyml.autograd import table
from numpyml.autograd.derivatives import COMPOSITES, TABLE

Options = Mapping[str, Any]


def same_default(name: str, value: Any, defaults: Options) -> bool:
    """Whether an option has a default and is at it."""
    return name in defaults and not isinstance(value, np.ndarray) and bool(value == defaults[name])


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


@dataclass(frozen=True, kw_only=True)
class BaseRow:
    """What all rows may have: documented differences and findings."""

    differences: tuple[Difference, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ComponentRow(BaseRow):
    """What has a name of its own on either side, and a strategy for every option that is drawn."""

    ours: Any  # a class, or a function of initial values
    torch: str  # PyTorch's name, from torch on: "nn.Linear"
    options: Mapping[str, Strategy[Any]]

    @property
    def name(self) -> str:
        return self.ours.__name__


@dataclass(frozen=True)
class ModuleRow(ComponentRow):
    """A layer or an activation. ``inputs``, given the options, draws the tuple of arrays that go into ``forward``."""

    inputs: Callable[[dict[str, Any]], Strategy[tuple[Input, ...]]]
    reference: ModuleReference | None = None  # the formula; without one, PyTorch in float64 confirms numpyml's own code
    call: Callable[[dict[str, Any], tuple[Input, ...]], Strategy[dict[str, Any]]] | None = None  # arguments by keyword
    large: tuple[Large, ...] = (Large(),)  # cases of the check of large arrays; empty: the check does not run
    signed: bool = False  # an output of 0 has PyTorch's sign: no sum, whose order would decide it
    tied: bool = True  # equal inputs are moved together, as far as their kind of values is for that
    precise: tuple[str, ...] = ()  # answers promised to be precise where PyTorch's are not: checks/precision.py
    precise_with: Options = field(default_factory=dict, hash=False)  # options that the promise is restricted to
    precise_for: Callable[[Sequence[Input]], bool] = lambda inputs: True  # inputs that it is restricted to
    drops: bool = False  # whether it drops elements at random, in training
    written: tuple[str, ...] = ()  # parameters that a call writes to: compared after it, like an output
    complete: Callable[[Options, Any], Options] = lambda options, dtype: options  # adds what depends on the precision
    function: str = ""  # of PyTorch's, where it has no class
    costly: tuple[str, ...] = ()  # options whose default is too large for any check but nothing_given
    constructed_only: tuple[str, ...] = ()  # options whose default is too large for that one, too

    loss: ClassVar[bool] = False
    container: ClassVar[bool] = False
    composed: ClassVar[bool] = False

    def input_names(self, number: int) -> list[str]:
        """What the inputs of ``forward`` are called."""
        return [f"x{i}" for i in range(number)] if number > 1 else ["x"]

    def differentiates(self, name: str) -> bool:
        """Whether an input has a gradient where its values are floating."""
        return True

    def spread(self, shape: tuple[int, ...]) -> float:
        """The scale of a parameter's drawn values, by its shape."""
        return 1.0


@dataclass(frozen=True)
class LossRow(ModuleRow):
    """A loss: its inputs have names, and not all of them need be differentiable."""

    names: tuple[str, ...] = ("outputs", "targets")
    differentiable: tuple[str, ...] = ("outputs", "targets")

    loss: ClassVar[bool] = True

    def input_names(self, number: int) -> list[str]:
        return list(self.names)

    def differentiates(self, name: str) -> bool:
        return name in self.differentiable


@dataclass(frozen=True)
class ContainerRow(ModuleRow):
    """A container of modules that a user chooses. One without a forward of its own has its modules applied in turn."""

    large: tuple[Large, ...] = ()

    container: ClassVar[bool] = True


@dataclass(frozen=True)
class CompositeRow(ModuleRow):
    """A module made of other components: intermediate results are rounded, gradients are summed in any order."""

    composed: ClassVar[bool] = True

    def spread(self, shape: tuple[int, ...]) -> float:
        """Matrices preserve the scale of their input, so that attention scores do not saturate: PyTorch cannot confirm
        those."""
        return float(shape[-1]) ** -0.5 if len(shape) > 1 else 1.0


@dataclass(frozen=True)
class OptimizerRow(ComponentRow):
    """An optimizer: a strategy for every option but the parameters and their gradients."""

    invalid_pairs: tuple[tuple[tuple[str, Any], tuple[str, Any]], ...] = ()  # of values that both sides refuse together
    initial_only: tuple[tuple[str, Any], ...] = ()  # values that PyTorch accepts only before the first step


@dataclass(frozen=True)
class SchedulerRow(ComponentRow):
    """A learning-rate schedule: a strategy for every option but the optimizer."""

    metric: bool = False  # whether a step takes the value of a metric


@dataclass(frozen=True)
class InitialRow(ComponentRow):
    """A function that writes initial values into an array: a strategy for every option, and one for the shape."""

    shapes: Strategy[tuple[int, ...]]


@dataclass(frozen=True)
class Call:
    """How a function is called: floating operands by name, in order, and everything else."""

    operands: Mapping[str, Input]
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class FunctionRow(BaseRow):
    """A NumPy function with a derivative: what PyTorch writes for it, how it may be called, and its formula.

    ``torch`` takes the torch module, the operands and the options. ``ours`` takes the namespace of NumPy's functions
    (numpyml's is NumPy itself), the operands and the options; by default it calls the function, operands first.
    """

    function: Callable[..., Any]
    torch: Callable[..., Any]
    calls: Strategy[Call]
    reference: FunctionReference | None = None
    ours: Callable[..., Any] | None = None
    dispatch_operand: str = ""  # the only one by which NumPy dispatches: it is never a plain array
    large: tuple[Large, ...] = (Large(),)  # as a module's
    # Further ways to spell a call, each a function of the operands and the options that this way can pass.
    spellings: Mapping[str, Callable[..., Any]] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        module = getattr(self.function, "__module__", None) or "numpy"
        name = getattr(self.function, "__qualname__", None) or self.function.__name__
        if name == "getitem":
            return "indexing"
        return f"linalg.{name}" if "linalg" in module else name

    @property
    def derivative(self) -> table.Row | None:
        """Its row in the table of derivatives."""
        return TABLE.get(self.function) or COMPOSITES.get(self.function)

    @property
    def defaults(self) -> dict[str, Any]:
        """NumPy's default of every option that has one."""
        return self.derivative.defaults if self.derivative else {}

    def at_default(self, name: str, value: Any) -> bool:
        """Whether a call may leave this option out."""
        return same_default(name, value, self.defaults)

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


Row = ModuleRow | OptimizerRow | SchedulerRow | InitialRow | FunctionRow


def peer(row: Row) -> str:
    """What a component is held to, by the name a PyTorch user knows."""
    if isinstance(row, FunctionRow):
        return f"what PyTorch makes of numpy.{row.name}"
    if isinstance(row, ModuleRow) and row.torch.startswith("counterparts."):  # it has no class
        return row.function or "the formula in PyTorch's tensors"
    return f"torch.{row.torch}"
