"""Buffers are compared by name, after every call: seen on a layer with running statistics, right and wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conformance import frameworks
from conformance.cases import modules as cases
from conformance.cases.modules import ModuleCase
from conformance.checks.modules import buffers, state_dict
from conformance.comparison.rule import Given
from conformance.errors import Mismatch
from conformance.results.census import Note
from conformance.rows import ModuleRow
from numpyml.typing import Array

ROW = ModuleRow(type("BatchNorm", (), {}), "nn.BatchNorm1d", {}, lambda o: None)  # type: ignore[arg-type, return-value]


class BatchNorm:
    """Its forward alone: what the checks of buffers ask for."""

    def __init__(self, num_features: int, dtype: Any, fault: str) -> None:
        self.fault, self.training = fault, True
        self.state: dict[str, Array] = {
            "weight": np.ones(num_features, dtype),
            "bias": np.zeros(num_features, dtype),
            "running_mean": np.zeros(num_features, dtype),
            "running_var": np.ones(num_features, dtype),
            "num_batches_tracked": np.array(0),
        }
        if fault == "no running_var":
            del self.state["running_var"]
        if fault == "no num_batches_tracked":
            del self.state["num_batches_tracked"]

    def forward(self, x: Array) -> Array:
        if self.training or self.fault == "moves in evaluation":
            n = len(x) if self.fault == "biased variance" else len(x) - 1
            share = x.dtype.type(0.2 if self.fault == "momentum" else 0.1) if x.itemsize < 16 else np.longdouble(0.1)
            new = {"running_mean": x.mean(0), "running_var": np.square(x - x.mean(0)).sum(0) / n}
            for name, value in new.items():
                if name in self.state:
                    self.state[name] = (1 - share) * self.state[name] + share * value
            if "num_batches_tracked" in self.state and self.fault != "never counts":
                self.state["num_batches_tracked"] = self.state["num_batches_tracked"] + 1
        return x

    def backward(self, gy: Array) -> list[Array]:
        return [gy]


@pytest.fixture
def adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An adapter of BatchNorm with a fault; the reference in extended precision has none."""

    def offered(fault: str) -> Any:
        def load(module: BatchNorm, state: Mapping[str, Array]) -> None:
            module.state = {name: np.array(state[name]) for name in module.state}

        return SimpleNamespace(
            NAME="a framework with buffers",
            make=lambda component, options, dtype: BatchNorm(dtype=dtype, fault=fault, **options),
            forward=lambda module, x: module.forward(x),
            backward=lambda module, gy: module.backward(gy),
            train=lambda module, mode: setattr(module, "training", mode),
            parameters=lambda module: {name: module.state[name] for name in ("weight", "bias")},
            gradients=lambda module: {},
            state_dict=lambda module: module.state,
            load_state_dict=load,
        )

    monkeypatch.setattr(cases, "numpyml", offered(""))
    frameworks.use(offered(request.param))
    yield
    frameworks.use(None)


def ran(check: Any, dtype: Any, training: bool = True) -> Note:
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32).astype(float)
    note = Note("BatchNorm", check.__name__)
    check(ModuleCase(ROW, {"num_features": 3}, (Given(x + 1),), dtype, training, 1), note)
    return note


@pytest.mark.parametrize("adapter", [""], indirect=True)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_buffers_pass(adapter: None, dtype: Any, training: bool) -> None:
    assert ran(buffers, dtype, training).comparisons == 3 * (3 + 3) + 3 * 2  # a count is asked for, and compared
    assert ran(state_dict, dtype, training).comparisons


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("momentum", r"running_mean, call 1\[0\]"),
        ("biased variance", r"running_var, call 1\[0\]"),
        ("no running_var", "running_var: there is no such buffer"),
        ("never counts", "num_batches_tracked, call 1"),
        ("no num_batches_tracked", "num_batches_tracked: there is no such buffer"),
    ],
    indirect=["adapter"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wrong_buffers_are_seen(adapter: None, said: str, dtype: Any) -> None:
    with pytest.raises(Mismatch, match=said):
        ran(buffers, dtype)


@pytest.mark.parametrize("adapter", ["moves in evaluation"], indirect=True)
def test_a_buffer_that_moves_in_evaluation_is_seen(adapter: None) -> None:
    with pytest.raises(Mismatch, match="running_mean, call 1"):
        ran(buffers, np.float32, training=False)
