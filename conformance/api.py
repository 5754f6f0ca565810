"""``assert_conforms``: hold a layer or model of your own to PyTorch, in one line."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import numpyml.random
from conformance.cases.common import DTYPES
from conformance.cases.masks import dropout_mask, restart_masks
from conformance.cases.modules import ModuleCase
from conformance.comparison.answers import Answer, gradient
from conformance.comparison.rule import Input
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import numpyml as adapter
from conformance.frameworks import pytorch
from conformance.results.census import Note
from conformance.rows import ModuleRow
from conformance.twins.twin import twin as twin_of
from numpyml import Tensor, nested
from numpyml.errors import NumpymlError
from numpyml.nn import Buffer, Module, Parameter
from numpyml.typing import Array

DRIVERS = ("explicit", "dynamic")


@dataclass
class Conformity:
    """What ``assert_conforms`` compared."""

    comparisons: int = 0
    error: float = 0.0  # the worst, in units of the bound: at most 1
    ulps: float = 0.0  # the worst, in units in the last place
    torch_ulps: float = 0.0

    def __str__(self) -> str:
        return (
            f"conforms: {self.comparisons:,} numbers compared, the worst {self.error:.2f} of the bound; "
            f"{self.ulps:.1f} units in the last place, PyTorch's own {self.torch_ulps:.1f}"
        )


def assert_conforms(
    module: Module, *inputs: Any, twin: Any = None, reference: Callable[..., Any] | None = None, seed: int = 0
) -> Conformity:
    """Hold a module to PyTorch: its output and every gradient, in float32 and float64, through both drivers.

    The incoming gradient is random. The rule of comparison is the suite's (``conformance/comparison/rule.py``). Nothing
    about ``module`` changes, and no random generator moves on. It is about the numbers of this call: other options,
    shapes and memory layouts, and whether arrays are written to or shared, are what a row of the suite asks.

    Args:
        module: a layer, a loss or a model.
        inputs: what its ``forward`` takes: arrays, also in tuples, lists and dicts; the floating ones get a gradient.
        twin: the PyTorch module to compare with, in place of ``conformance.twin(module)``; its parameters and buffers
            have the same names, and take the same values.
        reference: or what PyTorch computes, where no module does: a function of tensors, of the inputs by position and
            of the parameters by name.
        seed: of the incoming gradient.

    Returns: what was compared, and how close it was.
    Raises:
        AssertionError: saying which array and element differ, what it is and what was expected.
        Misuse: when there is nothing to compare with, or nothing that can be compared.
    """
    pytorch.require()
    if not isinstance(module, Module):
        raise Misuse(f"assert_conforms expects a numpyml module, got {type(module).__name__}")
    if twin is not None and reference is not None:
        raise Misuse("assert_conforms expects twin= or reference=, got both")
    other = reference if twin is None else twin
    arrays = tuple(map(_arrays, inputs))
    with undisturbed(), np.errstate(all="ignore"):
        return compare_all(OwnCase(module, arrays, twin_of if other is None else counterpart_of(other, module), seed))


def _arrays(value: Any) -> Any:
    """The input as an array; a container that holds arrays, with an array for each leaf."""
    if isinstance(value, (tuple, list, dict)) and nested.holds(value, (np.ndarray, Tensor)):
        return nested.map_leaves(_arrays, value)
    x = np.asarray(value.data if isinstance(value, Tensor) else value)
    if x.dtype.kind not in "biuf":
        raise Misuse(f"assert_conforms expects arrays of numbers as inputs, got {type(value).__name__} {value!r:.60}")
    return x


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Every random generator that a module may use by default is afterwards where it was."""
    import torch

    ours = numpyml.random.default_generator().bit_generator
    before, legacy = ours.state, np.random.get_state()  # noqa: NPY002  # a user's forward may draw from it
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        ours.state = before
        np.random.set_state(legacy)  # noqa: NPY002


