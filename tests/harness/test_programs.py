"""Random programs cover every kind of node, detect faults, and print a script that reproduces them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

from conformance import contracts, faults, runner
from conformance.contracts import optimizer_rows
from conformance.errors import Mismatch
from conformance.faults import Fault
from conformance.faults.answers import scaled
from conformance.faults.fault import partial_replaced
from conformance.programs import sidebyside
from conformance.programs.nodes import (
    FUNCTIONS,
    Block,
    Branch,
    Chain,
    Dense,
    Function,
    Loop,
    Node,
    Own,
    Recurrent,
    Residual,
    Shared,
    Tied,
)
from conformance.programs.training import (
    Program,
    activations,
    lockstep_float32,
    lockstep_float64,
    programs,
    targets_of,
    training_float32,
    training_float64,
)
from conformance.report.terminal import failure
from conformance.results.census import CURVES, Note
from numpyml.autograd.derivatives import TABLE
from numpyml.nn import layers, losses, optimizers

LOSSES = [row for row in contracts.module_rows() if row.loss]
CHECKS = [lockstep_float64, lockstep_float32, training_float64, training_float32]
EVERYTHING = {
    "sequence", "residual", "shared", "loop: number", "loop: rows", "loop: until", "branch: shape", "branch: data",
    "branch: value", "recurrent", "plain", "gated", "pool: last", "pool: mean", "pool: attention", "block", "chain",
    "tied", "own", "dense", "frozen", "explicit", "dynamic", "groups", "one group",
}  # fmt: skip


def program(*body: Node, front: Recurrent | None = None, **changes: Any) -> Program:
    loss = changes.pop("loss", LOSSES[0])
    options: dict[str, Any] = {"learning_rate": 0.01}
    chosen = {"driver": "dynamic", "second_rate": None, "optimizer": optimizer_rows()[-1], "optimizer_options": options}
    chosen |= {"loss": loss, "loss_options": {}, "features": 3, "seed": 1, **changes}
    return Program(front=front, body=body, **chosen)


def ran(case: Program, check: Any = lockstep_float64) -> Note:
    note = Note("programs", check.__name__)
    check(case, note)
    return note


def test_every_kind_is_reached() -> None:
    kinds: set[str] = set()

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=1000, database=None, deadline=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(programs())
    def draw(case: Program) -> None:
        kinds.update(case.kinds)

    draw()
    rows = {row.name for row in [*LOSSES, *optimizer_rows()]}
    assert (EVERYTHING | rows | set(FUNCTIONS) | {node.name for node in activations()}) - kinds == set()


def test_activations_and_targets_come_from_the_rows() -> None:
    assert {"ReLU", "Sigmoid", "Tanh", "SiLU", "GELU"} <= {node.name for node in activations()}
    kinds = {row.name: targets_of(row) for row in LOSSES}
    assert kinds["CrossEntropyWithLogits"] == "classes" and kinds["MeanSquaredError"] == "values"
    assert kinds["BinaryCrossEntropyWithLogits"] == "probabilities"


CELLS = [Recurrent(3, cell, pool) for cell in ("plain", "gated") for pool in ("last", "mean", "attention")]
TANH = Function("tanh")
NODES = [
    *map(Function, FUNCTIONS),
    *activations(),
    Dense(4, bias=False),
    Dense(4, frozen=True),
    Own(),
    Tied(4),
    Chain((4, 2), listed=True),
    Chain((4, 2), listed=False),
    Residual((Dense(5), TANH)),
    Shared((Dense(5), TANH)),
    *(Loop(how, (Dense(4), TANH)) for how in ("number", "rows", "until")),
    *(Branch(how, (Dense(4),), (TANH,)) for how in ("shape", "data", "value")),
    Block((Dense(4), Branch("data", (TANH,), ()))),
    *CELLS,
]


@pytest.mark.parametrize("node", NODES, ids=lambda node: re.sub(r"\W+", "_", repr(node))[:60])
@pytest.mark.parametrize("check", [lockstep_float64, lockstep_float32], ids=lambda check: check.__name__)
def test_every_node_computes_the_same_in_both_frameworks(node: Node, check: Any) -> None:
    recurrent = node if isinstance(node, Recurrent) else None
    case = program(*([] if recurrent else [node]), front=recurrent)
    note = ran(case, check)
    assert note.comparisons > 1000 and note.error <= 1
    texts = [re.search(rf"class {name}Model.*?\n\n\n", case.source(), re.DOTALL) for name in ("Our", "Their")]
    ours, theirs = (text.group().count("\n") for text in texts if text)
    assert theirs == ours + 1  # PyTorch's constructor calls that of its base


@pytest.mark.parametrize("loss", LOSSES, ids=lambda row: row.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_loss_trains_in_both_frameworks(loss: Any, check: Any) -> None:
    note = ran(program(Dense(4), TANH, loss=loss, driver="explicit", second_rate=0.1), check)
    (curve,) = note.curves
    assert len(curve.ours) == len(curve.torch) >= 25 and curve.ours[0] != curve.ours[-1]


def test_float32_program_branches_on_the_data() -> None:
    case = program(Residual((Branch("value", (TANH,), ()),)), Loop("until", (TANH,)))
    assert "x.mean() > 0.0" in case.source() and "break" in case.source()
    case.check, case.dtype = "free", "float32"
    assert "inputs[0, 0] > 0.0" in case.source() and "break" not in case.source() and ".mean() >" not in case.source()


def test_float32_run_differs_by_the_error_of_a_saturated_gradient() -> None:
    def strayed(nudge: Any) -> float:
        w = torch.nn.Parameter(torch.full((1,), 12.0, dtype=torch.float64))  # 1 − tanh² w has five digits
        optimizer = torch.optim.SGD([w], lr=1e10)
        side = SimpleNamespace(net=None, loss=None, optimizer=optimizer, named=[("w", w)], dtype=np.dtype(np.float64))

        def step(net: Any, loss: Any) -> Any:
            optimizer.zero_grad()
            y = torch.tanh(w).sum()
            y.backward()
            return w.detach()[0].clone(), y

        return float(sidebyside.curve(step, side, [()], 2, nudge)[-1])

    straight = strayed(None)
    assert abs(strayed(np.random.default_rng(0)) - straight) > 1e-8 * abs(straight)


def test_a_few_curves_are_kept_and_a_seed_repeats_itself() -> None:
    task = runner.Task("programs", "lockstep_float64")
    first, second = (runner.run(task, "quick", 3, 4) for _ in range(2))
    assert first == second and len(first.curves) == CURVES and not first.failure


def _late(right: Any) -> Any:
    """The tenth step is a different one."""

    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        right(self, p, g * (1 + 1e-6 * (run.step == 10)), state, scratch, run)

    return update


FAULTS = [
    Fault("gradient 1e-9 off", "", "", layers.Dense, "pullback", scaled(1 + 1e-9)),
    Fault("loss gradient 1e-9 off", "", "", losses.MeanSquaredError, "pullback", scaled(1 + 1e-9)),
    Fault("one step 1e-6 off", "", "", optimizers.Adam, "update", _late),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("check", [lockstep_float64, training_float64], ids=lambda check: check.__name__)
def test_small_faults_are_detected_in_float64(fault: Fault, check: Any) -> None:
    # Adam is invariant to the scale of the gradient
    case = program(Dense(4), TANH, driver="explicit", optimizer=optimizer_rows()[fault.owner is optimizers.Adam])
    ran(case, check)
    with fault.planted(), pytest.raises(Mismatch, match=r"step \d+, .*off by"):
        ran(case, check)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_wrong_derivative_is_detected(check: Any) -> None:
    wrong = partial_replaced(TABLE[np.tanh], "x", lambda right: lambda g, **of: right(g, **of) * g.dtype.type(1 + 1e-3))
    with wrong, pytest.raises(Mismatch):
        ran(program(Dense(4), TANH, optimizer=optimizer_rows()[0]), check)


def test_overwritten_gradient_of_a_shared_layer_is_detected() -> None:
    def forgetful(right: Any) -> Any:
        def accumulate(self: Any, gx: Any) -> None:
            self.grad[...] = gx

        return accumulate

    from numpyml.nn import Parameter

    with (
        Fault("overwritten", "", "", Parameter, "accumulate", forgetful).planted(),
        pytest.raises(Mismatch, match="bias"),
    ):
        ran(program(Shared((Dense(4),))))


START = """
import runpy, sys
from conformance.faults import named
if sys.argv[2] == "broken":
    with named("{fault}").planted():
        runpy.run_path(sys.argv[1], run_name="__main__")
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("fault", "check"),
    [("input gradient 1% off", "lockstep_float32"), ("bias correction a step ahead", "training_float64")],
)
def test_a_failure_is_one_script_that_shows_it(fault: str, check: str, tmp_path: Path) -> None:
    with faults.named(fault).planted():
        note = runner.run(runner.Task("programs", check), "quick", 1, 30)
    assert note.failure
    printed = failure(note)
    explanation, _, rest = printed.partition("Save this as program.py; python program.py\n\n")
    assert "numpyml" in explanation and "PyTorch" in explanation and "off by" in explanation
    script = rest.partition("\n    again:")[0] + "\n"
    assert "conformance import" not in script
    file = tmp_path / "program.py"
    file.write_text(script)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)

    right = run(str(file))
    assert right.returncode == 0, right.stderr
    assert "They agree" in right.stdout
    broken = run("-c", START.format(fault=fault), str(file), "broken")
    assert broken.returncode == 1, broken.stderr
    assert "They differ" in broken.stdout and explanation.split("\n")[1].strip() in broken.stdout
    assert re.search(r"step +loss in numpyml +loss in PyTorch\n +1 +\S+ +\S+", broken.stdout)


def test_a_failure_is_shrunk_to_a_small_program() -> None:
    task = runner.Task("programs", "lockstep_float64")
    with FAULTS[0].planted():
        note = runner.run(task, "quick", 1, 30)
    model = note.failure.partition("class OurModel")[2].partition("class TheirModel")[0]
    assert model.count("layers.") <= 3 and model.count("\n") <= 18, model
