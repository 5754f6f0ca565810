"""A drawn trajectory of an optimizer's row: options, groups, parameters, and the gradients of every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.cases.common import Case, precisions, refusal
from conformance.comparison.answers import Answer, state
from conformance.comparison.movement import DRAWS, ROUNDINGS
from conformance.comparison.rule import Input, Problem, arrays_of
from conformance.frameworks import numpyml, offers, pytorch, under_test
from conformance.rows import OptimizerRow
from conformance.strategies.arrays import LAYOUT_TESTS, Shape, laid_out, seeds, single
from conformance.strategies.coverage import REFUSED, Coverage, Draw, among, likely, mark, options_inside, pairs, pick
from conformance.twins.twin import torch_names, torch_optimizer
from numpyml.typing import Array

DECAY, PERIOD = 0.7, 7  # the learning rate is multiplied by DECAY every PERIOD steps
LARGE: list[Shape] = [(70_000,)]  # more than one block of the flat driver
SAMPLE = 64  # elements of a large parameter that are compared
SHAPES: list[list[Shape]] = [[(3,)], [(2, 3), (4,)], [(), (5,), (0, 3), (1, 2, 2)], [(4, 4)] * 3, LARGE]
ADJACENT = "adjacent"  # contiguous with the parameter before, where the framework allocates parameters so
LAYOUTS = (ADJACENT, "C", "fortran", "strided")
GRADIENTS = ("ordinary", "ordinary", "sparse", "zero", "huge", "small", "mixed")


class OptimizerCase(Case):
    """Options, groups, parameters and the gradients of every step.

    ``own`` are options of the last parameter alone, ``changed`` options that are set in one group between two steps;
    ``layouts`` are the memory layouts of parameters and of gradients.
    """

    row: OptimizerRow

    def __init__(
        self, row: OptimizerRow, options: Mapping[str, Any], own: Mapping[str, Any], shapes: list[Shape], kind: str,
        steps: int, dtype: Any, seed: int, changed: Mapping[str, Any] | None = None,
        layouts: tuple[str, str] = (ADJACENT, "C"),
    ) -> None:  # fmt: skip
        super().__init__(row, options, dtype, seed)
        self.own, self.shapes, self.kind, self.steps = own, shapes, kind, steps
        self.changed, self.layouts = changed or {}, layouts
        self.changing = offers(under_test(), "change_option")

    @cached_property
    def numbers(self) -> dict[str, Input]:  # type: ignore[override]  # computed when it is first asked for
        rng = np.random.default_rng(self.seed)
        numbers = {}
        for i, shape in enumerate(self.shapes):
            numbers[f"parameter {i}"] = Input(single(rng.standard_normal(shape)))
            g = np.asarray(rng.standard_normal((self.steps, *shape)))
            sizes = {
                "sparse": [0.0, 0.0, 1.0],
                "zero": [0.0],
                "huge": [1e12],
                "small": [1e-10],
                "mixed": [0.0, 1.0, 1e6, 1e-6],
            }
            scale = rng.choice(sizes.get(self.kind, [1.0]), g.shape)
            numbers[f"gradient {i}"] = Input(single(g * scale))
            numbers[f"roundings {i}"] = Input(np.zeros(g.shape), kind=ROUNDINGS)
        return numbers

    def groups(self, arrays: list[Any], key: str) -> list[dict[str, Any]]:
        """All parameters in one group; where ``own`` has options, the last parameter in a group of its own, and in
        every other case each of the others, too, with the options of the first."""
        if not self.own or len(arrays) < 2:
            return [{key: arrays}]
        others = [[x] for x in arrays[:-1]] if self.seed % 2 == 0 else [arrays[:-1]]
        return [*({key: group} for group in others), {key: arrays[-1:], **torch_names(self.own)}]

    @cached_property
    def refusals(self) -> list[ValueError | None]:
        """PyTorch's reasons to refuse the options, and those of the last group as options of the whole optimizer."""

        def optimizer(own: Mapping[str, Any]) -> Any:
            return torch_optimizer(self.row, [{"params": [pytorch.tensor(np.ones(1), True)]}], {**self.options, **own})

        return [refusal(partial(optimizer, own)) for own in ({}, self.own)]

    def one_step(self, options: Mapping[str, Any], own: Mapping[str, Any]) -> OptimizerCase:
        """A case of one step with these options, and two groups of one parameter each."""
        return OptimizerCase(self.row, options, own, [(2,), (3,)], "ordinary", 1, self.dtype, self.seed)

    @cached_property
    def group_options(self) -> list[dict[str, Any]]:
        """All options of each group before the first step."""
        others = self.groups(self.shapes, "params")[:-1]
        return [*({**self.options} for _ in others), {**self.options, **(self.own if others else {})}]

    @property
    def changing_options(self) -> dict[str, Any]:
        """The initial options of the group in which some change."""
        return self.group_options[self.seed % len(self.group_options)]

    def changes(self, step: int) -> list[tuple[int, str, Any]]:
        """What is set before this step: group, option, value. The groups' learning rates decay in turn; after a third
        of the steps ``changed`` is set in one group."""
        if not self.changing or not step:
            return []
        turn, groups = step // PERIOD, len(self.group_options)
        group = turn % groups
        rate = self.group_options[group]["learning_rate"] * DECAY ** (turn // groups + (group > 0))
        changes = [(group, "learning_rate", rate)] * (step % PERIOD == 0)
        if step == max(1, self.steps // 3):
            changes += [(self.seed % groups, name, value) for name, value in self.changed.items()]
        return [(group, *option) for group, name, value in changes for option in torch_names({name: value}).items()]

    def make(
        self, framework: Any, arrays: Mapping[str, Array] | None = None, brief: bool = True
    ) -> tuple[Any, list[Array], list[Array]]:
        """The framework's optimizer, its parameters, and its gradients, which are those of the first step. The numbers
        are as in ``arrays``, else the case's own; numpyml's arrays may be adjacent in memory. If it is to be brief, the
        options are as :meth:`passed`."""
        arrays = self.exact if arrays is None else arrays
        values = [arrays[f"parameter {i}"] for i in range(len(self.shapes))]
        if self.layouts[0] == ADJACENT and framework is numpyml:
            from numpyml.nn import Parameter

            self.owners = [Parameter(x, dtype=x.dtype) for x in values]
            parameters, gradients = [p.data for p in self.owners], [p.grad for p in self.owners]
        else:
            layout, other = (layout.replace(ADJACENT, "C") for layout in self.layouts)
            parameters = [_writeable(x, layout) for x in values]
            gradients = [_writeable(np.zeros_like(x), other) for x in values]
        for i, g in enumerate(gradients):
            g[...] = arrays[f"gradient {i}"][0]
        groups = self.groups(parameters, "params")
        for group in groups:
            group["grads"] = [gradients[i] for i, p in enumerate(parameters) if any(p is q for q in group["params"])]
        options = torch_names(self.passed(self.options) if brief else self.options)
        return framework.optimizer(self.row.torch, groups, options), parameters, gradients

    def ours(self, arrays: Mapping[str, Array], reload_at: int = -1) -> dict[Answer, Array]:
        """Every parameter and state array at every step."""
        return self._run(arrays, under_test(), reload_at)

    def wide(self, arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        return self._run(arrays, numpyml, brief=False)

    def _run(
        self, arrays: Mapping[str, Array], framework: Any, reload_at: int = -1, brief: bool = True
    ) -> dict[Answer, Array]:
        stepper, parameters, gradients = self.make(framework, arrays, brief)
        history: dict[Answer, list[Array]] = {}
        for step in range(self.steps):
            if step == reload_at:
                saved, before = framework.save(stepper), [np.array(p) for p in parameters]
                stepper, parameters, gradients = self.make(framework, arrays, brief)
                for p, old in zip(parameters, before, strict=True):
                    p[...] = old
                framework.restore(stepper, saved)
            for change in self.changes(step):
                framework.change_option(stepper, *change)
            for i, g in enumerate(gradients):
                g[...] = arrays[f"gradient {i}"][step]
            framework.step(stepper)
            states = framework.state(stepper)
            for i, p in enumerate(parameters):
                for name, x in {"parameter": p, **states[i]}.items():
                    history.setdefault(state(name, i), []).append(np.array(x))
        return {name: np.stack(xs) for name, xs in history.items()}

    def make_torch(self, arrays: Mapping[str, Array]) -> tuple[Any, list[Any]]:
        """PyTorch's optimizer and its parameters, with the gradients of the first step."""
        parameters = [pytorch.tensor(arrays[f"parameter {i}"], True) for i in range(len(self.shapes))]
        for i, p in enumerate(parameters):
            p.grad = pytorch.tensor(arrays[f"gradient {i}"][0])
        return torch_optimizer(self.row, self.groups(parameters, "params"), self.options), parameters

    def torch(self, arrays: Mapping[str, Array]) -> dict[Answer, Array]:
        stepper, parameters = self.make_torch(arrays)
        gradients = [pytorch.tensor(arrays[f"gradient {i}"]) for i in range(len(self.shapes))]
        roundings = [self.roundings(arrays[f"roundings {i}"]) for i in range(len(self.shapes))]
        history: dict[Answer, list[Array]] = {}
        for step in range(self.steps):
            for group, name, value in self.changes(step):
                stepper.param_groups[group][name] = value
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g[step].clone()
            stepper.step()
            for i, p in enumerate(parameters):
                states = {name: x for name, x in stepper.state[p].items() if name != "step" and x is not None}
                for shift, (name, x) in enumerate({"parameter": p, **states}.items()):
                    history.setdefault(state(name, i), []).append(pytorch.array(x))
                    if (factors := roundings[i]) is not None:  # a step takes in what the one before gave: that is moved
                        x.detach().mul_(factors(shift)[step])
        return {name: np.stack(xs) for name, xs in history.items()}

    def roundings(self, ways: Array) -> Callable[[int], Any] | None:
        """The factors that round the arrays of each step up or down, others for each of them; None where none moves."""
        if not ways.any():
            return None
        flat = ways.reshape(self.steps, -1)
        unit = float(np.finfo(self.dtype).eps)

        @cache
        def factors(shift: int) -> Any:
            return pytorch.tensor((1 + np.roll(flat, shift, 1) * unit).reshape(ways.shape))

        return factors

    def movement(self, arrays: Mapping[str, Array], straight: Mapping[Answer, Array]) -> dict[Answer, Array]:
        """How far PyTorch's trajectory moves when the results of every step are rounded up or down by one unit."""
        most = {name: np.zeros(x.shape) for name, x in straight.items()}
        for draw in range(DRAWS):
            rng = np.random.default_rng([self.seed, draw])
            steps = {name: x.shape for name, x in arrays.items() if name.startswith(ROUNDINGS)}
            ways = {name: 2.0 * rng.integers(0, 2, shape) - 1 for name, shape in steps.items()}
            for name, x in self.torch({**arrays, **ways}).items():
                np.maximum(most[name], np.abs(x - straight[name]), out=most[name])
        return most

    def problem(self) -> Problem:
        """The trajectory."""
        return Problem(self.numbers, self.ours, self.torch, self.wide)

    def sampled(self) -> Problem:
        """The trajectory; of a large parameter a sample of elements, the last among them. Updates are elementwise, so
        the references compute the sample alone, the framework under test everything."""
        if self.shapes != LARGE:
            return self.problem()
        last = LARGE[0][0] - 1
        indices = np.append(np.random.default_rng(self.seed).choice(last, SAMPLE - 1, replace=False), last)
        numbers = {name: replace(x, values=x.values[..., indices]) for name, x in self.numbers.items()}

        def ours(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            """The precision is that of the arrays; the values are the case's own, which are not moved here."""
            everything = arrays_of(self.problem(), arrays["parameter 0"].dtype)
            return {name: x[..., indices] for name, x in self.ours(everything).items()}

        return Problem(numbers, ours, self.torch, self.wide)

    def coverage(self) -> Coverage:
        coverage = super().coverage()
        groups = [self.options, {**self.options, **self.own}][: len(self.shapes)]  # the last array has its own
        for options in groups:
            coverage.add("", pairs(replace(self.row, options=options_inside(self.row.options))), options)
        if any(options[a] == v and options[b] == w for options in groups for (a, v), (b, w) in self.row.invalid_pairs):
            coverage.reached = {label for label in coverage.reached if label.endswith(REFUSED)}  # there was no step
        return coverage

    def details(self) -> list[str]:
        return [
            f"last group {dict(self.own)}, changed between steps {dict(self.changed)}",
            f"layouts of parameters and gradients {self.layouts}",
            f"shapes {self.shapes}, {self.steps} steps of {self.kind} gradients",
        ]


def _writeable(x: Array, layout: str) -> Array:
    y = laid_out(x, layout)
    y.flags.writeable = True
    return y


@st.composite
def optimizer_cases(draw: Draw, row: OptimizerRow, steps: int = 0) -> OptimizerCase:
    """All options combined, groups, changes between steps, memory layouts, gradients of every size."""
    options = {name: draw(strategy) for name, strategy in options_inside(row.options).items()}
    shapes = pick(draw, "shapes", among(*(SHAPES[:3] if steps else SHAPES)))
    count = steps or (3 if shapes == LARGE else draw(st.integers(1, 40)))
    kind = pick(draw, "gradients", among(*GRADIENTS))
    own = _others(draw, row, OWN, sorted(options), 3)
    changed = _others(draw, row, CHANGED, sorted(options.keys() - {"learning_rate"}), 1)
    layouts = draw(_layouts(PARAMETERS, LAYOUTS)), draw(_layouts(THEIR_GRADIENTS, LAYOUTS[1:]))
    dtype, seed = draw(precisions()), draw(seeds)
    case = OptimizerCase(row, options, own, shapes, kind, count, dtype, seed, changed, layouts)
    if not _allowed(row, {**case.changing_options, **changed}, changed):
        case.changed = {}
    mark(*_purposes(case))
    return case


OWN, CHANGED, PARAMETERS, THEIR_GRADIENTS = (
    "a group's own ",
    "changed between steps: ",
    "parameters: ",
    "their gradients: ",
)


def _others(draw: Draw, row: OptimizerRow, label: str, names: list[str], most: int) -> dict[str, Any]:
    """Other values for up to so many options."""
    chosen = draw(st.lists(st.sampled_from(likely(names, lambda name: [label + name])), max_size=most))
    strategies = options_inside(row.options)
    return {name: draw(strategies[name]) for name in chosen}


def _layouts(label: str, layouts: Sequence[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(likely(layouts, lambda layout: [label + layout]))


def _allowed(row: OptimizerRow, options: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether both sides accept the changed options together with the other options of the group."""
    together = any(all(options[name] == value for name, value in pair) for pair in row.invalid_pairs)
    return not together and not any(name in changed and changed[name] == value for name, value in row.initial_only)


def _purposes(case: OptimizerCase) -> tuple[list[str], list[str]]:
    """The labels of groups, changes and layouts, and those that the values of this case make visible."""
    names = sorted(case.options)
    promised = [OWN + name for name in names]
    promised += [CHANGED + name for name in names if case.changing and name != "learning_rate"]
    promised += [*(PARAMETERS + layout for layout in LAYOUTS), *(THEIR_GRADIENTS + layout for layout in LAYOUTS[1:])]
    reached = []
    if case.kind != "zero" and case.steps > 2:
        reached += [OWN + name for name in case.own if _visible(name, case.group_options[-1], case.options)]
        reached += [CHANGED + name for name in case.changed if _visible(name, case.changing_options, case.changed)]
    parameters, gradients = case.layouts
    if parameters == ADJACENT:
        return promised, [*reached, *[PARAMETERS + ADJACENT] * (len(case.shapes) > 1)]
    for label, layout in ((PARAMETERS, parameters), (THEIR_GRADIENTS, gradients)):
        if any(LAYOUT_TESTS[layout](laid_out(np.zeros(shape), layout)) for shape in case.shapes):
            reached.append(label + layout)
    return promised, reached


def _visible(name: str, group: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether a group differs from others in an option, and its parameters move."""
    return bool(group[name] != others[name] and group["learning_rate"])
