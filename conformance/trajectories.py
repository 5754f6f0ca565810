"""The checks of optimizers: fed identical gradients, both sides are compared at every step of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.bound import DRAWS, ROUNDINGS, Array, Given, Problem, arrays_of, off_scale
from conformance.cases import DTYPES
from conformance.census import Note
from conformance.checks import needs
from conformance.divergences import stricter
from conformance.errors import Mismatch
from conformance.frameworks import numpyml, offers, pytorch, under_test
from conformance.reach import among, mark, pick
from conformance.rows import OptimizerRow
from conformance.strategies import Draw, Shape, seeds, single
from conformance.twin import torch_names, torch_optimizer

FALL = 0.7  # of the learning rate, each time it changes
SHAPES: list[list[Shape]] = [[(3,)], [(2, 3), (4,)], [(), (5,), (0, 3), (1, 2, 2)], [(4, 4)] * 3, [(40_000,)]]
GRADIENTS = ("ordinary", "ordinary", "sparse", "zero", "huge", "small", "mixed")


class OptimizerCase:
    """Options, groups, parameters and the gradients of every step."""

    def __init__(
        self, row: OptimizerRow, options: Mapping[str, Any], own: Mapping[str, Any], shapes: list[Shape], kind: str,
        steps: int, dtype: Any, seed: int,
    ) -> None:  # fmt: skip
        self.row, self.options, self.own, self.shapes, self.kind = row, options, own, shapes, kind
        self.steps, self.dtype, self.seed = steps, np.dtype(dtype), seed
        self.changing = offers(under_test(), "change_option")

    @cached_property
    def given(self) -> dict[str, Given]:
        rng = np.random.default_rng(self.seed)
        given = {}
        for i, shape in enumerate(self.shapes):
            given[f"parameter {i}"] = Given(single(rng.standard_normal(shape)))
            g = np.asarray(rng.standard_normal((self.steps, *shape)))
            sizes = {
                "sparse": [0.0, 0.0, 1.0],
                "zero": [0.0],
                "huge": [1e12],
                "small": [1e-10],
                "mixed": [0.0, 1.0, 1e6, 1e-6],
            }
            scale = rng.choice(sizes.get(self.kind, [1.0]), g.shape)
            given[f"gradient {i}"] = Given(single(g * scale))
            given[f"roundings {i}"] = Given(np.zeros(g.shape), kind=ROUNDINGS)
        return given

    def groups(self, arrays: list[Any], key: str) -> list[dict[str, Any]]:
        """All parameters in one group, or, where a second group has options of its own, the last in that."""
        if not self.own or len(arrays) < 2:
            return [{key: arrays}]
        return [{key: arrays[:-1]}, {key: arrays[-1:], **torch_names(self.own)}]

    def rates(self) -> list[dict[str, Any]]:
        """The learning rate that each group begins with."""
        return [{"lr": self.options["learning_rate"], **group} for group in self.groups(self.shapes, "params")]

    def new_rate(self, step: int) -> bool:
        """Whether the learning rate of the first group changes here, as it does now and then."""
        return self.changing and step > 0 and step % 7 == 0

    def make(self, arrays: Mapping[str, Array], framework: Any) -> tuple[Any, list[Array], list[Array]]:
        """The framework's optimizer, and the parameters and gradients it works on.

        numpyml's are neighbours in memory for even seeds: it runs through those in one pass.
        """
        values = [arrays[f"parameter {i}"] for i in range(len(self.shapes))]
        if self.seed % 2 or framework is not numpyml:
            parameters, gradients = [np.array(x) for x in values], [np.zeros_like(x) for x in values]
        else:
            from numpyml.nn import Parameter

            self.owners = [Parameter(x, dtype=x.dtype) for x in values]
            parameters, gradients = [p.data for p in self.owners], [p.grad for p in self.owners]
        groups = self.groups(parameters, "params")
        for group in groups:
            group["grads"] = [gradients[i] for i, p in enumerate(parameters) if any(p is q for q in group["params"])]
        return framework.optimizer(self.row.torch, groups, torch_names(self.options)), parameters, gradients

    def ours(self, arrays: Mapping[str, Array], reload_at: int = -1) -> dict[str, Array]:
        """Every parameter and state array at every step."""
        return self._run(arrays, under_test(), reload_at)

    def wide(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return self._run(arrays, numpyml)

    def _run(self, arrays: Mapping[str, Array], framework: Any, reload_at: int = -1) -> dict[str, Array]:
        stepper, parameters, gradients = self.make(arrays, framework)
        rates = [group["lr"] for group in self.rates()]
        history: dict[str, list[Array]] = {}
        for step in range(self.steps):
            if step == reload_at:
                saved, before = framework.save(stepper), [np.array(p) for p in parameters]
                stepper, parameters, gradients = self.make(arrays, framework)
                for p, old in zip(parameters, before, strict=True):
                    p[...] = old
                framework.restore(stepper, saved)
            if self.new_rate(step):
                rates[0] *= FALL
                framework.change_option(stepper, 0, "lr", rates[0])
            for i, g in enumerate(gradients):
                g[...] = arrays[f"gradient {i}"][step]
            framework.step(stepper)
            states = framework.state(stepper)
            for i, p in enumerate(parameters):
                for name, x in {"parameter": p, **states[i]}.items():
                    history.setdefault(f"{name} {i}", []).append(np.array(x))
        return {name: np.stack(xs) for name, xs in history.items()}

    def torch(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        parameters = [pytorch.tensor(arrays[f"parameter {i}"], True) for i in range(len(self.shapes))]
        stepper = torch_optimizer(self.row, self.groups(parameters, "params"), self.options)
        gradients = [pytorch.tensor(arrays[f"gradient {i}"]) for i in range(len(self.shapes))]
        history: dict[str, list[Array]] = {}
        for step in range(self.steps):
            if self.new_rate(step):
                stepper.param_groups[0]["lr"] *= FALL
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g[step].clone()
            stepper.step()
            for i, p in enumerate(parameters):
                state = {name: x for name, x in stepper.state[p].items() if name != "step" and x is not None}
                for place, (name, x) in enumerate({"parameter": p, **state}.items()):
                    history.setdefault(f"{name} {i}", []).append(pytorch.array(x))
                    self.rounded(x, np.roll(arrays[f"roundings {i}"][step], place))
        return {name: np.stack(xs) for name, xs in history.items()}

    def movement(self, arrays: Mapping[str, Array], straight: Mapping[str, Array]) -> dict[str, Array]:
        """How far PyTorch's trajectory moves when what every step gives is rounded up or down by a unit."""
        most = {name: np.zeros(x.shape) for name, x in straight.items()}
        for draw in range(DRAWS):
            rng = np.random.default_rng([self.seed, draw])
            steps = {name: x.shape for name, x in arrays.items() if name.startswith(ROUNDINGS)}
            ways = {name: 2.0 * rng.integers(0, 2, shape) - 1 for name, shape in steps.items()}
            for name, x in self.torch({**arrays, **ways}).items():
                np.maximum(most[name], np.abs(x - straight[name]), out=most[name])
        return most

    def rounded(self, x: Any, ways: Array) -> None:
        """A step takes in what the one before it gave: where the inputs are moved, that is moved, too."""
        if ways.any():
            x.detach().mul_(pytorch.tensor(1 + ways * float(np.finfo(self.dtype).eps)))

    def problem(self) -> Problem:
        """The trajectory."""
        return Problem(self.given, self.ours, self.torch, self.wide)

    def __repr__(self) -> str:
        return (
            f"{self.row.name}({dict(self.options)}), {self.dtype}, last group {dict(self.own)}\n"
            f"    shapes {self.shapes}, {self.steps} steps of {self.kind} gradients, seed = {self.seed}"
        )


