"""``assert_conforms``: hold a layer or model of your own to PyTorch, in one line."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

import numpyml.random
from conformance.cases.modules import dropout_mask, restart_masks
from conformance.comparison.rule import Given, Problem, judge
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import numpyml as adapter
from conformance.frameworks import pytorch
from conformance.twins.twin import twin as twin_of
from numpyml import Tensor
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
        inputs: what its ``forward`` takes: arrays, of which the floating ones get a gradient.
        twin: the PyTorch module to compare with, in place of ``conformance.twin(module)``; its parameters have the
            same names, and are given the same values.
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
    given = [_array(x) for x in inputs]
    with undisturbed(), np.errstate(all="ignore"):
        call = Call(module, given, twin if twin is not None else reference, seed)
        return call.conformity()


def _array(value: Any) -> Array:
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
        made = copy.deepcopy(module)
    except TypeError as error:
        raise Misuse(f"{type(module).__name__} cannot be copied, so it cannot be compared: {error}") from error
    seen: dict[int, tuple[Any, Any]] = {}  # both, so that no number is given to another object

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

    result: Module = other(made)
    return result


class Call:
    """A module, its inputs and what it is compared with."""

    def __init__(self, module: Module, inputs: list[Array], reference: Any, seed: int) -> None:
        self.module, self.inputs, self.reference, self.seed = module, inputs, reference, seed
        several = len(inputs) > 1
        self.names = [f"input {i}" if several else "the input" for i in range(len(inputs))]
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}

    @cached_property
    def numbers(self) -> dict[str, Given]:
        """Every floating number that goes in, but the incoming gradients."""
        given = {name: x for name, x in zip(self.names, self.inputs, strict=True) if x.dtype.kind == "f"}
        given |= {name: p.data for name, p in self.module.named_parameters()}
        return {name: Given(np.array(x, np.float64)) for name, x in given.items()}

    def conformity(self) -> Conformity:
        """Compare everything."""
        found = Conformity()
        start = {name: x.values for name, x in self.numbers.items()}
        ours = [np.asarray(y.data) for y in self._forward(self._ours(start, np.float64), start)[1]]
        theirs = [pytorch.array(y) for y in self._torch(start, np.float64)[1]]
        self._same_form(ours, theirs)
        self.floating = [i for i, y in enumerate(theirs) if y.dtype.kind == "f"]
        if not self.floating:
            raise Misuse(f"{type(self.module).__name__} gives no floating output, so there is no gradient to compare")
        given = dict(self.numbers)
        for i in self.floating:
            gy = np.random.default_rng([self.seed, i]).standard_normal(theirs[i].shape)
            given[f"incoming gradient {i}"] = Given(gy.astype(np.float32).astype(np.float64))
        for dtype in map(np.dtype, (np.float32, np.float64)):
            for driver in DRIVERS:
                problem = Problem(given, partial(self.ours, driver=driver), self.torch, self.ours)
                for verdict in judge(problem, dtype, self.seed):
                    if verdict.failure:
                        raise Mismatch(
                            f"{type(self.module).__name__} does not conform ({dtype}, {driver} driver)\n"
                            f"{verdict.failure}"
                        )
                    found.comparisons += verdict.compared
                    found.error = max(found.error, verdict.error)
                    found.ulps = max(found.ulps, float(verdict.ulps.max(initial=0)))
                    found.torch_ulps = max(found.torch_ulps, float(verdict.torch_ulps.max(initial=0)))
        return found

    def _same_form(self, ours: list[Array], theirs: list[Array]) -> None:
        """As many outputs of the same shapes; those that are no floats are equal."""
        forms = [[(y.shape, y.dtype.kind in "iu", y.dtype.kind == "b") for y in ys] for ys in (ours, theirs)]
        if forms[0] != forms[1]:
            shown = [", ".join(f"{y.dtype}{y.shape}" for y in ys) for ys in (ours, theirs)]
            raise Mismatch(f"{type(self.module).__name__} gives {shown[0]}, PyTorch gives {shown[1]}")
        for i, (y, expected) in enumerate(zip(ours, theirs, strict=True)):
            if y.dtype.kind != "f" and not np.array_equal(y, expected):
                at = tuple(int(k) for k in np.argwhere(y != expected)[0])
                raise Mismatch(f"output {i}{list(at)}: got {y[at]!r}, expected {expected[at]!r}")

    # Ours

    def _ours(self, arrays: Mapping[str, Array], dtype: Any) -> Module:
        made = cast(self.module, dtype)
        for name, p in made.named_parameters():
            p.data[...] = arrays[name]
            p.zero_grad()
        adapter.inject_masks(made, lambda *given: dropout_mask(self.seed, *given))
        return made

    def _given(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The inputs, read-only: whoever writes to what he was given is caught."""
        found = [np.array(arrays.get(name, x)) for name, x in zip(self.names, self.inputs, strict=True)]
        for x in found:
            x.flags.writeable = False
        return found

    def _forward(self, made: Module, arrays: Mapping[str, Array]) -> tuple[list[Tensor], list[Tensor]]:
        tensors = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in self._given(arrays)]
        try:
            y = made(*tensors)
        except NumpymlError as error:
            raise Misuse(f"{type(made).__name__} cannot run on these inputs: {error}") from error
        return tensors, list(y) if isinstance(y, tuple) else [y]

    def ours(self, arrays: Mapping[str, Array], driver: str = "dynamic") -> dict[str, Array]:
        """numpyml's answers."""
        gys = {i: arrays[f"incoming gradient {i}"] for i in self.floating}
        made = self._ours(arrays, next(iter(gys.values())).dtype)
        if driver == "explicit":
            y = made.forward(*self._given(arrays))
            ys = list(y) if isinstance(y, tuple) else [y]
            gx = made.backward(*(gys.get(i, np.zeros(np.shape(y))) for i, y in enumerate(ys)))
            gxs = gx if isinstance(gx, tuple) else (gx,)
        else:
            tensors, outputs = self._forward(made, arrays)
            tape.backward([outputs[i] for i in gys], list(gys.values()))
            ys = [y.data for y in outputs]
            gxs = tuple(np.zeros_like(x.data) if x.grad is None else x.grad for x in tensors)
        found = {self._output(i, len(ys)): np.asarray(ys[i]) for i in gys}
        for name, gx in zip(self.names, gxs, strict=False):  # a loss gives the gradient of its outputs alone
            if name in arrays and gx is not None:
                found[f"gradient of {name}"] = np.asarray(gx)
        return found | {f"gradient of {name}": p.grad for name, p in made.named_parameters() if p.requires_grad}

    def _output(self, i: int, several: int) -> str:
        return f"output {i}" if several > 1 else "output"

    # PyTorch's

    def _torch(self, arrays: Mapping[str, Array], dtype: Any) -> tuple[dict[str, Any], list[Any]]:
        """Everything that gets a gradient, by name, and the outputs."""
        import torch

        inputs = [pytorch.tensor(x, requires_grad=True) for x in self._given(arrays)]
        leaves = {name: x for name, x in zip(self.names, inputs, strict=True) if x.requires_grad}
        if self.reference is None or isinstance(self.reference, torch.nn.Module):
            made = self._module(arrays, dtype)
            restart_masks(made, self.seed)
            leaves |= {name: p for name, p in made.named_parameters() if p.requires_grad}
            y = made(*inputs)
        else:
            parameters = {name: pytorch.tensor(arrays[name], p.requires_grad) for name, p in self._all()}
            leaves |= {name: p for name, p in parameters.items() if p.requires_grad}
            y = self.reference(*inputs, **parameters)
        outputs = list(y) if isinstance(y, (tuple, list)) else [y]
        if not all(isinstance(y, torch.Tensor) for y in outputs):
            raise Misuse(f"the reference should give PyTorch tensors, got {type(outputs[0]).__name__}")
        return leaves, outputs

    def _all(self) -> list[tuple[str, Parameter]]:
        return list(self.module.named_parameters())

    def _module(self, arrays: Mapping[str, Array], dtype: Any) -> Any:
        if self.reference is None:
            return twin_of(self._ours(arrays, dtype), dtype)
        made = copy.deepcopy(self.reference).to(pytorch.tensor(np.empty(0, dtype)).dtype)
        own, state = dict(made.named_parameters()), made.state_dict()
        problems = [f"{name} is missing in it" for name, _ in self._all() if name not in own]
        problems += [f"{name} is not in {type(self.module).__name__}" for name in own if name not in dict(self._all())]
        problems += [
            f"{name} has shape {tuple(own[name].shape)}, ours {p.shape}"
            for name, p in self._all()
            if name in own and tuple(own[name].shape) != p.shape
        ]
        if problems:
            raise Misuse("twin expects a PyTorch module with the same parameters: " + "; ".join(problems))
        made.load_state_dict(state | {name: pytorch.tensor(arrays[name]) for name in own})
        for name, p in self._all():
            own[name].requires_grad_(p.requires_grad)
        return made.train(self.module.training)

    def torch(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """PyTorch's answers."""
        gys = [arrays[f"incoming gradient {i}"] for i in self.floating]
        leaves, ys = self._torch(arrays, gys[0].dtype)
        found = pytorch.gradients([ys[i] for i in self.floating], list(leaves.values()), gys)
        answers = {self._output(i, len(ys)): pytorch.array(ys[i]) for i in self.floating}
        return answers | {f"gradient of {name}": g for name, g in zip(leaves, found, strict=True)}