def cast(module: Module, dtype: Any) -> Module:
    """A copy of a module whose parameters, buffers and arrays, where floating, have another dtype."""
    copies: dict[int, Any] = {}  # for deepcopy, which copies everything else
    seen: set[int] = set()

    def add(value: Any) -> None:
        """Add a copy of a value, or of everything that a module holds."""
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, Module):
            for inner in nested.leaves(list(vars(value).values())):
                add(inner)
        elif isinstance(value, Parameter):
            copies[id(value)] = Parameter(value.data, value.requires_grad, dtype)
        elif isinstance(value, Buffer) and value.dtype.kind == "f":
            copies[id(value)] = Buffer(value.data, dtype)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            copies[id(value)] = value.astype(dtype)

    add(module)
    try:
        return copy.deepcopy(module, copies)
    except TypeError as error:
        raise Misuse(f"{type(module).__name__} cannot be copied, so it cannot be compared: {error}") from error


class OwnCase(ModuleCase):
    """A user's module and inputs as a case. ``counterpart`` makes PyTorch's module of a copy of it, in a dtype."""

    def __init__(
        self, module: Module, inputs: tuple[Any, ...], counterpart: Callable[[Module, Any], Any], seed: int
    ) -> None:
        row = ModuleRow(type(module), "", {}, lambda options: st.nothing())
        super().__init__(row, {}, nested.map_leaves(Input, inputs), np.float64, module.training, seed)
        self.module, self.counterpart = module, counterpart
        several = len(self.inputs) > 1
        self.names = [f"input {i}" if several else "the input" for i in range(len(self.inputs))]

    def make(
        self, dtype: Any = None, arrays: Mapping[str, Array] | None = None, framework: Any = None, inject: bool = True
    ) -> Module:
        """A copy of the module, its parameters as in ``arrays``, its masks PyTorch's."""
        copied = cast(self.module, dtype)
        for name, p in copied.named_parameters():
            p.data[...] = self.parameter(name, p.shape) if arrays is None else arrays[name]
            p.zero_grad()
        adapter.inject_masks(copied, lambda *which: dropout_mask(self.seed, *which))
        return copied

    def twin(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None) -> Any:
        """PyTorch's module with the parameters and buffers of ours, the same of them frozen, and the same masks."""
        ours = self.make(dtype, arrays)
        theirs = self.counterpart(ours, dtype)
        restart_masks(theirs, self.seed)
        buffers = dict(theirs.named_buffers())
        for name, buffer in ours.named_buffers():
            if name in buffers:  # a function has none
                buffers[name].copy_(pytorch.tensor(buffer.data))
        parameters = dict(ours.named_parameters())
        for name, p in theirs.named_parameters():
            p.requires_grad_(parameters[name].requires_grad)
        return self.loaded(theirs, arrays)

    def referee(self, dtype: Any, arrays: Mapping[str, Array]) -> Module:
        return self.make(dtype, arrays)  # a user's module may keep anything from one call to the next

    def peer(self, dtype: Any, arrays: Mapping[str, Array] | None = None) -> Any:
        return self.twin(dtype, arrays)  # so may PyTorch's

    def parameter(self, name: str, shape: tuple[int, ...]) -> Array:
        return np.array(dict(self.module.named_parameters())[name].data, np.float64)

    def incoming(self, shape: tuple[int, ...], i: int) -> Input:
        gy = np.random.default_rng([self.seed, i]).standard_normal(shape)
        return Input(gy.astype(np.float32).astype(np.float64))

    def run(
        self, module: Any, arrays: Mapping[str, Array], driver: str, framework: Any, backward: bool = True,
        further: Mapping[str, Any] | None = None,
    ) -> dict[Answer, Array]:  # fmt: skip
        """numpyml's answers; a frozen parameter has no gradient."""
        frozen = {gradient(name) for name, p in module.named_parameters() if not p.requires_grad}
        ours = super().run(module, arrays, driver, adapter, backward, further)
        return {answer: x for answer, x in ours.items() if answer not in frozen}

    def compare_outputs(self, note: Note) -> None:
        """As many outputs of the same shapes as PyTorch's, one float among them; integers are equal."""
        arrays = {n: x.values.astype(np.float64) for n, x in self.named_inputs.items() if x.floating}
        try:
            ours = nested.leaves(adapter.forward(self.make(np.float64), *self.arrays(arrays)))
        except NumpymlError as error:
            raise Misuse(f"{note.row} cannot run on these inputs: {error}") from error
        outputs = nested.leaves(pytorch.call(self.twin(np.float64), self.arrays(arrays), {}))
        if not all(hasattr(y, "is_floating_point") for y in outputs):
            raise Misuse(f"the reference should give PyTorch tensors, got {type(outputs[0]).__name__}")
        theirs = list(map(pytorch.array, outputs))
        forms = [[(y.shape, y.dtype.kind in "iu", y.dtype.kind == "b") for y in ys] for ys in (ours, theirs)]
        if forms[0] != forms[1]:
            shown = [", ".join(f"{y.dtype}{y.shape}" for y in ys) for ys in (ours, theirs)]
            raise Mismatch(f"{note.row} gives {shown[0]}, PyTorch gives {shown[1]}")
        for i, (y, expected) in enumerate(zip(ours, theirs, strict=True)):
            if y.dtype.kind != "f":
                note.same(f"output {i}", y.astype(expected.dtype), expected)
        if all(y.dtype.kind != "f" for y in theirs):
            raise Misuse(f"{note.row} gives no floating output, so there is no gradient to compare")