@st.composite
def optimizer_cases(draw: Draw, row: OptimizerRow, steps: int = 0) -> OptimizerCase:
    """All options combined, groups, gradients of every size."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    shapes = pick(draw, "shapes", among(*(SHAPES[:3] if steps else SHAPES)))
    own = {name: draw(row.options[name]) for name in draw(st.lists(st.sampled_from(sorted(options)), max_size=2))}
    mark(["a group of its own"], ["a group of its own"] * bool(own and len(shapes) > 1))
    count = steps or (4 if shapes == SHAPES[-1] else draw(st.integers(1, 40)))
    kind = pick(draw, "gradients", among(*GRADIENTS))
    return OptimizerCase(row, options, own, shapes, kind, count, draw(st.sampled_from(DTYPES)), draw(seeds))


def accepted(case: OptimizerCase, note: Note) -> bool:
    """Whether PyTorch takes these options; where it refuses them, so must we."""
    arrays = arrays_of(case.problem(), np.dtype(np.float64))
    reasons = [_refusal(case, own) for own in ({}, case.own)]
    try:
        case.make(arrays, under_test())
    except getattr(under_test(), "REJECTIONS", ()) as refusal:
        # PyTorch looks at a group's options later or never; numpyml holds a group to what PyTorch asks of an optimizer.
        if not any(reasons):
            raise Mismatch(f"PyTorch accepts these options, they are refused: {refusal}") from refusal
        note.remarks.add(stricter(case.row.name, "option of a group"))
        note.record(1)
        return False
    if reasons[0]:
        raise Mismatch(f"PyTorch refuses these options ({reasons[0]}), they are accepted")
    return True


def _refusal(case: OptimizerCase, own: Mapping[str, Any]) -> Exception | None:
    """PyTorch's reason to refuse an optimizer of these options."""
    try:
        torch_optimizer(case.row, [{"params": [pytorch.tensor(np.ones(1), True)]}], {**case.options, **own})
    except ValueError as reason:
        return reason
    return None


