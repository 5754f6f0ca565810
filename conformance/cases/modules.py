"""One drawn example of a module's row, and the problem that the comparison rule is put to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance import divergences
from conformance.cases.common import DTYPES, GY, Case, answers, incoming_name
from conformance.comparison.answers import Answer, buffer, gradient, is_gradient, output, written
from conformance.comparison.rule import Input, Problem
from conformance.frameworks import NotOffered, make_module, numpyml, offers, pytorch, under_test
from conformance.records import Limit, OptionNotState
from conformance.references import ModuleReference
from conformance.rows import Large, ModuleRow
from conformance.strategies.arrays import VALUES, Shape, growing, grows, incoming, laid_out, seeds, single
from conformance.strategies.coverage import MODES, PRECISIONS, UNSAID, Coverage, Draw, Strategy, among, pick
from numpyml import nested
from numpyml.typing import Array


def dropout_mask(seed: int, position: int, p: float, shape: tuple[int, ...], dtype: Any) -> Array:
    """The mask that PyTorch's Dropout draws at this position in a model whose masks restart at a seed."""
    import torch

    pytorch.seed(seed % 2**31 + position)
    kind = torch.float64 if np.dtype(dtype).itemsize > 4 else torch.float32
    mask: Array = torch.nn.functional.dropout(torch.ones(shape, dtype=kind), p).numpy()
    if np.dtype(dtype).itemsize > 8:  # the scale with all its digits
        return np.where(mask != 0, np.divide(1, np.subtract(1, p, dtype=dtype), dtype=dtype), 0)
    return mask


def restart_masks(module: Any, seed: int) -> None:
    """Let every Dropout inside a PyTorch module draw the masks of :func:`dropout_mask`."""
    for position, inner in enumerate(pytorch.dropout_modules(module)):

        def restart(_: Any, inputs: tuple[Any, ...], seed: int = seed % 2**31 + position) -> tuple[Any, ...]:
            pytorch.seed(seed)
            return tuple(x.contiguous() for x in inputs)  # masks are drawn in the order in which numbers lie in memory

        inner.register_forward_pre_hook(restart)


SPARSE = 6  # in one case of so many, zeros are among the parameters
CALLS = 3  # after each of which buffers are compared


