"""Whole programs: random models with control flow, a random loss, optimizer and batches, trained side by side.

A program is a small tree that is written out as source text twice, in numpyml and in PyTorch, line beside line. The
text is what runs: ``sidebyside.py``, which compares the two, is a part of it. So a failure prints one script that
needs numpy, torch and numpyml alone, and shows both frameworks step by step.
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
from conformance.twins.twin import torch_optimizer
from numpyml.errors import NumpymlError
from numpyml.names import PYTORCH_OPTIONS

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
    """The first kind of targets that a loss takes."""
    for kind, (_, example) in TARGETS.items():
        with contextlib.suppress(NumpymlError):
            row.ours().forward(np.zeros((4, 3)), example)
            return kind
    raise Misuse(f"whole programs have no targets for {row.name}; add a kind: conformance/programs/training.py")


def activations() -> list[Activation]:
    """The activations that need no argument and keep the shape."""
    nodes = []
    for row in contracts.groups()["activations"]:
        assert isinstance(row, ModuleRow)
        with contextlib.suppress(TypeError, NumpymlError):
            if row.ours().forward(np.ones((2, 3))).shape == (2, 3):
                nodes.append(Activation(row.name, row.torch))
    return nodes


@dataclass
class Program:
    """A model, a loss, an optimizer and data; and how it is run, which a check sets."""

    features: int
    front: Recurrent | None
    body: tuple[Node, ...]
    loss: ModuleRow
    loss_options: Mapping[str, Any]
    optimizer: OptimizerRow
    optimizer_options: Mapping[str, Any]
    second_rate: float | None  # the learning rate of all parameters but the first, in a group of their own
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

        Left to itself in float32, a run decides by the data alone: a computed value that is next to a limit falls on
        either side of it, and the two runs are two programs from there on.
        """
        return tuple(map(_decided_by_data, self.body)) if (self.check, self.dtype) == ("free", "float32") else self.body

    def nodes(self) -> Iterator[Node]:
        """Every node of the tree."""
        for node in (*([self.front] if self.front else []), *self.body):
            yield from node.nodes()

    @property
    def kinds(self) -> set[str]:
        """What this program is an example of."""
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
        """The model, the loss, the optimizer, one step of each side, and the data."""
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
        def call(i: int, options: Mapping[str, Any]) -> str:
            shown = []
            for name, value in options.items():
                text = repr(value)
                if isinstance(value, np.ndarray):
                    numbers = value.tolist()
                    text = (f"np.array({numbers}, dtype)", f"torch.tensor({numbers}, dtype=dtype)")[i]
                shown.append(f"{(name, PYTORCH_OPTIONS.get(name, name))[i]}={text}")
            return ", ".join(shown)

        losses = (f"losses.{self.loss.name}", self.loss.torch)
        optimizers = (f"optimizers.{self.optimizer.name}", f"torch.{self.optimizer.torch}")
        texts = []
        for i, (function, name) in enumerate((("ours", "OurModel"), ("theirs", "TheirModel"))):
            lines = [f"net = {name}(dtype)"]
            if not i:
                lines += [
                    f"rng = np.random.default_rng({self.seed})",
                    "for p in net.parameters():",
                    "    p[...] = (rng.standard_normal(p.shape) / np.sqrt(p.shape[-1])).astype(np.float32)",
                ]
            groups = ("net.parameters(), net.gradients()", "net.parameters()")[i]
            if self.second_rate is not None:
                groups = "groups"
                rate = (f'"learning_rate": {self.second_rate}', f'"lr": {self.second_rate}')[i]
                lines += (
                    [
                        "p, g = net.parameters(), net.gradients()",
                        'groups = [{"parameters": p[:1], "gradients": g[:1]}]',
                        f'groups.append({{"parameters": p[1:], "gradients": g[1:], {rate}}})',
                    ],
                    ["p = list(net.parameters())", f'groups = [{{"params": p[:1]}}, {{"params": p[1:], {rate}}}]'],
                )[i]
            options = call(i, self.optimizer_options) + (", foreach=False" if i else "")
            lines += [
                f"optimizer = {optimizers[i]}({groups}, {options})",
                f"return net, {losses[i]}({call(i, self.loss_options)}), optimizer",
            ]
            texts.append(f"def {function}(dtype):\n" + textwrap.indent("\n".join(lines), "    ") + "\n")
        return "\n\n".join(texts)

    def _steps(self) -> str:
        forward, back = "net.forward(x)", "net.backward(loss.backward(), input_gradient=False)"
        value = "loss.forward(y, t)"
        if self.driver == "dynamic":
            forward, back, value = "net(Tensor(x))", "value.backward()", "loss(y, t)"
        step = (
            "def {}(net, loss, x, t):\n    y = {}\n    value = {}\n    net.zero_grad({})\n    {}\n    return value, y\n"
        )
        ours = step.format("our_step", forward, value, "", back)
        return f"{ours}\n\n" + step.format(
            "their_step", "net(x)", "loss(y, t)", "set_to_none=False", "value.backward()"
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
        """Everything, as one file that runs on its own."""
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
        """A program promises nothing of its own."""
        return Coverage()

    def __repr__(self) -> str:
        return f"{SCRIPT}{self.script()}"


def _decided_by_data(node: Node) -> Node:
    """The node, where no computed value decides anything."""
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
    """A few nodes in turn."""
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
    if options.get("eps") == 0:  # over 0 a gradient of 0 is NaN, and one of 1e-18, all rounding, a whole step
        options["eps"] = 1e-8
    second = draw(st.none() | rates)
    driver = draw(st.sampled_from(["explicit", "dynamic"]))
    return Program(draw(widths), front, body, loss, loss_options, optimizer, options, second, driver, draw(seeds))


def _accepted(row: OptimizerRow) -> Callable[[Mapping[str, Any]], bool]:
    """Whether PyTorch takes these options together."""

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
    """The row of whole programs: one component, which has no options of its own."""

    name: str = "programs"


def drawn(row: Programs, profile: Profile) -> Strategy[Program]:
    return programs()


def _compared(case: Program, note: Note, check: str, dtype: str) -> None:
    """Run the script's own text, and hold every array it gives to what it allows."""
    case.check, case.dtype = check, dtype
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(case.script(), "program.py", "exec"), names)
    curve: list[tuple[float, float]] = []
    for step, name, ours, theirs, room in names[check](SimpleNamespace(**names), dtype, case.steps):
        apart = names["distance"](ours, theirs)
        if not apart <= room:
            raise Mismatch(names["described"](step, name, ours, theirs, room))
        note.record(np.size(ours), apart / room if apart else 0.0)
        if name == "loss":
            curve.append((float(ours), float(theirs)))
    if curve:
        note.curve(f"{case.loss.name}, {case.optimizer.name}, {dtype}", *zip(*curve, strict=True))


@check(rows=Programs, cases=drawn, numpyml_only=True)
def lockstep_float64(case: Program, note: Note) -> None:
    """From the same numbers at every step: loss, outputs, every gradient, parameter and state array, in float64."""
    _compared(case, note, "lockstep", "float64")


@check(rows=Programs, cases=drawn, numpyml_only=True, examples=20)
def lockstep_float32(case: Program, note: Note) -> None:
    """From the same numbers at every step: loss, outputs, every gradient, parameter and state array, in float32."""
    _compared(case, note, "lockstep", "float32")


@check(rows=Programs, cases=drawn, numpyml_only=True, examples=8)
def training_float64(case: Program, note: Note) -> None:
    """Each side on its own gradients: every loss of 100 steps agrees to 1e-10, as far as PyTorch's own does."""
    _compared(case, note, "free", "float64")


@check(rows=Programs, cases=drawn, numpyml_only=True, examples=6)
def training_float32(case: Program, note: Note) -> None:
    """In float32 the loss strays from PyTorch's float64 curve no further than K times what PyTorch's float32 does."""
    _compared(case, note, "free", "float32")
