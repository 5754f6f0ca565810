"""``assert_conforms``: hold a layer or model of your own to PyTorch, in one line."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import numpyml.random
from conformance.cases.common import DTYPES, answers, incoming_name
from conformance.cases.modules import ModuleCase, dropout_mask, restart_masks
from conformance.comparison.answers import Answer, output
from conformance.comparison.rule import Input, judge
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import numpyml as adapter
from conformance.frameworks import pytorch
from conformance.rows import ModuleRow
from conformance.twins.twin import twin as twin_of
from numpyml import Tensor, nested
from numpyml.autograd import tape
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
    arrays = tuple(map(_arrays, inputs))
    with undisturbed(), np.errstate(all="ignore"):
        return compare_all(OwnCase(module, arrays, twin if twin is not None else reference, seed))


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
    try:
        copied = copy.deepcopy(module)
    except TypeError as error:
        raise Misuse(f"{type(module).__name__} cannot be copied, so it cannot be compared: {error}") from error
    seen: dict[int, tuple[Any, Any]] = {}  # both, so that no id is taken by another object

    def other(value: Any) -> Any:
        if id(value) in seen:
            return seen[id(value)][1]
        if isinstance(value, Parameter):
            seen[id(value)] = value, Parameter(value.data, value.requires_grad, dtype)
            return seen[id(value)][1]
        if isinstance(value, Buffer):
            seen[id(value)] = value, Buffer(value.data, dtype if value.dtype.kind == "f" else None)
            return seen[id(value)][1]
        if isinstance(value, Module):
            seen[id(value)] = value, value
            vars(value).update({name: other(inner) for name, inner in vars(value).items()})
            return value
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return value.astype(dtype)
        if type(value) in (list, tuple):
            return type(value)(map(other, value))
        return {name: other(inner) for name, inner in value.items()} if type(value) is dict else value

    result: Module = other(copied)
    return result


class OwnCase(ModuleCase):
    """A module of the user's own as a case: its numbers are those it has, its outputs those that are floats."""

    def __init__(self, module: Module, inputs: tuple[Any, ...], reference: Any, seed: int) -> None:
        row = ModuleRow(type(module), "", {}, lambda options: st.nothing())
        super().__init__(row, {}, nested.map_leaves(Input, inputs), np.float64, module.training, seed)
        self.module, self.reference = module, reference
        several = len(self.inputs) > 1
        self.names = [f"input {i}" if several else "the input" for i in range(len(self.inputs))]

    def make(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None, framework: Any = None) -> Module:
        """A copy of the module, its parameters as in ``arrays``, its masks PyTorch's."""
        copied = cast(self.module, dtype)
        for name, p in copied.named_parameters():
            p.data[...] = self.parameter(name, p.shape) if arrays is None else arrays[name]
            p.zero_grad()
        adapter.inject_masks(copied, lambda *which: dropout_mask(self.seed, *which))
        return copied

    def referee(self, dtype: Any, arrays: Mapping[str, Array]) -> Module:
        return self.make(dtype, arrays)  # a module of the user's may keep anything from one call to the next

    def peer(self, dtype: Any, arrays: Mapping[str, Array] | None = None) -> Any:
        return self.twin(dtype, arrays)  # so may PyTorch's

    def parameter(self, name: str, shape: tuple[int, ...]) -> Array:
        return np.array(dict(self.module.named_parameters())[name].data, np.float64)

    def incoming(self, shape: tuple[int, ...], i: int) -> Input:
        gy = np.random.default_rng([self.seed, i]).standard_normal(shape)
        return Input(gy.astype(np.float32).astype(np.float64))

    def twin(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None) -> Any:
        """PyTorch's module, or the function that is the reference in the shape of one."""
        import torch

        ours = self.make(dtype, arrays)
        buffers = dict(ours.named_buffers())
        if self.reference is None:
            theirs = twin_of(ours, dtype)
        elif isinstance(self.reference, torch.nn.Module):
            theirs = copy.deepcopy(self.reference).to(pytorch.tensor(np.empty(0, dtype)).dtype).train(self.training)
            self._same_state(theirs)
            self.loaded(theirs, arrays)
            for name, buffer in theirs.named_buffers():
                if name in buffers:
                    buffer.copy_(pytorch.tensor(buffers[name].data))
        else:
            theirs = Formula(self.reference, ours)
        for (_, p), (_, own) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
            p.requires_grad_(own.requires_grad)
        if not isinstance(theirs, Formula):
            restart_masks(theirs, self.seed)
        return theirs

    def _same_state(self, reference: Any) -> None:
        """The reference has the module's parameters, and its buffers among its own."""
        parameters, buffers = (dict(x) for x in (self.module.named_parameters(), self.module.named_buffers()))
        own = dict(reference.named_parameters())
        theirs = {**own, **dict(reference.named_buffers())}
        ours = {**parameters, **buffers}
        problems = [f"{name} is missing in it" for name in ours if name not in (own if name in parameters else theirs)]
        problems += [f"{name} is not in {type(self.module).__name__}" for name in own if name not in parameters]
        problems += [
            f"{name} has shape {tuple(theirs[name].shape)}, ours {x.shape}"
            for name, x in ours.items()
            if name in theirs and tuple(theirs[name].shape) != x.shape
        ]
        if problems:
            raise Misuse("twin expects a PyTorch module with the same parameters and buffers: " + "; ".join(problems))

    def by_answer(self, ys: Any) -> dict[Answer, Any]:
        return {answer: y for answer, y in super().by_answer(ys).items() if y.is_floating_point()}

    def run(
        self, module: Any, arrays: Mapping[str, Array], driver: str, framework: Any, backward: bool = True
    ) -> dict[Answer, Array]:
        """numpyml's answers."""
        gys = {i: arrays[incoming_name(i)] for i in range(len(arrays)) if incoming_name(i) in arrays}
        if driver == "explicit":
            ys, structure = nested.flatten(module.forward(*self.arrays(arrays)))
            outputs = structure if isinstance(structure, tuple) else [structure]
            leaves = [gys.get(i, np.zeros(np.shape(y))) for i, y in enumerate(ys)]
            gx = module.backward(*nested.unflatten([part for part in outputs if part is not None], leaves))
            gxs = self.aligned(gx if len(self.nesting) > 1 and isinstance(gx, tuple) else (gx,))
        else:
            tensors, results = self.forward(module, arrays)
            tape.backward([results[i] for i in gys], list(gys.values()))
            ys = [y.data for y in results]
            gxs = [np.zeros_like(x.data) if x.grad is None else x.grad for x in tensors]
        named = zip(self.names, gxs, strict=False)  # a loss gives the gradient of its outputs alone
        gradients = {name: np.asarray(gx) for name, gx in named if name in arrays and gx is not None}
        gradients |= {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
        return {output(i): np.asarray(ys[i]) for i in gys} | answers([], gradients)

    def forward(self, module: Module, arrays: Mapping[str, Array]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Inputs and outputs of the dynamic driver, flattened."""
        tensors = nested.map_leaves(lambda x: Tensor(x, requires_grad=x.dtype.kind == "f"), self.arrays(arrays))
        try:
            return nested.leaves(tensors), nested.leaves(module(*tensors))
        except NumpymlError as error:
            raise Misuse(f"{type(module).__name__} cannot run on these inputs: {error}") from error

    def same_form(self) -> None:
        """As many outputs of the same shapes as PyTorch's, one float among them; those that are no floats are equal."""
        name = type(self.module).__name__
        arrays = {n: x.values.astype(np.float64) for n, x in zip(self.names, self.inputs, strict=True) if x.floating}
        ours = [np.asarray(y.data) for y in self.forward(self.make(np.float64), arrays)[1]]
        outputs = nested.leaves(pytorch.call(self.twin(np.float64), self.arrays(arrays), {}))
        if not all(hasattr(y, "is_floating_point") for y in outputs):
            raise Misuse(f"the reference should give PyTorch tensors, got {type(outputs[0]).__name__}")
        theirs = list(map(pytorch.array, outputs))
        forms = [[(y.shape, y.dtype.kind in "iu", y.dtype.kind == "b") for y in ys] for ys in (ours, theirs)]
        if forms[0] != forms[1]:
            shown = [", ".join(f"{y.dtype}{y.shape}" for y in ys) for ys in (ours, theirs)]
            raise Mismatch(f"{name} gives {shown[0]}, PyTorch gives {shown[1]}")
        for i, (y, expected) in enumerate(zip(ours, theirs, strict=True)):
            if y.dtype.kind != "f" and not np.array_equal(y, expected):
                at = tuple(int(k) for k in np.argwhere(y != expected)[0])
                raise Mismatch(f"output {i}{list(at)}: got {y[at]}, expected {expected[at]}")
        if all(y.dtype.kind != "f" for y in theirs):
            raise Misuse(f"{name} gives no floating output, so there is no gradient to compare")


class Formula:
    """A function of tensors and the parameters of a module, called and asked as a PyTorch module is."""

    def __init__(self, function: Callable[..., Any], module: Module) -> None:
        self.function = function
        self.parameters = {name: pytorch.tensor(p.data, True) for name, p in module.named_parameters()}

    def __call__(self, *inputs: Any) -> Any:
        return self.function(*inputs, **self.parameters)

    def named_parameters(self) -> Iterable[tuple[str, Any]]:
        return self.parameters.items()


def compare_all(case: OwnCase) -> Conformity:
    """Compare everything."""
    case.same_form()
    total = Conformity()
    for dtype in DTYPES:
        for driver in DRIVERS:
            for verdict in judge(case.problem(driver), dtype, case.seed):
                if verdict.failure:
                    name = type(case.module).__name__
                    raise Mismatch(f"{name} does not conform ({dtype}, {driver} driver)\n{verdict.failure}")
                total.comparisons += verdict.compared
                total.error = max(total.error, verdict.error)
                total.ulps = max(total.ulps, float(verdict.ulps.max(initial=0)))
                total.torch_ulps = max(total.torch_ulps, float(verdict.torch_ulps.max(initial=0)))
    return total
