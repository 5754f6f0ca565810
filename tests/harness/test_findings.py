"""Every finding has a script that shows the error in PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import conformance.findings
from conformance import contracts, divergences, runner
from conformance.records import CAUSAL_HINT, Finding, Refused
from conformance.results import census, completeness
from numpyml.errors import ShapeError
from numpyml.nn import layers

FOLDER = Path(conformance.findings.__file__).parent
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "__init__.py")


def test_every_script_has_a_finding_and_every_finding_a_script() -> None:
    assert sorted({finding.script for _, finding in divergences.findings()}) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_shows_pytorch_off_by_more_than_eight_units_in_the_last_place(script: str) -> None:
    command = [sys.executable, str(FOLDER / script)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (pytorch, got), (true, expected) = (line.split() for line in printed)
    assert (pytorch, true) == ("PyTorch", "true")
    precision = 2.0**-52 if "float64" in (FOLDER / script).read_text() else 2.0**-23
    assert not abs(float(got) - float(expected)) <= 8 * precision * abs(float(expected))  # nor NaN


def test_finding_of_one_precision_applies_to_it_alone() -> None:
    for component, finding in divergences.findings():
        answer = finding.answers or "output"
        assert divergences.finding(component, answer, finding.precision or "float32")
        if finding.precision:
            assert ("float64" in (FOLDER / finding.script).read_text()) == (finding.precision == "float64")
    assert "rounds off the difference" in divergences.finding("arcsin", "gradient of x", "float32")
    assert divergences.finding("arcsin", "gradient of x", "float64") == ""
    assert "arcsin, gradient in float32: 1 - x²" in "\n".join(divergences.documented()[Finding.title])


def test_a_finding_that_is_not_on_record_comes_with_its_smallest_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "finding", lambda *which: "")
    note = runner.run(runner.Task("tanh", "function_gradients"), "quick")
    lines = completeness.unrecorded([note])
    start = "tanh-function_gradients: PyTorch exceeds the bound: gradient of x"
    assert not note.failure and lines and all(line.startswith(start) for line in lines)
    line = next(line for line in lines if line.startswith(f"{start} in float64"))
    assert "add a Finding" in line and "\n    tanh(x), float64\n        x = f(" in line
    assert line.endswith("again: python -m conformance --only tanh --profile quick")


def test_finding_about_a_group_option_applies_to_every_optimizer_only() -> None:
    grouped = {name for name in contracts.named() if divergences.reason(name, Refused, "option of a group")}
    assert grouped == {row.name for row in contracts.optimizer_rows()}


def test_causal_mask_of_another_shape_is_refused() -> None:
    """With is_causal PyTorch never reads the mask, so it does not check its shape; a documented difference."""
    peer = torch.nn.TransformerDecoderLayer(4, 1, 4, dropout=0.0, bias=False).eval()
    ours = layers.TransformerDecoderLayer(4, 1, 4, dropout=0.0, bias=False).eval()
    x, memory, mask = (
        np.zeros((5, 2, 4), np.float32),
        np.zeros((3, 2, 4), np.float32),
        np.triu(np.ones((3, 3), bool), 1),
    )
    tensors = [torch.from_numpy(array) for array in (x, memory, mask)]
    peer(*tensors[:2], memory_mask=tensors[2], memory_is_causal=True)
    with pytest.raises(ShapeError, match=r"expected attn_mask \(5, 3\)"):
        ours.forward(x, memory, memory_mask=mask, memory_is_causal=True)
    call = "input longer on the first axis"
    assert divergences.reason("TransformerDecoderLayer", Refused, call + CAUSAL_HINT)
    assert not divergences.reason("TransformerDecoderLayer", Refused, call)
