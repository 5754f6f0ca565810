"""Random histories of calls of a model and its optimizer, in numpyml and in PyTorch, compared after every call.

The calls are the rules of a state machine, each with a precondition and arguments that Hypothesis draws. They are not
those of ``hypothesis.stateful``, which is a test and no strategy: a history that is drawn first and run afterwards is a
case like any other, seeded and shrunk by the runner, and printed as a script of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from conformance import contracts
from conformance.checks.registry import Profile, check
from conformance.comparison.histories import STEPWISE, TRAINING
from conformance.comparison.rule import K
from conformance.errors import Mismatch
from conformance.programs.training import _accepted as accepted
from conformance.programs.training import activations, arguments, rates
from conformance.results.census import SCRIPT, Note
from conformance.rows import ModuleRow, OptimizerRow
from conformance.strategies.arrays import seeds
from conformance.strategies.coverage import Coverage, Draw, Strategy
from conformance.twins.twin import torch_names
from numpyml.errors import NumpymlError

WIDTH = 4  # features of every layer
LEAST, MOST = 20, 40  # rules of a history; those that may not follow where they stand do nothing
MAXIMUM = 3  # of what is recorded, saved or copied at one time
Method = TypeVar("Method", bound=Callable[..., None])
Call = tuple[Any, ...]  # the method of Pair and its arguments


@dataclass(frozen=True)
class Layer:
    """A layer that keeps the shape (n, WIDTH), in source text of both frameworks, and its number of parameters."""

    ours: str
    theirs: str
    parameters: int = 0


def layers() -> list[Layer]:
    """All layers and activations of the rows that keep a shape (n, WIDTH), from their required arguments alone."""
    found = [Layer("OurDoubling()", "TheirDoubling()")]
    for row in contracts.groups()["layers"]:
        assert isinstance(row, ModuleRow)
        options = {"eps": 1e-5} if "eps" in row.options else {}  # RMSNorm's default depends on the precision
        for sizes in ((WIDTH,), (WIDTH, WIDTH)):
            with contextlib.suppress(TypeError, NumpymlError):
                module = row.ours(*sizes, **options, dtype=np.float32)
                if module.forward(np.ones((3, WIDTH))).shape == (3, WIDTH):
                    given = [*map(str, sizes), *(f"{name}={x}" for name, x in options.items()), "dtype=dtype"]
                    text = f"({', '.join(given)})"
                    found.append(Layer(f"layers.{row.name}{text}", f"{row.torch}{text}", len(module.parameters())))
                    break
    return found + [Layer(f"activations.{node.name}()", f"{node.torch}()") for node in activations()]


DENSE = Layer(f"layers.Dense({WIDTH}, {WIDTH}, dtype=dtype)", f"nn.Linear({WIDTH}, {WIDTH}, dtype=dtype)", 2)


MACHINERY = "sidebyside", "sides", "compared", "pair"  # the files that a script is made of
IMPORTS = """\
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from numpyml import Tensor, no_grad
from numpyml.errors import CallOrderError, NumpymlError
from numpyml.nn import Module, Parameter, activations, layers, model, optimizers
"""


@dataclass
class History:
    """A model, an optimizer and its first group, and the calls."""

    parts: tuple[Layer, ...]
    order: tuple[int, ...]  # of the parts in the forward: one may come twice
    own_forward: bool  # a model with a forward of its own, not a Sequential
    optimizer: OptimizerRow
    options: Mapping[str, Any]
    groups: list[dict[str, Any]]
    calls: list[Call]
    seed: int
    dtype: str

    def source(self) -> str:
        """The layers, the optimizer and the calls."""
        return "\n\n".join(
            [
                f"WIDTH, SEED, OWN_FORWARD = {WIDTH}, {self.seed}, {self.own_forward}\nGROUPS = {self.groups}",
                self._layers("our", [part.ours for part in self.parts]),
                self._layers("their", [part.theirs for part in self.parts]),
                _optimizer("our", f"optimizers.{self.optimizer.name}", arguments(self.options)),
                _optimizer(
                    "their", f"torch.{self.optimizer.torch}", arguments({**torch_names(self.options), "foreach": False})
                ),
                "HISTORY = [\n" + "".join(f"    {call},\n" for call in self.calls) + "]\n",
            ]
        )

    def _layers(self, prefix: str, texts: list[str]) -> str:
        made = "".join(f"    part{i} = {text}\n" for i, text in enumerate(texts))
        order = ", ".join(f"part{i}" for i in self.order)
        return f"def {prefix}_layers(dtype):\n{made}    return [{order}]\n"

    def script(self) -> str:
        """The history and its comparison, as a script that runs on its own."""
        texts = [Path(__file__).with_name(f"{name}.py").read_text() for name in MACHINERY]
        doc = texts[-1].partition("\nfrom __future__")[0]
        tools, sides, compared, pair = (_below_imports(text) for text in texts)
        return (
            f"{doc}\nfrom __future__ import annotations\n\n{IMPORTS}"
            f"\nSTEPWISE, TRAINING, K = {STEPWISE}, {TRAINING}, {K}  # conformance/comparison\n"
            f"\n# The program, in numpyml and in PyTorch, and the calls\n\n{self.source()}\n"
            f"\n# How arrays are compared\n\n{tools.partition('def show')[0]}\n"
            f"\n# How the two are driven\n\n{sides}\n\n{compared}\n\n{pair}"
            '\n\nif __name__ == "__main__":\n'
            f'    raise SystemExit(show(SimpleNamespace(**globals()), "{self.dtype}"))\n'
        )

    def coverage(self) -> Coverage:
        """A history has no labels to reach."""
        return Coverage()

    def __repr__(self) -> str:
        return f"{SCRIPT}{self.script()}"


def _optimizer(prefix: str, kind: str, options: str) -> str:
    return f"def {prefix}_optimizer(groups):\n    return {kind}(groups, {options})\n"


def _below_imports(text: str) -> str:
    """A file without its docstring and imports."""
    lines = text.splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if line.startswith(("from ", "import ")))
    if lines[last].rstrip().endswith("("):
        last += lines[last:].index(")\n")
    return "".join(lines[last + 1 :]).strip("\n") + "\n"


# What is drawn

indices = st.integers(0, 9)
flags = st.booleans()
drivers = st.sampled_from(["arrays", "Tensors"])
owners = st.sampled_from(["model", "optimizer"])
own_options = st.fixed_dictionaries({}, optional={"learning_rate": rates, "weight_decay": st.sampled_from([0.0, 0.1])})


@dataclass(frozen=True)
class Rule:
    """A method of the machine, when it may be called, and the strategies of its arguments."""

    call: Callable[..., None]
    when: Callable[[Any], Any]
    arguments: Mapping[str, Strategy[Any]]


RULES: list[Rule] = []  # a rule that is to come more often stands there more often


def rule(
    *, when: Callable[[Any], Any] = lambda self: True, often: int = 1, **arguments: Any
) -> Callable[[Method], Method]:
    """Register a method of the machine as a rule."""

    def register(call: Method) -> Method:
        RULES.extend([Rule(call, when, arguments)] * often)
        return call

    return register


class Machine:
    """The calls that may follow one another. A rule writes a call; the frameworks are not asked.

    A call on Tensors waits for its backward until parameters change: PyTorch refuses the backward then.
    """

    def __init__(self, parameters: int, modules: int, used: int) -> None:
        self.parameters, self.modules, self.grouped = parameters, modules, used
        self.calls: list[Call] = []
        self.pending = 0  # calls on Tensors
        self.record: bool | None = False  # whether a backward may follow a call on arrays; None: PyTorch refuses it
        self.slots: list[int] = []  # how many parameters were in groups when it was saved
        self.copies = 0

    def changed(self) -> None:
        """Parameters have changed: no backward may follow the calls before."""
        self.pending, self.record = 0, None if self.record is not False else False

    @rule(driver=drivers, rows=st.integers(1, 4), need=flags, often=2, when=lambda self: self.pending < MAXIMUM)
    def forward(self, driver: str, rows: int, need: bool) -> None:
        self.calls.append(("forward", driver, rows, True, need))
        if driver == "arrays":
            self.record = True
        else:
            self.pending += 1

    @rule(driver=drivers, rows=st.integers(1, 4), need=flags, often=2)
    def no_grad(self, driver: str, rows: int, need: bool) -> None:
        """A forward inside no_grad(): a backward is refused."""
        self.calls.append(("forward", driver, rows, False, need))
        if driver == "arrays":
            self.record = False
            self.calls.append(("backward_twice",))
        else:
            self.calls.append(("backward_on_tensors", -1))

    @rule(input_gradient=flags, again=flags, often=3)
    def backward(self, input_gradient: bool, again: bool) -> None:
        if not self.record:
            self.calls.append(("forward", "arrays", 3))
        self.calls.append(("backward", input_gradient))
        self.record = False
        if again:
            self.calls.append(("backward_twice",))

    @rule(when=lambda self: self.record is False)
    def backward_twice(self) -> None:
        self.calls.append(("backward_twice",))

    @rule(rows=st.tuples(st.integers(1, 4), st.integers(1, 4)), need=flags, together=flags, often=3)
    def two_forwards(self, rows: tuple[int, int], need: bool, together: bool) -> None:
        """Two calls on Tensors before one backward of both, or of either."""
        self.calls += [("forward", "Tensors", n, True, need) for n in rows]
        self.calls.append(("backward_together",) if together else ("backward_on_tensors", rows[0]))
        self.pending = 0 if together else self.pending + 1

    @rule(index=indices, often=4, when=lambda self: self.pending)
    def backward_on_tensors(self, index: int) -> None:
        self.calls.append(("backward_on_tensors", index))
        self.pending -= 1

    @rule(when=lambda self: self.pending > 1)
    def backward_together(self) -> None:
        self.calls.append(("backward_together",))
        self.pending = 0

    @rule(more=flags, often=2)
    def step(self, more: bool) -> None:
        self.calls += [("step",)] * (1 + more)
        self.changed()

    @rule(of=owners)
    def zero_grad(self, of: str) -> None:
        self.calls.append(("zero_grad", of))

    @rule(number=st.integers(1, 3), options=own_options, often=4, when=lambda self: self.grouped < self.parameters)
    def add_group(self, number: int, options: dict[str, Any]) -> None:
        end = min(self.grouped + number, self.parameters)
        self.calls.append(("add_group", {"indices": list(range(self.grouped, end)), **options}))
        self.grouped = end

    @rule(group=indices, rate=rates)
    def set_rate(self, group: int, rate: float) -> None:
        self.calls.append(("set_option", group, "learning_rate", rate))

    @rule(group=indices, decay=st.sampled_from([0.0, 0.1]))
    def set_decay(self, group: int, decay: float) -> None:
        self.calls.append(("set_option", group, "weight_decay", decay))

    @rule(why=st.sampled_from(["twice", "option", "unknown", "gradients"]))
    def refused_group(self, why: str) -> None:
        self.calls.append(("refused_group", why))

    @rule(index=indices, layer=flags, steps=st.integers(0, 2), of=owners, input_gradient=flags, often=2)
    def freeze(self, index: int, layer: bool, steps: int, of: str, input_gradient: bool) -> None:
        """Freeze, for so many steps of training; with 0 for good."""
        call = ("freeze_layer", index % self.modules) if layer else ("freeze", index % self.parameters)
        self.calls.append(call)
        if steps:
            training = ("forward", "arrays", 2), ("backward", input_gradient), ("step",)
            self.calls += [*training * steps, ("zero_grad", of), (*call, False), ("step",)]
            self.changed()

    @rule(index=indices, layer=flags)
    def thaw(self, index: int, layer: bool) -> None:
        call = ("freeze_layer", index % self.modules) if layer else ("freeze", index % self.parameters)
        self.calls.append((*call, False))
        self.changed()  # what was recorded had no gradient for it

    @rule(training=flags, layer=st.none() | indices, often=4)
    def mode(self, training: bool, layer: int | None) -> None:
        self.calls.append(("mode", training, layer if layer is None else layer % self.modules))

    @rule(often=2, when=lambda self: len(self.slots) < MAXIMUM)
    def save(self) -> None:
        self.calls.append(("save",))
        self.slots.append(self.grouped)

    @rule(index=indices, new=flags, spoil=flags, often=4, when=lambda self: self.slots)
    def load(self, index: int, new: bool, spoil: bool) -> None:
        index %= len(self.slots)
        self.calls.append(("load", index, new))
        self.grouped = self.slots[index] if new else self.grouped
        self.changed()
        self.record = False if new else self.record
        if spoil:
            self.calls.append(("spoil", index))
            del self.slots[index]

    @rule(why=st.sampled_from(["missing", "unknown", "shape"]))
    def refused_state(self, why: str) -> None:
        self.calls.append(("refused_state", why))

    @rule(why=st.sampled_from(["groups", "unknown", "shape", "option"]))
    def refused_optimizer_state(self, why: str) -> None:
        self.calls.append(("refused_optimizer_state", why))

    @rule(when=lambda self: self.copies < MAXIMUM)
    def copy(self) -> None:
        self.calls.append(("copy",))
        self.copies += 1
        self.pending, self.record = 0, False


PARTS = layers()
WEIGHTED = [part for part in PARTS if part.parameters or part.ours == "OurDoubling()"]
NOTHING = Rule(lambda self: None, lambda self: False, {})  # what a call that is not needed shrinks to


@st.composite
def one_call(draw: Draw) -> tuple[Rule, dict[str, Any]]:
    """A rule and its arguments."""
    chosen = draw(st.sampled_from([NOTHING, *RULES]))
    return chosen, {name: draw(strategy) for name, strategy in chosen.arguments.items()}


@st.composite
def histories(draw: Draw) -> History:
    """A random history."""
    parts = (DENSE, *draw(st.lists(st.sampled_from([*PARTS, *WEIGHTED]), max_size=3)))
    again = draw(st.lists(st.integers(0, len(parts) - 1), max_size=2))
    order = tuple(draw(st.permutations([*range(len(parts)), *again])))
    parameters = sum(part.parameters for part in parts)
    optimizer = draw(st.sampled_from(contracts.optimizer_rows()))
    options = draw(st.fixed_dictionaries({**optimizer.options, "learning_rate": rates}).filter(accepted(optimizer)))
    if options.get("eps") == 0:  # 0 / 0 is NaN
        options["eps"] = 1e-8
    first = draw(st.integers(max(1, parameters // 2), parameters))  # the others may follow in groups added late
    machine = Machine(parameters, len(order), first)
    for chosen, values in draw(st.lists(one_call(), min_size=LEAST, max_size=MOST)):
        if chosen.when(machine):
            chosen.call(machine, **values)
    groups: list[dict[str, Any]] = [{"indices": list(range(first))}]
    dtype = draw(st.sampled_from(["float64", "float32"]))
    return History(parts, order, draw(flags), optimizer, options, groups, machine.calls, draw(seeds), dtype)


# The check


@dataclass(frozen=True)
class Histories:
    """The row of histories: one component without options."""

    name: str = "histories"


def drawn(row: Histories, profile: Profile) -> Strategy[History]:
    """The cases of the check below."""
    return histories()


NAMES = (
    "from torch import nn\nimport torch\n"
    "from conformance.programs.sides import OurDoubling, TheirDoubling\n"
    "from numpyml.nn import activations, layers, optimizers\n"
)


@check(rows=Histories, cases=drawn, numpyml_only=True, examples=180)
def state_after_every_call(case: History, note: Note) -> None:
    """Model, optimizer and PyTorch's twin through a random history of calls: everything agrees after each of them."""
    from conformance.programs import pair  # here: it imports PyTorch, whose absence the command line reports
    from conformance.programs.compared import Different

    names: dict[str, Any] = {}
    exec(compile(NAMES + case.source(), "history.py", "exec"), names)
    try:
        ran = pair.drive(SimpleNamespace(**names), case.dtype)
    except Different as difference:
        raise Mismatch(str(difference)) from None
    note.record(ran.compared, ran.worst)
