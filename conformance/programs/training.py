"""Whole programs: random models with control flow, a random loss, optimizer and batches, trained side by side.

A program is a small tree, written as source text in numpyml and in PyTorch, line by line. That text is run, together
with ``sidebyside.py``, which compares the two. So a failure prints a script that needs only numpy, torch and numpyml,
and shows both frameworks step by step.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance import contracts
from conformance.checks.registry import Profile, check
from conformance.comparison.histories import STEPWISE, TRAINING
from conformance.comparison.rule import K
from conformance.contracts.losses import CLASSES
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import pytorch
from conformance.programs.nodes import (
    FUNCTIONS,
    Activation,
    Block,
    Branch,
    Chain,
    Class,
    Dense,
    Function,
    Loop,
    Node,
    Own,
    Recurrent,
    Residual,
    Shared,
    Tied,
    same,
    written,
)
from conformance.results.census import SCRIPT, Note
from conformance.rows import ModuleRow, OptimizerRow
from conformance.strategies.arrays import seeds
from conformance.strategies.coverage import Coverage, Draw, Strategy
from conformance.twins.twin import torch_names, torch_optimizer
from numpyml.errors import NumpymlError

LOCKSTEP, FREE = 25, 100  # steps
BATCHES, TIMES = (8, 5, 3), (4, 3, 2)  # rows of each batch, and steps of each sequence

# The program

# Kinds of targets of a loss that takes outputs of shape (n, width): their source, and an example for (4, 3).
TARGETS = {
    "classes": ("rng.integers(0, {width}, len(x))", np.array([0, 2, 1, 1])),
    "values": ("rng.standard_normal((len(x), {width}))", np.linspace(-2, 2, 12).reshape(4, 3)),
    "probabilities": ("rng.integers(0, 2, (len(x), {width})).astype(float)", np.eye(4, 3)),
}


def targets_of(row: ModuleRow) -> str:
    """The first kind of targets that a loss accepts."""
    for kind, (_, example) in TARGETS.items():
        with contextlib.suppress(NumpymlError):
            row.ours().forward(np.zeros((4, 3)), example)
            return kind
    raise Misuse(f"whole programs have no targets for {row.name}; add a kind: conformance/programs/training.py")


def activations() -> list[Activation]:
    """The activations without required arguments that keep the shape."""
    nodes = []
    for row in contracts.groups()["activations"]:
        assert isinstance(row, ModuleRow)
        with contextlib.suppress(TypeError, NumpymlError):
            if row.ours().forward(np.ones((2, 3))).shape == (2, 3):
                nodes.append(Activation(row.name, row.torch))
    return nodes


@dataclass
class Program:
    """A model, a loss, an optimizer and data; a check sets how it is run."""

    features: int
    front: Recurrent | None
    body: tuple[Node, ...]
    loss: ModuleRow
    loss_options: Mapping[str, Any]
    optimizer: OptimizerRow
    optimizer_options: Mapping[str, Any]
    second_rate: float | None  # the learning rate of a second group: all parameters but the first
    driver: str
    seed: int
    check: str = "lockstep"
    dtype: str = "float64"

    @property
    def steps(self) -> int:
        return LOCKSTEP if self.check == "lockstep" else FREE

    @property
    def tree(self) -> tuple[Node, ...]:
        """The body as it is run.

        In a free float32 run only data decides branches: a computed value near a limit may fall on either side of it in
        the two frameworks, which then run different programs.
        """
        return tuple(map(_decided_by_data, self.body)) if (self.check, self.dtype) == ("free", "float32") else self.body

    def nodes(self) -> Iterator[Node]:
        """Every node of the tree."""
        for node in (*([self.front] if self.front else []), *self.body):
            yield from node.nodes()

    @property
    def kinds(self) -> set[str]:
        """The kinds of nodes and options that this program contains."""
        kinds = {self.loss.name, self.optimizer.name, self.driver, "groups" if self.second_rate else "one group"}
        if len(self.body) > 1:
            kinds.add("sequence")
        for node in self.nodes():
            kinds.add(type(node).__name__.lower())
            if isinstance(node, (Function, Activation)):
                kinds.add(node.name)
            elif isinstance(node, Loop):
                kinds.add(f"loop: {node.how}")
            elif isinstance(node, Branch):
                kinds.add(f"branch: {node.condition}")
            elif isinstance(node, Recurrent):
                kinds |= {node.cell, f"pool: {node.pool}"}
            elif isinstance(node, Dense) and node.frozen:
                kinds.add("frozen")
        return kinds

    def source(self) -> str:
        """The source text of the model, the loss, the optimizer, one step of each side, and the data."""
        weighted = any(isinstance(value, np.ndarray) for value in self.loss_options.values())
        kind = targets_of(self.loss)
        outputs = CLASSES if weighted or kind == "classes" else 2
        into = Class("Model", sequences=self.front is not None)
        lines, width = written([self.front] if self.front else [], into, self.features)
        more, width = written(self.tree, into, width)
        answer = into.dense(width, outputs)
        return "\n\n".join(
            [
                into.finish([*lines, *more, same(f"x = {answer}(x)")]),
                self._parts(),
                self._steps(),
                self._data(kind, outputs),
            ]
        )

    def _parts(self) -> str:
        """The functions ``ours`` and ``theirs``, each of which returns a model, a loss and an optimizer."""
        ours = [
            "net = OurModel(dtype)",
            f"rng = np.random.default_rng({self.seed})",
            "p, g = net.parameters(), net.gradients()",
            "for x in p:",
            "    x[...] = (rng.standard_normal(x.shape) / np.sqrt(x.shape[-1])).astype(np.float32)",
        ]
        theirs = ["net = TheirModel(dtype)", "p = list(net.parameters())"]
        our_parameters, their_parameters = "p, g", "p"
        if self.second_rate is not None:
            rate = self.second_rate
            ours += [
                'groups = [{"parameters": p[:1], "gradients": g[:1]}]',
                f'groups.append({{"parameters": p[1:], "gradients": g[1:], "learning_rate": {rate}}})',
            ]
            theirs.append(f'groups = [{{"params": p[:1]}}, {{"params": p[1:], "lr": {rate}}}]')
            our_parameters = their_parameters = "groups"
        optimizer, loss = self.optimizer, self.loss
        of_loss, of_optimizer = arguments(self.loss_options, "np.array({}, dtype)"), arguments(self.optimizer_options)
        ours += [
            f"optimizer = optimizers.{optimizer.name}({our_parameters}, {of_optimizer})",
            f"return net, losses.{loss.name}({of_loss}), optimizer",
        ]
        of_loss = arguments(torch_names(self.loss_options), "torch.tensor({}, dtype=dtype)")
        of_optimizer = arguments(torch_names(self.optimizer_options))
        theirs += [
            f"optimizer = torch.{optimizer.torch}({their_parameters}, {of_optimizer}, foreach=False)",
            f"return net, {loss.torch}({of_loss}), optimizer",
        ]
        bodies = (textwrap.indent("\n".join(lines), "    ") for lines in (ours, theirs))
        return "\n\n".join(
            f"def {name}(dtype):\n{body}\n" for name, body in zip(("ours", "theirs"), bodies, strict=True)
        )

    def _steps(self) -> str:
        """The functions ``our_step`` and ``their_step``."""
        ours = ("net.forward(x)", "loss.forward(y, t)", "", "net.backward(loss.backward(), input_gradient=False)")
        if self.driver == "dynamic":
            ours = ("net(Tensor(x))", "loss(y, t)", "", "value.backward()")
        theirs = ("net(x)", "loss(y, t)", "set_to_none=False", "value.backward()")
        return "\n\n".join(
            f"def {name}(net, loss, x, t):\n    y = {forward}\n    value = {value}\n"
            f"    net.zero_grad({option})\n    {backward}\n    return value, y\n"
            for name, (forward, value, option, backward) in (("our_step", ours), ("their_step", theirs))
        )

    def _data(self, kind: str, outputs: int) -> str:
        times = TIMES if self.front else [None] * len(BATCHES)
        shapes = [
            (n, self.features) if time is None else (n, time, self.features)
            for n, time in zip(BATCHES, times, strict=True)
        ]
        targets = TARGETS[kind][0].format(width=outputs)
        rounded = "" if kind == "classes" else ".astype(np.float32).astype(float)"
        return (
            "def batches():\n"
            f"    rng = np.random.default_rng({self.seed + 1})\n"
            "    data = []\n"
            f"    for shape in {shapes}:\n"
            "        x = rng.standard_normal(shape).astype(np.float32).astype(float)\n"
            f"        data.append((x, {targets}{rounded}))\n"
            "    return data\n"
        )

    def script(self) -> str:
        """The program and its comparison, as a script that runs on its own."""
        machinery = Path(__file__).with_name("sidebyside.py").read_text()
        imports = (
            "from conformance.comparison.histories import STEPWISE, TRAINING\n"
            "from conformance.comparison.rule import K\n"
        )
        assert imports in machinery
        body = machinery.replace(
            imports, f"STEPWISE, TRAINING, K = {STEPWISE}, {TRAINING}, {K}  # conformance/comparison\n"
        )
        head, marker, tail = body.partition("import numpy as np\nimport torch\n")
        names = (
            "from numpyml import Tensor\n"
            "from numpyml.nn import Module, Parameter, activations, layers, losses, model, optimizers\n"
        )
        program = f"\n# The program, in numpyml and in PyTorch\n\n{self.source()}\n\n# How the two are compared\n"
        last = (
            '\n\nif __name__ == "__main__":\n'
            f'    raise SystemExit(show(SimpleNamespace(**globals()), {self.check}, "{self.dtype}", {self.steps}))\n'
        )
        return head + marker + "from torch import nn\n\n" + names + program + tail + last

    def coverage(self) -> Coverage:
        """A program has no labels to reach."""
        return Coverage()

    def __repr__(self) -> str:
        return f"{SCRIPT}{self.script()}"


def arguments(options: Mapping[str, Any], array: str = "") -> str:
    """Options as keyword arguments in source text; ``array`` is the text of an array with these values."""
    values = {
        name: array.format(value.tolist()) if isinstance(value, np.ndarray) else repr(value)
        for name, value in options.items()
    }
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _decided_by_data(node: Node) -> Node:
    """The node, without decisions by computed values."""
    changes: dict[str, Any] = {}
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, tuple) and value and isinstance(value[0], Node):
            changes[part.name] = tuple(map(_decided_by_data, value))
    if isinstance(node, Branch) and node.condition == "value":
        changes["condition"] = "data"
    if isinstance(node, Loop) and node.how == "until":
        changes["how"] = "rows"
    return replace(node, **changes) if changes else node


# What is drawn

widths = st.integers(2, 6)
leaves = st.one_of(
    st.builds(Function, st.sampled_from(sorted(FUNCTIONS))),
    st.builds(Dense, widths, st.booleans(), st.sampled_from([False, False, True])),
    st.sampled_from(activations()),
    st.builds(Own),
    st.builds(Tied, widths),
    st.builds(Chain, st.lists(widths, min_size=1, max_size=3).map(tuple), st.booleans()),
)


def bodies(node: Strategy[Node], least: int = 1) -> Strategy[tuple[Node, ...]]:
    """A few nodes in sequence."""
    return st.lists(node, min_size=least, max_size=3).map(tuple)


def nested(node: Strategy[Node]) -> Strategy[Node]:
    """A node with others inside."""
    return st.one_of(
        st.builds(Residual, bodies(node)),
        st.builds(Shared, bodies(node)),
        st.builds(Loop, st.sampled_from(["number", "rows", "until"]), bodies(node)),
        st.builds(Branch, st.sampled_from(["shape", "data", "value"]), bodies(node), bodies(node, 0)),
        st.builds(Block, bodies(node)),
    )


trees = st.one_of(leaves, nested(leaves), nested(st.one_of(leaves, nested(leaves))))
fronts = st.none() | st.builds(
    Recurrent, widths, st.sampled_from(["plain", "gated"]), st.sampled_from(["last", "mean", "attention"])
)
rates = st.sampled_from([0.01, 1e-3, 0.1, 1.0])


@st.composite
def programs(draw: Draw) -> Program:
    """A random program."""
    front, body = draw(fronts), draw(st.lists(trees, max_size=3).map(tuple))
    loss = draw(st.sampled_from([row for row in contracts.module_rows() if row.loss]))
    loss_options = {name: draw(strategy) for name, strategy in loss.options.items()}
    if loss_options.get("reduction") == "none":
        loss_options["reduction"] = "mean"
    optimizer = draw(st.sampled_from(contracts.optimizer_rows()))
    options = draw(st.fixed_dictionaries({**optimizer.options, "learning_rate": rates}).filter(_accepted(optimizer)))
    if options.get("eps") == 0:  # 0 / 0 is NaN, and a gradient of 1e-18, all rounding, makes a whole step
        options["eps"] = 1e-8
    second = draw(st.none() | rates)
    driver = draw(st.sampled_from(["explicit", "dynamic"]))
    return Program(draw(widths), front, body, loss, loss_options, optimizer, options, second, driver, draw(seeds))


def _accepted(row: OptimizerRow) -> Callable[[Mapping[str, Any]], bool]:
    """Whether PyTorch accepts these options together."""

    def accepted(options: Mapping[str, Any]) -> bool:
        try:
            torch_optimizer(row, [{"params": [pytorch.tensor(np.ones(1), True)]}], options)
        except ValueError:
            return False
        return True

    return accepted


# The checks


@dataclass(frozen=True)
class Programs:
    """The row of whole programs: one component without options."""

    name: str = "programs"


def drawn(row: Programs, profile: Profile) -> Strategy[Program]:
    """The cases of the checks below."""
    return programs()


def _compared(case: Program, note: Note, check: str, dtype: str) -> None:
    """Run the script's text and check every comparison that it yields."""
    case.check, case.dtype = check, dtype
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(case.script(), "program.py", "exec"), names)
    curve: list[tuple[float, float]] = []
    for step, name, ours, theirs, bound in names[check](SimpleNamespace(**names), dtype, case.steps):
        apart = names["distance"](ours, theirs)
        if not apart <= bound:
            raise Mismatch(names["described"](step, name, ours, theirs, bound))
        note.record(np.size(ours), apart / bound if apart else 0.0)
        if name == "loss":
            curve.append((float(ours), float(theirs)))
    if curve:
        note.curve(f"{case.loss.name}, {case.optimizer.name}, {dtype}", *zip(*curve, strict=True))


@check(rows=Programs, cases=drawn, numpyml_only=True)
def lockstep_float64(case: Program, note: Note) -> None:
    """From the same numbers at every step: loss, outputs, gradients, parameters and state arrays, in float64."""
    _compared(case, note, "lockstep", "float64")


@check(rows=Programs, cases=drawn, numpyml_only=True, examples=20)
def lockstep_float32(case: Program, note: Note) -> None:
    """From the same numbers at every step: loss, outputs, gradients, parameters and state arrays, in float32."""
    _compared(case, note, "lockstep", "float32")


@check(rows=Programs, cases=drawn, numpyml_only=True, examples=8)
def training_float64(case: Program, note: Note) -> None:
    """Each side with its own gradients: the losses of 100 steps agree to 1e-10, as far as PyTorch's own do."""
    _compared(case, note, "free", "float64")


@check(rows=Programs, cases=drawn, numpyml_only=True, examples=6)
def training_float32(case: Program, note: Note) -> None:
    """In float32 the loss deviates from PyTorch's float64 curve by at most K times as much as PyTorch's float32."""
    _compared(case, note, "free", "float32")
