"""assert_conforms passes what is right, names what is wrong, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import numpyml
from conformance.api import assert_conforms
from conformance.errors import Misuse
from conformance.faults import faults
from conformance.faults.fault import partial_replaced
from numpyml.autograd.derivatives import TABLE
from numpyml.nn import Module, Parameter, activations, layers, losses, model

X = np.random.default_rng(0).standard_normal((4, 3))


class Swish(Module):
    """A layer of one's own: a pair of array functions."""

    def __init__(self) -> None:
        self.beta = Parameter(np.array([0.5, 1.0, 1.5]))

    def compute(self, x: Any) -> Any:
        s = 1 / (1 + np.exp(-x * self.beta.data))
        return x * s, (x, s)

    def pullback(self, context: Any, gy: Any) -> Any:
        x, s = context
        self.beta.grad += (gy * x * x * s * (1 - s)).sum(0)
        return gy * (s + x * self.beta.data * s * (1 - s))


def swish(x: Any, beta: Any) -> Any:
    return x * torch.sigmoid(x * beta)


class TorchSwish(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.beta = torch.nn.Parameter(torch.zeros(3))

    def forward(self, x: Any) -> Any:
        return swish(x, self.beta)


class Halves(Module):
    """Two outputs, and whole numbers among them."""

    def forward(self, x: Any) -> Any:
        return x[:, :1] * 2.0, np.argmax(x, axis=1), np.tanh(x[:, 1:])


@pytest.mark.parametrize(
    ("module", "inputs", "options"),
    [
        (layers.Dense(3, 2), (X,), {}),
        (model.Sequential([layers.Dense(3, 5), activations.ReLU(), layers.Dropout(0.4), layers.Dense(5, 2)]), (X,), {}),
        (losses.CrossEntropyWithLogits(), (X, np.array([0, 2, 1, 1])), {}),
        (losses.MeanSquaredError(reduction="none"), (X, X[::-1]), {}),
        (Swish(), (X,), {"reference": swish}),
        (Swish(), (X,), {"reference": TorchSwish()}),
        (Swish(), (X,), {"twin": TorchSwish()}),
        (Halves(), (X,), {}),
    ],
)
def test_what_is_right_conforms(module: Module, inputs: Any, options: Any) -> None:
    conformity = assert_conforms(module, *inputs, **options)
    assert conformity.comparisons > 2 * X.size and conformity.error <= 1
    assert "conforms" in str(conformity)


def off(attribute: str, factor: float, at: Any) -> Any:
    class Off(Swish):
        def compute(self, x: Any) -> Any:
            y, context = super().compute(x)
            if attribute == "output":
                y[at] *= factor
            return y, context

        def pullback(self, context: Any, gy: Any) -> Any:
            before = self.beta.grad.copy()
            gx = super().pullback(context, gy)
            if attribute == "input":
                gx[at] *= factor
            if attribute == "beta":
                self.beta.grad[at] = before[at] + (self.beta.grad[at] - before[at]) * factor
            return gx

    return Off()


@pytest.mark.parametrize(
    ("attribute", "at", "said"),
    [
        ("output", (2, 1), r"output\[2, 1\]"),
        ("input", (3, 0), r"gradient of the input\[3, 0\]"),
        ("beta", 2, r"gradient of beta\[2\]"),
    ],
)
@pytest.mark.parametrize("factor", [1 + 1e-5, -1.0, np.nan])
def test_one_wrong_element_is_named(attribute: str, at: Any, said: str, factor: float) -> None:
    with pytest.raises(AssertionError, match=f"(?s)Off does not conform.*{said}"):
        assert_conforms(off(attribute, factor, at), X, reference=swish)


def test_a_driver_of_its_own_that_is_wrong_is_seen() -> None:
    class Wrong(layers.Dense):
        def backward(self, *gradients: Any, input_gradient: bool = True) -> Any:
            return super().backward(*gradients, input_gradient=input_gradient) * 1.001

    with pytest.raises(AssertionError, match="explicit driver"):
        assert_conforms(Wrong(3, 2), X)


def test_a_fault_inside_a_users_model_is_seen() -> None:
    class Net(Module):
        def __init__(self) -> None:
            self.dense = layers.Dense(3, 3)

        def forward(self, x: Any) -> Any:
            return np.tanh(self.dense(x)) + x

    assert_conforms(Net(), X)
    with faults()[0].planted(), pytest.raises(AssertionError, match="gradient of the input"):
        assert_conforms(Net(), X)
    wrong = partial_replaced(TABLE[np.tanh], "x", lambda right: lambda g, **of: right(g, **of) * g.dtype.type(1 + 1e-5))
    with wrong, pytest.raises(AssertionError, match="gradient of"):
        assert_conforms(Net(), X)


def test_other_outputs_are_seen() -> None:
    with pytest.raises(AssertionError, match="PyTorch gives"):
        assert_conforms(Swish(), X, reference=lambda x, beta: x.sum())
    with pytest.raises(AssertionError, match="PyTorch gives"):
        assert_conforms(Swish(), X, reference=lambda x, beta: (x, x))


def test_nothing_changes() -> None:
    net = model.Sequential([layers.Dense(3, 3), layers.Dropout(0.5)])
    net[1].eval()
    for g in net.gradients():
        g.fill(3)
    state, modes = net.state_dict(), [inner.training for inner in net.modules()]
    generator = numpyml.random.default_generator()
    before = generator.bit_generator.state, torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    x = X.copy()
    assert_conforms(net, x)
    assert generator.bit_generator.state == before[0] and torch.equal(torch.get_rng_state(), before[1])
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002
    assert [inner.training for inner in net.modules()] == modes and all((g == 3).all() for g in net.gradients())
    assert all(np.array_equal(value, state[name]) for name, value in net.state_dict().items())
    assert np.array_equal(x, X) and net._record is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: assert_conforms(torch.nn.Linear(1, 1), X), "numpyml module"),  # type: ignore[arg-type]
        (lambda: assert_conforms(Swish(), X), "no contract row"),
        (lambda: assert_conforms(layers.Dense(5, 2), X), "cannot run on these inputs"),
        (lambda: assert_conforms(layers.Dense(3, 2), "x"), "arrays of numbers"),
        (
            lambda: assert_conforms(layers.Dense(3, 2), X, twin=torch.nn.Linear(3, 4, bias=False)),
            "bias is missing.*shape",
        ),
        (lambda: assert_conforms(Swish(), X, twin=TorchSwish(), reference=swish), "got both"),
        (lambda: assert_conforms(Swish(), X, reference=lambda x, beta: 3), "PyTorch tensors"),
    ],
)
def test_misuse_is_told(call: Any, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        call()


def test_a_missing_package_is_told_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import conformance\n"
        "try:\n    conformance.assert_conforms\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "expected the package hypothesis" in done.stdout and "provengrad[conformance]" in done.stdout, done.stderr
