"""Buffers are compared by name after every call, here for a layer with correct and incorrect running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import conformance
from conformance import frameworks
from conformance.cases.modules import ModuleCase
from conformance.checks.modules import buffers, copies, state_dict
from conformance.comparison.rule import Input
from conformance.errors import Mismatch
from conformance.frameworks import numpyml as adapter
from conformance.results.census import Note
from conformance.rows import ModuleRow
from numpyml import Tensor
from numpyml.nn import Buffer, Module, Parameter, layers, model


class BatchNorm1d(Module):
    """Batch normalization without its gradient; ``fault`` is the error in its statistics."""

    fault = ""

    def __init__(self, num_features: int, dtype: Any = None) -> None:
        self.num_features, self.dtype = num_features, dtype
        self.weight, self.bias = (
            Parameter(np.ones(num_features), dtype=dtype),
            Parameter(np.zeros(num_features), dtype=dtype),
        )
        self.running_mean = Buffer(np.zeros(num_features), dtype=dtype)
        self.running_var = None if self.fault == "no running_var" else Buffer(np.ones(num_features), dtype=dtype)
        self.num_batches_tracked = None if self.fault == "no num_batches_tracked" else Buffer(0)

    def compute(self, x: Any) -> tuple[Any, Any]:
        if self.training or self.fault == "moves in evaluation":
            n = len(x) if self.fault == "biased variance" else len(x) - 1
            share = x.dtype.type(0.2 if self.fault == "momentum" else 0.1) if x.itemsize < 16 else np.longdouble("0.1")
            values = (self.running_mean, x.mean(0)), (self.running_var, np.square(x - x.mean(0)).sum(0) / n)
            for statistic, value in values:
                if statistic is not None:
                    statistic.data[...] = (1 - share) * statistic.data + share * value
            if self.num_batches_tracked is not None and self.fault != "never counts":
                self.num_batches_tracked.data += 1
        return x.copy(), None

    def pullback(self, context: Any, gy: Any, needs_input_grad: Any) -> Any:
        return gy.copy()


ROW = ModuleRow(BatchNorm1d, "nn.BatchNorm1d", {}, lambda o: None)  # type: ignore[arg-type, return-value]
X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32).astype(float) + 1


class Faulty(BatchNorm1d):
    """The layer under test; the reference in extended precision has no fault."""


@pytest.fixture
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What is wrong with the layer under test."""
    monkeypatch.setattr(Faulty, "fault", request.param)
    monkeypatch.setattr(adapter, "class_of", lambda component: BatchNorm1d)
    changed = {"NAME": "numpyml with a fault", "make": lambda component, options, dtype: Faulty(dtype=dtype, **options)}
    frameworks.use(SimpleNamespace(**{**vars(adapter), **changed}))
    yield request.param
    frameworks.use(None)


def ran(check: Any, dtype: Any, training: bool = True) -> Note:
    note = Note("BatchNorm1d", check.__name__)
    check(ModuleCase(ROW, {"num_features": 3}, (Input(X),), dtype, training, 1), note)
    return note


@pytest.mark.parametrize("fault", [""], indirect=True)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_correct_buffers_pass(fault: str, dtype: Any, training: bool) -> None:
    assert ran(buffers, dtype, training).comparisons == 3 * (3 + 3) + 3  # means and variances, and a count
    assert ran(state_dict, dtype, training).comparisons
    assert ran(copies, dtype, training).comparisons


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("momentum", r"running_mean, call 1\[0\]"),
        ("biased variance", r"running_var, call 1\[0\]"),
        ("no running_var", "running_var, call 1: there is none"),
        ("never counts", "num_batches_tracked, call 1"),
        ("no num_batches_tracked", "num_batches_tracked, call 1: there is none"),
    ],
    indirect=["fault"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wrong_buffers_are_detected(fault: str, message: str, dtype: Any) -> None:
    with pytest.raises(Mismatch, match=message):
        ran(buffers, dtype)


@pytest.mark.parametrize("fault", ["moves in evaluation"], indirect=True)
def test_buffer_changed_in_evaluation_is_detected(fault: str) -> None:
    with pytest.raises(Mismatch, match="running_mean, call 1"):
        ran(buffers, np.float32, training=False)


# Of a user's own model


class Centred(Module):
    """Subtracts the running mean of its inputs."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.mean, self.count = Buffer(np.full(features, 0.5)), Buffer(0)
        self.inner = layers.Dense(features, features)

    def forward(self, x: Any) -> Any:
        if self.training:
            self.mean.data[...] = 0.75 * self.mean.data + 0.25 * x.data.mean(axis=0)
            self.count.data += 1
        return self.inner(x - self.mean)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_with_buffers_conforms_and_keeps_them(training: bool) -> None:
    net = model.Sequential(Centred(3), Centred(3)).train(training)
    before = net.state_dict()
    assert conformance.assert_conforms(net, X).comparisons
    assert all(np.array_equal(x, before[name]) for name, x in net.state_dict().items())


def test_the_twin_has_the_buffers() -> None:
    net = model.Sequential(Centred(3), Centred(3))
    net[1].mean = net[0].mean  # shared
    net[0].count.data[...] = 7
    twin = conformance.twin(net, np.float64)
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin[0].mean.dtype == torch.float64 and twin[0].count.dtype == torch.int64
    assert twin[1].mean is twin[0].mean
    twin(torch.tensor(X))
    net(Tensor(X))
    for name, x in net.state_dict().items():
        np.testing.assert_allclose(twin.state_dict()[name].numpy(), x, rtol=1e-5)
    net.load_state_dict({name: x.numpy() for name, x in twin.state_dict().items()})