class ModuleCase(Case):
    """A component with drawn options, inputs, parameters and incoming gradient."""

    def __init__(
        self, row: ModuleRow, options: dict[str, Any], inputs: tuple[Input, ...], dtype: Any, training: bool, seed: int,
        call: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.row, self.options, self.call = row, options, call or {}
        self.inputs, self.nesting = nested.flatten(list(inputs))
        self.dtype, self.training, self.seed = np.dtype(dtype), training, seed
        self._settled = row.complete(options, self.dtype)  # for the same call in another precision
        self._peers: dict[np.dtype[Any], tuple[Any, dict[str, Array], dict[str, Any]]] = {}  # see peer
        self._referees: dict[np.dtype[Any], tuple[Any, dict[str, Array]]] = {}
        self.names = row.input_names(len(self.inputs))
        self.large: Large | None = None
        self._outputs: Any = nested.LEAF  # the structure of PyTorch's outputs

    # The component on either side

    def make(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None, framework: Any = None) -> Any:
        """The framework's module, its parameters as in ``arrays`` (else the case's own), its masks PyTorch's."""
        framework = framework or under_test()
        module = make_module(framework, self.row.torch, self.options_in(dtype), dtype or self.dtype)
        if offers(framework, "train"):
            framework.train(module, self.training)
        elif not self.training:
            raise NotOffered("there is no evaluation mode")
        if offers(framework, "inject_masks"):
            framework.inject_masks(module, lambda *which: dropout_mask(self.seed, *which))
        elif self._rates:
            raise NotOffered("there is no way to inject masks")
        for name, data in framework.parameters(module).items():
            data[...] = self.parameter(name, data.shape) if arrays is None else arrays[name]
        return module

    def twin(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None) -> Any:
        """PyTorch's module with the same parameters; every Dropout inside draws the mask that is injected into ours."""
        peer = make_module(pytorch, self.row.torch, self.options_in(dtype), dtype or self.dtype)
        restart_masks(peer, self.seed)
        return self.loaded(peer.train(self.training), arrays)

    def loaded(self, peer: Any, arrays: Mapping[str, Array] | None = None) -> Any:
        """PyTorch's module, its parameters as in ``arrays`` (else the case's own)."""
        import torch

        with torch.no_grad():
            for name, p in peer.named_parameters():
                values = self.parameter(name, tuple(p.shape)) if arrays is None else arrays[name]
                p.copy_(pytorch.tensor(values))
        return peer

    def peer(self, dtype: Any, arrays: Mapping[str, Array] | None = None) -> Any:
        """As :meth:`twin`; one module serves all calls of a case, which differ in their numbers alone."""
        if np.dtype(dtype) not in self._peers:
            peer = self.twin(dtype, arrays)
            views = {name: p.detach().numpy() for name, p in peer.named_parameters()}
            self._peers[np.dtype(dtype)] = peer, views, {name: x.clone() for name, x in peer.named_buffers()}
            return peer
        peer, views, buffers = self._peers[np.dtype(dtype)]
        for name, x in peer.named_buffers() if buffers else ():  # what an earlier call left there
            x.copy_(buffers[name])
        for name, view in views.items():
            view[...] = self.parameter(name, view.shape) if arrays is None else arrays[name]
        return peer

    def referee(self, dtype: Any, arrays: Mapping[str, Array]) -> Any:
        """numpyml's module, whose wide answer is the reference; like :meth:`peer`, one for all calls of a case."""
        if np.dtype(dtype) not in self._referees:
            module = self.make(dtype, arrays, numpyml)
            self._referees[np.dtype(dtype)] = module, numpyml.parameters(module)
            return module
        module, parameters = self._referees[np.dtype(dtype)]
        for name, data in parameters.items():
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
    def _rates(self) -> list[float]:
        """The share that is dropped by each module inside that drops elements; in evaluation none does."""
        inside = make_module(pytorch, self.row.torch, self.options, self.dtype) if self.training else None
        return [_rate(inner) for inner in pytorch.dropout_modules(inside)] if self.training else []

    # What goes in

    def arrays(self, arrays: Mapping[str, Array]) -> list[Any]:
        """The inputs, in their memory layouts and read-only, nested as the module takes them."""
        flat = [laid_out(arrays.get(name, x.values), x.layout) for name, x in zip(self.names, self.inputs, strict=True)]
        arguments: list[Any] = nested.unflatten(self.nesting, flat)
        return arguments

    def aligned(self, gxs: Any) -> list[Any]:
        """The gradients of the inputs, one for each name; a loss has only that of its outputs."""
        flat = all(part is nested.LEAF for part in self.nesting)
        return list(gxs) if flat else nested.flatten_as(self.nesting, list(gxs))

    @cached_property
    def numbers(self) -> dict[str, Input]:  # type: ignore[override]  # computed when it is first asked for
        """Every floating number that goes in, by name."""
        peer = self.peer(np.float64)
        numbers = {name: x for name, x in zip(self.names, self.inputs, strict=True) if x.floating}
        if not self.row.tied:
            numbers = {name: replace(x, kind="ordinary") for name, x in numbers.items()}
        numbers |= {name: Input(pytorch.array(p)) for name, p in peer.named_parameters()}
        ys = pytorch.call(peer, self.arrays({n: g.values for n, g in numbers.items()}), self.further(np.float64))
        self._outputs = nested.flatten(ys)[1]
        for answer, y in self.by_answer(ys).items():
            numbers[incoming_name(answer.index)] = self.incoming(tuple(y.shape), answer.index)
        return numbers

    def incoming(self, shape: Shape, i: int) -> Input:
        """The incoming gradient of an output."""
        return incoming(shape, self.seed, 7, i)

    def further(self, dtype: Any) -> dict[str, Any]:
        """What else the call is given: masks, read-only and in their memory layouts, and whatever is not an array."""
        return {
            name: laid_out(x.values.astype(dtype) if x.floating else x.values, x.layout) if isinstance(x, Input) else x
            for name, x in self.call.items()
        }

    def gradients_of(self, arrays: Mapping[str, Array]) -> list[Any]:
        """The incoming gradients, one for each output, nested as it is, in their memory layouts and read-only."""
        flat = super().gradients_of(arrays)
        outputs = self._outputs if isinstance(self._outputs, (tuple, list)) else [self._outputs]
        gys: list[Any] = nested.unflatten([part for part in outputs if part is not None], flat)
        return gys

    # What comes out

    def by_answer(self, ys: Any) -> dict[Answer, Any]:
        """The outputs that are compared."""
        return answers(nested.leaves(ys), {})

    def run(
        self, module: Any, arrays: Mapping[str, Array], driver: str, framework: Any, backward: bool = True
    ) -> dict[Answer, Array]:
        """The answers of a module of some framework's, by one of its drivers."""
        gys, further = self.gradients_of(arrays), self.further(arrays[GY].dtype)
        with np.errstate(all="ignore"):
            if driver == "dynamic" and offers(framework, "dynamic"):
                ys, gxs = framework.dynamic(module, self.arrays(arrays), *gys, **further)
            else:
                ys = framework.forward(module, *self.arrays(arrays), **further)
                gxs = framework.backward(module, *gys) if backward else []
        inputs = zip(self.names, self.inputs, self.aligned(gxs) if gxs else [], strict=False)
        floating = {name: gx for name, x, gx in inputs if x.floating and gx is not None}
        gradients = {name: np.asarray(gx) for name, gx in floating.items() if self.row.differentiates(name)}
        after = framework.parameters(module) if self.row.written else {}
        ours = answers(nested.leaves(ys), gradients) | {
            written(name): np.array(after[name]) for name in self.row.written
        }
        if not backward:
            return ours
        return ours | {gradient(name): np.array(g) for name, g in framework.gradients(module).items()}

    def ours(self, arrays: Mapping[str, Array], driver: str = "explicit") -> dict[Answer, Array]:
        """The framework's answers."""
        module = self.make(arrays[GY].dtype, arrays)
        return self.run(module, arrays, driver, under_test())

    def wide(self, arrays: Mapping[str, Array], driver: str, backward: bool) -> dict[Answer, Array]:
        """numpyml's answers, in the precision of the numbers that go in."""
        module = self.referee(arrays[GY].dtype, arrays)
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
            for name, x in zip(self.names, self.inputs, strict=True)
        ]
        ys = self.by_answer(pytorch.call(peer, nested.unflatten(self.nesting, inputs), self.further(gys[0].dtype)))
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
            further = self.further(arrays[GY].dtype)
            gxs = self.aligned(framework.used_twice(module, self.arrays(arrays), *gys, **further))
            of_inputs = {gradient(name): gx for name, gx in zip(self.names, gxs, strict=True) if gx is not None}
            return of_inputs | {gradient(name): np.array(g) for name, g in framework.gradients(module).items()}

        def doubled(run: Callable[..., Mapping[Answer, Array]]) -> Callable[..., Mapping[Answer, Array]]:
            return lambda *inputs: {answer: x + x for answer, x in run(*inputs).items() if is_gradient(answer)}

        return Problem(once.inputs, ours, doubled(once.torch), doubled(once.wide), doubled(self.rounded), once.formula)

    def problem(self, driver: str = "dynamic", backward: bool = True) -> Problem:
        """The call, by one of the drivers; without ``backward``, nobody but the framework computes gradients."""
        formula = self.row.reference
        own = "dynamic" if backward else "explicit"
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
        """PyTorch's state that is no parameter, by name, but for what is an option here."""
        buffers = pytorch.buffers(self.twin())
        return {name: x for name, x in buffers.items() if not divergences.reason(self.row.name, OptionNotState, name)}

    def remembered(self) -> Problem:
        """The buffers of floats after each of CALLS calls."""
        names = [name for name, x in self.buffers().items() if x.dtype.kind == "f"]

        def ours(arrays: Mapping[str, Array], framework: Any = None) -> dict[Answer, Array]:
            framework, dtype = framework or under_test(), arrays[GY].dtype
            module, further = self.make(dtype, arrays, framework), self.further(dtype)

            def step() -> Mapping[str, Array]:
                with np.errstate(all="ignore"):
                    framework.forward(module, *self.arrays(arrays), **further)
                state: Mapping[str, Array] = framework.state_dict(module)
                return state

            return history(step)

        def theirs(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            dtype = arrays[GY].dtype
            peer, further = self.twin(dtype, arrays), self.further(dtype)

            def step() -> Mapping[str, Array]:
                pytorch.call(peer, self.arrays(arrays), further)
                return pytorch.buffers(peer)

            return history(step)

        def history(step: Callable[[], Mapping[str, Array]]) -> dict[Answer, Array]:
            states: dict[Answer, Array] = {}
            for call in range(1, CALLS + 1):
                now = step()  # the state itself, which the next call changes
                states |= {buffer(name, call): np.array(now[name]) for name in names if name in now}
            return states

        return Problem(self.numbers, ours, theirs, lambda arrays: ours(arrays, numpyml))

    def referred(self, formula: ModuleReference, arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        """What an independent reference answers, which calls its answers by the words of :class:`Answer`."""
        inputs = {name: arrays.get(name, x.values) for name, x in zip(self.names, self.inputs, strict=True)}
        rest = {name: x for name, x in arrays.items() if name not in inputs}
        gy = rest.pop(GY)
        dropping = self._rates and all(self._rates)

        def mask(p: float, shape: tuple[int, ...]) -> Array:
            return dropout_mask(self.seed, 0, p, shape, np.longdouble)

        options = {**self._settled, **self.further(np.longdouble)}
        known = [output(), *map(written, self.row.written), *map(gradient, (*inputs, *rest))]
        named = formula(options, inputs, rest, gy, mask if dropping else None)
        return {answer: named[str(answer)] for answer in known if str(answer) in named}

    def coverage(self) -> Coverage:
        """What the strategies promise of this case, and what it reaches."""
        coverage = Coverage(self.large is not None)
        settled = self.large.options if self.large else {}
        coverage.options({name: s for name, s in self.row.options.items() if name not in settled}, self.options)
        if not self.large:
            for name, x in zip(self.names, self.inputs, strict=False):
                coverage.add(name, getattr(x, "purpose", UNSAID), (x, self.dtype))
            coverage.add("", PRECISIONS, self.dtype)
        coverage.add("", MODES, self.training)
        return coverage

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        lines = [f"{self.row.name}({options}), {self.dtype}, training={self.training}"]
        lines += [f"    {name} = {x!r}" for name, x in zip(self.names, self.inputs, strict=True)]
        lines += [f"    {name} = {value!r}" for name, value in self.call.items()]
        return "\n".join([*lines, f"    seed = {self.seed}"])


def _rate(peer: Any) -> float:
    """The share that a PyTorch module drops."""
    rate: float = next(getattr(peer, name) for name in ("p", "dropout_p", "dropout") if hasattr(peer, name))
    return rate


_INPUTS: dict[tuple[Any, ...], Strategy[tuple[Input, ...]]] = {}
MOST = 512  # strategies that are held


def _inputs(row: ModuleRow, options: dict[str, Any]) -> Strategy[tuple[Input, ...]]:
    """The row's strategy of inputs: to build a strategy takes Hypothesis longer than to draw from it."""
    key = (row.inputs, repr(options), grows())
    if key not in _INPUTS:
        if len(_INPUTS) >= MOST:
            _INPUTS.clear()
        _INPUTS[key] = row.inputs(options)
    return _INPUTS[key]


@st.composite
def module_cases(draw: Draw, row: ModuleRow) -> ModuleCase:
    """Options, inputs, precision and mode of a component."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    inputs = draw(_inputs(row, options))
    call = draw(row.call(options, inputs)) if row.call else {}
    return ModuleCase(row, options, inputs, draw(st.sampled_from(DTYPES)), draw(st.booleans()), draw(seeds), call)


@st.composite
def large_cases(draw: Draw, row: ModuleRow) -> ModuleCase:
    """Cases with many elements, of the inputs or of the parameters; in float32, whose reference is the quicker."""
    large = pick(draw, "large", among(*row.large))
    options = {name: draw(strategy) for name, strategy in row.options.items()} | dict(large.options)
    with growing(large.growth):
        inputs = draw(_inputs(row, options))
    assume(all(x.values.ndim and x.values.size for x in inputs))
    case = ModuleCase(row, options, inputs, np.float32, draw(st.booleans()), draw(seeds))
    case.large = large
    return case