@needs("optimizer", "step", "state")
def trajectory(case: OptimizerCase, note: Note) -> None:
    """Every parameter and every state array at every step: float64 within 1e-12 of its scale, or as far as roundings
    alone move PyTorch's; float32 by the rule, but large arrays in float64."""
    if not accepted(case, note):
        return
    problem = case.problem()
    if case.dtype == np.float32 and max(map(np.prod, case.shapes)) < 1000:
        note.judge(problem, case.dtype, case.seed)
        return
    arrays = arrays_of(problem, np.dtype(np.float64))
    ours, theirs = case.ours(arrays), case.torch(arrays)
    note.require(sorted(ours) == sorted(theirs), f"state arrays {sorted(ours)}, PyTorch has {sorted(theirs)}")
    moved: dict[str, Array] = {}
    for name, expected in theirs.items():
        verdict = off_scale(name, ours[name], expected)
        if verdict.failure:  # unless PyTorch's own trajectory moves as far when its roundings fall otherwise
            moved = moved or case.movement(arrays, theirs)
            verdict = off_scale(name, ours[name], expected, moved[name])
        if verdict.failure:
            raise Mismatch(verdict.failure)
        note.record(verdict.compared, verdict.error)
    if case.steps > 20 and case.kind != "zero":
        first = next((name for name, x in theirs.items() if x[0].size), "")
        if first:
            title = f"{case.row.name}, one number of {first}, {case.kind} gradients"
            note.curve(title, *(x[first].reshape(case.steps, -1)[:, 0] for x in (ours, theirs)))


@needs("optimizer", "step", "state")
def long_trajectory(case: OptimizerCase, note: Note) -> None:
    """The same in float64 over 1,000 steps, or 10,000 in the thorough profile."""
    case.dtype = np.dtype(np.float64)
    trajectory(case, note)


@needs("optimizer", "step", "state", "save", "restore")
def restart(case: OptimizerCase, note: Note) -> None:
    """Saved after half of the steps and loaded into a new optimizer, it goes on with the same bits."""
    if accepted(case, note):
        arrays = arrays_of(case.problem(), case.dtype)
        straight, resumed = case.ours(arrays), case.ours(arrays, case.steps // 2)
        for name, expected in straight.items():
            note.same(f"{name} after a restart", resumed[name], expected)


@needs("optimizer", "step", "state", "zero_gradients")
def gradients_zeroed(case: OptimizerCase, note: Note) -> None:
    """zero_grad fills the gradients with zeros; a step writes to no gradient."""
    if accepted(case, note):
        arrays = arrays_of(case.problem(), case.dtype)
        framework = under_test()
        stepper, _, gradients = case.make(arrays, framework)
        for i, g in enumerate(gradients):
            g[...] = arrays[f"gradient {i}"][0]
        framework.step(stepper)
        for i, g in enumerate(gradients):
            note.same(f"gradient {i} after a step", g, arrays[f"gradient {i}"][0])
        framework.zero_gradients(stepper)
        for i, g in enumerate(gradients):
            note.same(f"gradient {i} after zero_grad", g, np.zeros_like(g))


OPTIMIZER_CHECKS = [trajectory, long_trajectory, restart, gradients_zeroed]
