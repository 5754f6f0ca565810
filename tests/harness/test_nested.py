"""The checks of modules on a layer with nested inputs and outputs: ``y, (h, c) = cell(x, (h0, c0))``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cells import LSTMCell

from conformance import contracts, frameworks
from conformance.api import assert_conforms
from conformance.cases.modules import ModuleCase
from conformance.checks import modules as checks
from conformance.checks.refusals import invalid_inputs
from conformance.checks.registry import checks_of
from conformance.comparison.rule import Input
from conformance.errors import Mismatch, Misuse
from conformance.frameworks import counterparts
from conformance.frameworks import numpyml as adapter
from conformance.results.census import Note
from conformance.rows import CompositeRow
from numpyml.nn import Buffer, Module


class Step(torch.nn.LSTMCell):
    """PyTorch's cell with the output of a layer."""

    def forward(self, x: Any, state: Any) -> Any:
        h, c = super().forward(x, state)
        return h, (h, c)


ROW = CompositeRow(LSTMCell, "counterparts.Step", {}, lambda o: None)  # type: ignore[arg-type, return-value]
CHECKS = [check.run for check in checks_of(checks) if check.run is not checks.resolution]


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(counterparts, "Step", Step, raising=False)
    class_of = adapter.class_of
    monkeypatch.setattr(adapter, "class_of", lambda name: LSTMCell if name == ROW.torch else class_of(name))
    monkeypatch.setattr(contracts, "module_rows", lambda: [ROW])
    yield
    frameworks.use(None)


def case(dtype: Any = np.float32, training: bool = True, seed: int = 1) -> ModuleCase:
    rng = np.random.default_rng(seed)
    x, h, c = (Input(rng.standard_normal(shape).astype("f").astype(float)) for shape in ((4, 3), (4, 2), (4, 2)))
    inputs: Any = (x, (h, c))
    return ModuleCase(ROW, {"input_size": 3, "hidden_size": 2}, inputs, dtype, training, seed)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_check_of_modules_holds(check: Any, dtype: Any) -> None:
    note = Note("LSTMCell", check.__name__)
    for seed in range(3):
        check(case(dtype, seed=seed), note)


def test_every_output_and_input_is_compared() -> None:
    note = Note("LSTMCell", "output")
    checks.output(case(), note)
    assert note.comparisons == 3 * 8
    note = Note("LSTMCell", "input_gradients")
    checks.input_gradients(case(), note)
    assert note.comparisons == 12 + 8 + 8


def test_invalid_parts_of_a_nested_input_are_refused() -> None:
    invalid = dict(invalid_inputs(case(), case().arrays({})))
    assert len(invalid["input with an axis more"]) == 2 and isinstance(invalid["input with an axis more"][1], tuple)


FAULTS = {
    "c is not differentiated": lambda gys: (gys[0], (gys[1][0], 0 * gys[1][1])),
    "h and c exchanged": lambda gys: (gys[0], gys[1][::-1]),
}


X, H, C = (np.random.default_rng(2).standard_normal(shape) for shape in ((4, 3), (4, 2), (4, 2)))


def test_custom_layer_with_nested_inputs_and_outputs_conforms() -> None:
    conformity = assert_conforms(LSTMCell(3, 2), X, (H, C), twin=Step(3, 2))
    outputs, inputs, parameters = 3 * 8, 12 + 8 + 8, 8 * (3 + 2 + 1 + 1)
    assert conformity.comparisons == 4 * (outputs + inputs + parameters)  # two precisions, two drivers


COMPARISONS = {
    "check": lambda: checks.input_gradients(case(), Note("LSTMCell", "input_gradients")),
    "assert_conforms": lambda: assert_conforms(LSTMCell(3, 2), X, (H, C), twin=Step(3, 2)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_wrong_gradient_of_a_nested_output_is_detected(
    comparison: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = LSTMCell.pullback
    monkeypatch.setattr(
        LSTMCell, "pullback", lambda self, context, gys, needs: right(self, context, FAULTS[fault](gys), needs)
    )
    with pytest.raises(Mismatch, match="gradient of"):
        COMPARISONS[comparison]()


class Pair(Module):
    """A model of one nested input, an integer array among its nested outputs."""

    def forward(self, pair: Any) -> Any:
        a, b = pair
        return a * b, [np.argmax(a, axis=1), (a + b, None)]


def test_a_model_of_one_nested_input_conforms() -> None:
    def product(pair: Any) -> Any:
        a, b = pair
        return a * b, [torch.argmax(a, 1), (a + b, None)]

    for options in ({}, {"reference": product}):
        assert assert_conforms(Pair(), (H, C), **options).comparisons == 4 * 4 * 8 + 4  # the indices once


def test_a_list_of_numbers_is_an_array() -> None:
    assert assert_conforms(Shifted(), [[1.0, 2.0]], reference=lambda x: x * 1).comparisons


class Shifted(Module):
    """x minus a running mean, the mean a buffer."""

    def __init__(self, mean: Any = (0.0, 0.0)) -> None:
        self.mean = Buffer(np.asarray(mean))

    def compute(self, x: Any) -> Any:
        return x - self.mean.data, None

    def pullback(self, context: Any, gy: Any) -> Any:
        return gy.copy()


class TorchShifted(torch.nn.Module):
    def __init__(self, features: int = 2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("constant", torch.ones(()), persistent=False)  # which the module does not have

    def forward(self, x: Any) -> Any:
        return (x - self.mean) * self.constant


def test_the_reference_takes_the_values_of_the_buffers() -> None:
    assert_conforms(Shifted((1.5, -2.0)), H, twin=TorchShifted())
    with pytest.raises(Misuse, match="mean has shape"):
        assert_conforms(Shifted(), H, twin=TorchShifted(3))
    with pytest.raises(Misuse, match="mean is missing"):
        assert_conforms(Shifted(), H, twin=torch.nn.Identity())