def counterpart_of(reference: Any, module: Module) -> Callable[[Module, Any], Any]:
    """The counterpart that a user gives: a PyTorch module with the parameters and buffers of ``module``, or a function
    of tensors."""
    import torch

    if not isinstance(reference, torch.nn.Module):
        return lambda ours, dtype: function_module(reference, ours)
    parameters = dict(module.named_parameters())
    ours = {**parameters, **dict(module.named_buffers())}
    own = dict(reference.named_parameters())
    theirs = {**own, **dict(reference.named_buffers())}
    problems = [f"{name} is missing in it" for name in ours if name not in (own if name in parameters else theirs)]
    problems += [f"{name} is not in {type(module).__name__}" for name in own if name not in parameters]
    problems += [
        f"{name} has shape {tuple(theirs[name].shape)}, ours {x.shape}"
        for name, x in ours.items()
        if name in theirs and tuple(theirs[name].shape) != x.shape
    ]
    if problems:
        raise Misuse("twin expects a PyTorch module with the same parameters and buffers: " + "; ".join(problems))
    return lambda ours, dtype: (
        copy.deepcopy(reference).to(pytorch.tensor(np.empty(0, dtype)).dtype).train(module.training)
    )


def function_module(function: Callable[..., Any], module: Module) -> Any:
    """A PyTorch module that computes a function of its inputs and of the parameters of ``module``."""
    import torch

    parameters = {name: pytorch.tensor(p.data, True) for name, p in module.named_parameters()}

    class FunctionModule(torch.nn.Module):  # type: ignore[misc]  # untyped to mypy
        def forward(self, *inputs: Any) -> Any:
            return function(*inputs, **parameters)

        def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, Any]]:
            return iter(parameters.items())  # a torch module has no parameter with a dot in its name

    return FunctionModule()


def compare_all(case: OwnCase) -> Conformity:
    """Compare everything."""
    note = Note(case.row.name, "assert_conforms")
    case.compare_outputs(note)
    for dtype in DTYPES:
        for driver in DRIVERS:
            compare(case, note, dtype, driver)
    return Conformity(note.comparisons, note.error, note.ulps, note.torch_ulps)


def compare(case: OwnCase, note: Note, dtype: Any, driver: str) -> None:
    """Compare one driver in one precision."""
    try:
        note.judge(case.problem(driver), dtype, case.seed)
    except Mismatch as difference:
        raise Mismatch(f"{note.row} does not conform ({dtype}, {driver} driver)\n{difference}") from None
