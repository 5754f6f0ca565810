"""Histories of calls reach every rule, and print a script that reproduces a difference."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from conformance.contracts import optimizer_rows
from conformance.errors import Mismatch
from conformance.faults import named
from conformance.programs.histories import DENSE, PARTS, History, Layer, histories, state_after_every_call
from conformance.programs.pair import Pair
from conformance.results.census import Note

CALLS = {name for name, member in vars(Pair).items() if inspect.isfunction(member)}


def history(*calls: Any, parts: tuple[Layer, ...] = (DENSE,), **changes: Any) -> History:
    """A history of a model with one layer, and SGD of all its parameters."""
    order, sgd = tuple(range(len(parts))), optimizer_rows()[0]
    groups = [{"indices": [0, 1]}]
    case = History(parts, order, False, sgd, {"learning_rate": 0.1}, groups, list(calls), 1, "float64")
    return replace(case, **changes)


def ran(case: History) -> Note:
    note = Note("histories", "state_after_every_call")
    state_after_every_call(case, note)
    return note


def test_every_call_is_drawn() -> None:
    drawn, own_forward, dtypes, parts = set[str](), set[bool](), set[str](), set[Layer]()

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=200, database=None, deadline=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(histories())
    def draw(case: History) -> None:
        drawn.update(name for name, *_ in case.calls)
        own_forward.add(case.own_forward)
        dtypes.add(case.dtype)
        parts.update(case.parts)

    draw()
    assert drawn == CALLS and own_forward == {False, True} and dtypes == {"float32", "float64"}
    assert parts == set(PARTS)


def test_layers_come_from_the_rows() -> None:
    texts = " ".join(part.ours for part in PARTS)
    assert all(name in texts for name in ("Dense", "LayerNorm", "RMSNorm", "ReLU", "Tanh", "GELU"))


@pytest.mark.parametrize("own_forward", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_history_agrees_and_counts_what_it_compared(own_forward: bool, dtype: str) -> None:
    calls = [("forward", "arrays", 3), ("backward", True), ("step",), ("save",), ("freeze", 0), ("step",), ("load", 0)]
    assert (
        ran(history(*calls, own_forward=own_forward, dtype=dtype)).comparisons > 8 * 40
    )  # weight, bias and their gradients, at the start and after every call


def test_a_fault_names_the_call_and_the_array() -> None:
    calls = [("forward", "arrays", 3), ("backward", True), ("freeze", 0), ("step",)]
    with named("the gradient of a frozen parameter is applied").planted(), pytest.raises(Mismatch) as raised:
        ran(history(*calls))
    assert "call 4, step: 0.weight[" in str(raised.value)


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_the_script_runs_on_its_own(tmp_path: Path, rate: float) -> None:
    calls = [("forward", "Tensors", 3), ("backward_on_tensors", 0), ("step",), ("copy",), ("step",)]
    script = history(*calls).script()
    assert "conformance." not in script.replace("conformance/", "")
    path = tmp_path / "program.py"
    path.write_text(script.replace("torch.optim.SGD(groups, lr=0.1", f"torch.optim.SGD(groups, lr={rate}"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == (rate != 0.1), done.stderr
    assert ("They differ." if rate != 0.1 else "They agree") in done.stdout
