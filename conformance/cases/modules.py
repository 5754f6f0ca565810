"""One drawn example of a module's row, and the problem that the comparison rule is put to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance import divergences
from conformance.cases.common import (
    GY,
    LEFT_OUT,
    Case,
    answers,
    dtype_of,
    incoming_name,
    large_sizes,
    modes,
    precisions,
)
from conformance.cases.inputs import inputs_of
from conformance.cases.masks import dropout_mask, rate_of, replay_masks, restart_masks, scaled_mask
from conformance.comparison.answers import Answer, buffer, gradient, is_gradient, output, written
from conformance.comparison.rule import Input, Problem
from conformance.frameworks import Lacking, make_module, numpyml, offers, pytorch, under_test
from conformance.frameworks.signatures import defaults_of
from conformance.records import Limit, OptionNotState
from conformance.references import ModuleReference
from conformance.rows import ModuleRow
from conformance.strategies.arrays import (
    VALUES,
    Shape,
    growing,
    incoming,
    incoming_layouts,
    laid_out,
    seeds,
    single,
)
from conformance.strategies.coverage import MODES, Coverage, Draw, Purpose, options_inside
from conformance.strategies.offered import offered
from numpyml import nested
from numpyml.typing import Array

SPARSE = 6  # in one case of so many, zeros are among the parameters
CALLS = 3  # after each of which buffers are compared


class ModuleCase(Case):
    """A component with drawn options, inputs, parameters and incoming gradient."""

    row: ModuleRow

    def __init__(
        self, row: ModuleRow, options: dict[str, Any], inputs: tuple[Input, ...], dtype: Any, training: bool, seed: int,
        call: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(row, options, dtype, seed)
        self.training, self.call = training, call or {}
        self.inputs, self.nesting = nested.flatten(list(inputs))
        self._settled = row.complete(options, self.dtype)  # for the same call in another precision
        self._peers: dict[np.dtype[Any], tuple[Any, dict[str, Any]]] = {}  # see peer
        self._referees: dict[np.dtype[Any], Any] = {}
        self.names = row.input_names(len(self.inputs))
        self.recorded: Sequence[Array] | None = None  # masks of the framework, which PyTorch replays
        self._outputs: tuple[list[Shape], Any] = [], None  # shapes and structure of PyTorch's outputs

    @property
    def named_inputs(self) -> Mapping[str, Input]:
        return dict(zip(self.names, self.inputs, strict=True))

    # The component on either side

    def make(
        self, dtype: Any = None, arrays: Mapping[str, Array] | None = None, framework: Any = None, inject: bool = True
    ) -> Any:
        """The framework's module, its parameters as in ``arrays`` (else the case's own), its masks PyTorch's unless it
        is to draw its own."""
        options = self.options_in(dtype) if framework else self.passed(self.options_in(dtype))
        framework = framework or under_test()
        module = make_module(framework, self.row.torch, options, dtype or self.dtype)
        if offers(framework, "train"):
            framework.train(module, self.training)
        elif not self.training:
            raise Lacking("there is no evaluation mode")
        if inject and offers(framework, "inject_masks"):
            framework.inject_masks(module, self.mask)
        elif inject and self.rates:
            raise Lacking("there is no way to inject masks")
        for name, data in framework.parameters(module).items():
            data[...] = self.parameter(name, data.shape) if arrays is None else arrays[name]
        return module

    def twin(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None) -> Any:
        """PyTorch's module with the same parameters; every Dropout inside draws the mask that is injected into ours."""
        peer = make_module(pytorch, self.row.torch, self.options_in(dtype), dtype or self.dtype)
        if self.recorded is None:
            restart_masks(peer, self.seed)
        else:
            replay_masks(peer, self.recorded)
        return self.loaded(peer.train(self.training), arrays)

    def loaded(self, peer: Any, arrays: Mapping[str, Array] | None = None) -> Any:
        """PyTorch's module, its parameters as in ``arrays`` (else the case's own)."""
        with pytorch.no_grad():
            for name, p in peer.named_parameters():
                values = self.parameter(name, tuple(p.shape)) if arrays is None else arrays[name]
                p.copy_(pytorch.tensor(values))
        return peer

    def peer(self, dtype: Any, arrays: Mapping[str, Array] | None = None) -> Any:
        """As :meth:`twin`; one module serves all calls of a case, which differ in their numbers alone."""
        key = np.dtype(dtype)
        if key not in self._peers:
            peer = self.twin(dtype, arrays)
            self._peers[key] = peer, {name: x.clone() for name, x in peer.named_buffers()}
            return peer
        peer, buffers = self._peers[key]
        for name, x in peer.named_buffers() if buffers else ():  # as before the earlier call
            x.copy_(buffers[name])
        return self.loaded(peer, arrays)

    def referee(self, dtype: Any, arrays: Mapping[str, Array]) -> Any:
        """numpyml's module, whose wide answer is the reference; like :meth:`peer`, one for all calls of a case."""
        key = np.dtype(dtype)
        if key not in self._referees:
            self._referees[key] = self.make(dtype, arrays, numpyml)
            return self._referees[key]
        module = self._referees[key]
        for name, data in numpyml.parameters(module).items():
            data[...] = arrays[name]
        numpyml.zero_grad(module)
        return module

    def options_in(self, dtype: Any) -> Mapping[str, Any]:
        """The options; in another precision than the case's, with what that of the case decides."""
        return self.options if dtype is None or np.dtype(dtype) == self.dtype else self._settled

    def parameter(self, name: str, shape: tuple[int, ...]) -> Array:
        rng = np.random.default_rng([self.seed, *map(ord, name)])
        kind = "sparse" if self.seed % SPARSE == 1 else "ordinary"
        return single(VALUES[kind](rng, shape) * self.row.spread(shape))

    @cached_property
    def rates(self) -> list[float]:
        """The share that is dropped by each module inside that drops elements; in evaluation none does."""
        inside = make_module(pytorch, self.row.torch, self.options, self.dtype) if self.training else None
        return [rate_of(inner) for inner in pytorch.dropout_modules(inside)] if self.training else []

    def mask(self, position: int, p: float, shape: tuple[int, ...], dtype: Any) -> Array:
        """The mask of the module at this position of those that drop elements: PyTorch's, or what was recorded."""
        if self.recorded is None:
            return dropout_mask(self.seed, position, p, shape, dtype)
        return scaled_mask(self.recorded[position], p, dtype).reshape(shape)

    def replaying(self, masks: Sequence[Array]) -> ModuleCase:
        """This case with masks of the framework, one for each module that drops elements, in place of PyTorch's."""
        case = copy.copy(self)
        case.recorded, case._peers, case._referees = masks, {}, {}
        return case

    # What goes in

    def arrays(self, arrays: Mapping[str, Array]) -> list[Any]:
        """The inputs, in their memory layouts and read-only, nested as the module takes them."""
        flat = [laid_out(arrays.get(name, x.values), x.layout) for name, x in self.named_inputs.items()]
        arguments: list[Any] = nested.unflatten(self.nesting, flat)
        return arguments

    def aligned(self, gxs: Any) -> list[Any]:
        """The gradients of the inputs, one for each name; a loss has only that of its outputs."""
        if all(part is nested.LEAF for part in self.nesting):
            return list(gxs)
        single = len(self.nesting) == 1 and isinstance(gxs, tuple)  # the gradient of one input, which is nested
        return nested.flatten_as(self.nesting, [gxs] if single else list(gxs))

    @cached_property
    def numbers(self) -> dict[str, Input]:  # type: ignore[override]  # computed when it is first asked for
        """Every floating number that goes in, by name."""
        peer = self.peer(np.float64)
        numbers = {name: x for name, x in self.named_inputs.items() if x.floating}
        if not self.row.tied:
            numbers = {name: replace(x, kind="ordinary") for name, x in numbers.items()}
        numbers |= {name: Input(pytorch.array(p)) for name, p in peer.named_parameters()}
        ys = pytorch.call(peer, self.arrays({n: g.values for n, g in numbers.items()}), self.further(np.float64))
        outputs, structure = nested.flatten(ys)
        self._outputs = [tuple(y.shape) for y in outputs], structure
        for answer, y in _floating(ys).items():
            numbers[incoming_name(answer.index)] = self.incoming(tuple(y.shape), answer.index)
        return numbers

    def incoming(self, shape: Shape, i: int) -> Input:
        """The incoming gradient of an output."""
        return incoming(shape, self.seed, 7, i, layout=None if i else self.incoming_layout)

    def further(self, dtype: Any) -> dict[str, Any]:
        """The arguments by keyword: masks, read-only and in their memory layouts, and whatever is not an array."""
        return {
            name: laid_out(x.values.astype(dtype) if x.floating else x.values, x.layout) if isinstance(x, Input) else x
            for name, x in self.call.items()
        }

    @property
    def call_defaults(self) -> Mapping[str, Any]:
        """As ``defaults``, of the arguments by keyword; None is never passed."""
        if not self.row.call or not self.defaults:
            return {}
        known = defaults_of(pytorch.attribute(self.row.torch).forward)
        return {name: value for name, value in known.items() if value is not None}

    def gradients_of(self, arrays: Mapping[str, Array]) -> list[Any]:
        """The incoming gradients, nested as the outputs, in their memory layouts and read-only; zeros for an output of
        integers."""
        shapes, structure = self._outputs
        known = {name: laid_out(x, self.numbers[name].layout) for name, x in arrays.items() if name.startswith(GY)}
        flat = [known.get(incoming_name(i), np.zeros(shape)) for i, shape in enumerate(shapes)]
        outputs = structure if isinstance(structure, (tuple, list)) else [structure]
        gys: list[Any] = nested.unflatten([part for part in outputs if part is not None], flat)
        return gys

    # What comes out

    def drive(
        self, module: Any, xs: list[Any], gys: list[Any], driver: str = "explicit", framework: Any = None,
        backward: bool = True, further: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Outputs and gradients of the inputs, by one of a framework's drivers."""
        framework = framework or under_test()
        further = self.further(nested.leaves(gys)[0].dtype) if further is None else further
        with np.errstate(all="ignore"):
            if driver == "dynamic" and offers(framework, "dynamic"):
                ys, gxs = framework.dynamic(module, xs, *(gys if backward else ()), **further)
                gxs = gxs if backward else []
            else:
                ys = framework.forward(module, *xs, **further)
                gxs = framework.backward(module, *gys) if backward else []
        return ys, gxs

    def run(
        self, module: Any, arrays: Mapping[str, Array], driver: str, framework: Any, backward: bool = True,
        further: Mapping[str, Any] | None = None,
    ) -> dict[Answer, Array]:  # fmt: skip
        """The answers of a framework's module, by one of its drivers."""
        xs, gys = self.arrays(arrays), self.gradients_of(arrays)
        ys, gxs = self.drive(module, xs, gys, driver, framework, backward, further)
        inputs = zip(self.names, self.inputs, self.aligned(gxs) if gxs else [], strict=False)
        floating = {name: gx for name, x, gx in inputs if x.floating and gx is not None}
        gradients = {name: np.asarray(gx) for name, gx in floating.items() if self.row.differentiates(name)}
        after = framework.parameters(module) if self.row.written else {}
        ours = {answer: y for answer, y in answers(nested.leaves(ys), gradients).items() if y.dtype.kind == "f"}
        ours |= {written(name): np.array(after[name]) for name in self.row.written}
        if not backward:
            return ours
        return ours | {gradient(name): np.array(g) for name, g in framework.gradients(module).items()}

    def ours(self, arrays: Mapping[str, Array], driver: str = "explicit") -> dict[Answer, Array]:
        """The framework's answers."""
        dtype = dtype_of(arrays)
        further = self.passed(self.further(dtype), self.call_defaults)
        return self.run(self.make(dtype, arrays), arrays, driver, under_test(), further=further)

    def wide(self, arrays: Mapping[str, Array], driver: str, backward: bool) -> dict[Answer, Array]:
        """numpyml's answers, in the precision of the numbers that go in."""
        module = self.referee(dtype_of(arrays), arrays)
        return {name: np.array(y) for name, y in self.run(module, arrays, driver, numpyml, backward).items()}

    def torch(self, arrays: Mapping[str, Array], backward: bool = True) -> dict[Answer, Array]:
        """PyTorch's answers; where they are NaN for no reason that mathematics has, the limit instead."""
        theirs = self._torch(arrays, backward)
        logits = arrays.get(self.names[0], np.zeros(0))  # ids are no logits
        if divergences.reason(self.row.name, Limit) and np.isinf(logits).any():
            largest = 1e36 if logits.dtype == np.float32 else 1e300
            near = self._torch({**arrays, self.names[0]: np.clip(logits, -largest, largest)}, backward)
            for answer, value in near.items():
                limit = np.where(np.abs(value) > largest**0.9, np.copysign(np.inf, value), value)
                theirs[answer] = np.where(np.isnan(theirs[answer]), limit.astype(value.dtype), theirs[answer])
        return theirs

    def rounded(self, arrays: Mapping[str, Array], dtype: Any, seed: int, backward: bool = True) -> dict[Answer, Array]:
        """PyTorch's answers, every intermediate result rounded once more in a dtype."""
        from conformance.comparison.rounding import Rounded

        with Rounded(seed, dtype):
            return self._torch(arrays, backward)

    def _torch(self, arrays: Mapping[str, Array], backward: bool = True) -> dict[Answer, Array]:
        gys = [x for name, x in arrays.items() if name.startswith(GY)]  # a tensor is in C order, whatever the layout
        peer = self.peer(gys[0].dtype, arrays)
        inputs = [
            pytorch.tensor(arrays.get(name, x.values), requires_grad=self.row.differentiates(name))
            for name, x in self.named_inputs.items()
        ]
        ys = _floating(pytorch.call(peer, nested.unflatten(self.nesting, inputs), self.further(gys[0].dtype)))
        theirs = {answer: pytorch.array(y) for answer, y in ys.items()}
        theirs |= {written(name): pytorch.array(peer.get_parameter(name)) for name in self.row.written}
        if not backward:
            return theirs
        leaves = dict((*zip(self.names, inputs, strict=True), *peer.named_parameters()))
        leaves = {name: x for name, x in leaves.items() if x.requires_grad}
        gradients = pytorch.gradients(list(ys.values()), list(leaves.values()), gys)
        return theirs | {gradient(name): g for name, g in zip(leaves, gradients, strict=True)}

    def twice(self) -> Problem:
        """The gradients of m(x) + m(x), the one module standing twice in one graph."""
        once = self.problem()

        def ours(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            framework, gys = under_test(), self.gradients_of(arrays)
            module = self.make(None, arrays)
            further = self.further(dtype_of(arrays))
            gxs = self.aligned(framework.used_twice(module, self.arrays(arrays), *gys, **further))
            of_inputs = {gradient(name): gx for name, gx in zip(self.names, gxs, strict=True) if gx is not None}
            return of_inputs | {gradient(name): np.array(g) for name, g in framework.gradients(module).items()}

        def doubled(run: Callable[..., Mapping[Answer, Array]]) -> Callable[..., Mapping[Answer, Array]]:
            return lambda *inputs: {answer: x + x for answer, x in run(*inputs).items() if is_gradient(answer)}

        return Problem(once.inputs, ours, doubled(once.torch), doubled(once.wide), doubled(self.rounded), once.formula)

    def problem(self, driver: str = "dynamic", backward: bool = True) -> Problem:
        """The call, by one of the drivers; without ``backward`` by the explicit one, and only the framework under test
        computes gradients."""
        formula = self.row.reference
        own = "dynamic" if backward else "explicit"
        driver = driver if backward else own
        return Problem(
            self.numbers,
            lambda arrays: self.ours(arrays, driver),
            partial(self.torch, backward=backward),
            partial(self.referred, formula) if formula else partial(self.wide, driver=own, backward=backward),
            partial(self.rounded, backward=backward) if self.row.composed or self.row.container else None,
            formula.how if formula else "",
            self.row.signed,
        )

    def buffers(self) -> dict[str, Any]:
        """PyTorch's state that is no parameter, by name, without what is an option here."""
        buffers = pytorch.buffers(self.twin())
        return {name: x for name, x in buffers.items() if not divergences.reason(self.row.name, OptionNotState, name)}

    def buffer_history(self, names: Collection[str]) -> Problem:
        """These buffers after each of CALLS calls."""

        def history(call: Callable[[], Any], state: Callable[[], Mapping[str, Array]]) -> dict[Answer, Array]:
            states: dict[Answer, Array] = {}
            for number in range(1, CALLS + 1):
                with np.errstate(all="ignore"):
                    call()
                states |= {buffer(name, number): np.array(x) for name, x in state().items() if name in names}
            return states

        def ours(arrays: Mapping[str, Array], framework: Any = None) -> dict[Answer, Array]:
            dtype = dtype_of(arrays)
            module, inputs, further = self.make(dtype, arrays, framework), self.arrays(arrays), self.further(dtype)
            framework = framework or under_test()
            return history(lambda: framework.forward(module, *inputs, **further), lambda: framework.state_dict(module))

        def theirs(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            dtype = dtype_of(arrays)
            peer, inputs, further = self.twin(dtype, arrays), self.arrays(arrays), self.further(dtype)
            return history(lambda: pytorch.call(peer, inputs, further), lambda: pytorch.buffers(peer))

        return Problem(self.numbers, ours, theirs, lambda arrays: ours(arrays, numpyml))

    def referred(self, formula: ModuleReference, arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        """What an independent reference answers, which calls its answers by the words of :class:`Answer`."""
        inputs = {name: arrays.get(name, x.values) for name, x in self.named_inputs.items()}
        rest = {name: x for name, x in arrays.items() if name not in inputs}
        gy = rest.pop(GY)
        dropping = self.rates and all(self.rates)

        def mask(p: float, shape: tuple[int, ...]) -> Array:
            return self.mask(0, p, shape, np.longdouble)

        options = {**self._settled, **self.further(np.longdouble)}
        known = [output(), *map(written, self.row.written), *map(gradient, (*inputs, *rest))]
        named = formula(options, inputs, rest, gy, mask if dropping else None)
        return {answer: named[str(answer)] for answer in known if str(answer) in named}

    def coverage(self) -> Coverage:
        coverage = super().coverage()
        labels = [label for mode in offered().training for label in MODES.of(mode)]
        coverage.add("", Purpose(tuple(labels), MODES.of), self.training)
        self.add_incoming(coverage)
        if not self.large and not self.row.composed:
            coverage.promised.update(name + LEFT_OUT for name in self.call_defaults)
            missing = self.call_defaults.keys() - self.passed(self.call, self.call_defaults).keys()
            coverage.reached.update(name + LEFT_OUT for name in missing)
        return coverage

    def details(self) -> list[str]:
        call = [f"{name} = {value!r}" for name, value in self.call.items()]
        return [f"training = {self.training}", *super().details(), *call]


def _floating(ys: Any) -> dict[Answer, Any]:
    """PyTorch's outputs that are compared."""
    return {answer: y for answer, y in answers(nested.leaves(ys), {}).items() if y.is_floating_point()}


@st.composite
def module_cases(draw: Draw, row: ModuleRow) -> ModuleCase:
    """Options, inputs, precision and mode of a component."""
    options = {name: draw(strategy) for name, strategy in options_inside(row.options).items()}
    inputs = draw(inputs_of(row, options))
    call = draw(row.call(options, inputs)) if row.call else {}
    case = ModuleCase(row, options, inputs, draw(precisions()), draw(modes()), draw(seeds), call)
    case.incoming_layout = draw(incoming_layouts())
    return case


@st.composite
def large_cases(draw: Draw, row: ModuleRow) -> ModuleCase:
    """Cases with many elements, of the inputs or of the parameters."""
    large, dtype = draw(large_sizes(row.large))
    options = {name: draw(strategy) for name, strategy in options_inside(row.options).items()} | dict(large.options)
    with growing(large.growth * (4 / dtype.itemsize) ** 2):  # fewer in float64, whose formulas take long
        inputs = draw(inputs_of(row, options))
    assume(all(x.values.ndim and x.values.size for x in inputs))
    case = ModuleCase(row, options, inputs, dtype, draw(modes()), draw(seeds))
    case.large = large
    return case
