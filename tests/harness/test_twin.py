"""The twin of a user's own class computes, trains and saves as the class does."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import conformance
from conformance import contracts
from conformance.errors import Misuse
from conformance.twins.mirror import CALLS, Mirror
from numpyml import Tensor
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.table import argument_names
from numpyml.nn import Module, Parameter, activations, layers, losses, model, optimizers

F64 = np.float64


class Recurrent(Module):
    """The README's."""

    def __init__(self, features: int, width: int, dtype: Any = None) -> None:
        self.width = width
        self.read = layers.Dense(features, width, dtype=dtype)
        self.remember = layers.Dense(width, width, bias=False, dtype=dtype)
        self.answer = layers.Dense(width, 1, dtype=dtype)

    def forward(self, x: Any) -> Any:
        h = np.zeros((len(x), self.width), np.float32)
        for t in range(x.shape[1]):
            h = np.tanh(self.read(x[:, t]) + self.remember(h))
        return self.answer(h)


class Gain(layers.Dense):
    """Derived from a layer, whose forward it calls."""

    def forward(self, x: Any) -> Any:
        return np.tanh(super().forward(x)) + 0.1 * self.weight.sum()


class Pipeline(model.Sequential):
    """Derived from a container, whose forward it calls."""

    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


class Everything(Module):
    """Shared modules, tied parameters, lists, parameters of its own, control flow on values, a loss inside."""

    def __init__(self) -> None:
        self.first = Gain(3, 3, dtype=F64)
        self.pipeline = Pipeline([layers.Dense(3, 3, dtype=F64), activations.ReLU()])
        self.scale = Parameter(np.full(3, 1.5), dtype=F64)
        self.alias = self.pipeline[0]
        self.blocks = model.ModuleList([self.first, layers.Dense(3, 3, dtype=F64)])
        self.named = model.ModuleDict({"out": layers.Dense(3, 2, dtype=F64)})
        self.loss = losses.MeanSquaredError()
        self.calls = [0]

    def forward(self, x: Any) -> Any:
        self.calls[0] += 1
        x = self.pipeline(self.first(x)) * self.scale
        if x.sum() > 0:
            x = x - 1
        while float(np.abs(x).mean()) > 0.5:
            x = 0.5 * x
        for block in self.blocks:
            x = block(x)
        penalty = sum(np.sum(p**2) for _, p in self.named_parameters())
        y = self.named["out"](x @ self.alias.weight)
        return y, self.loss(y, np.zeros(y.shape, np.float32)) + 0.01 * penalty


def assert_equals_twin(net: Module, *inputs: Any, outputs: int = 1) -> Any:
    """Outputs and all gradients of both, compared; the twin."""
    peer = conformance.twin(net)
    assert isinstance(peer, torch.nn.Module)
    assert list(peer.state_dict()) == list(net.state_dict())
    net.zero_grad()
    leaves = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    ours, theirs = net.forward(*inputs), peer(*leaves)
    ours, theirs = ((y if isinstance(y, tuple) else (y,)) for y in (ours, theirs))
    gys = [np.random.default_rng(i).standard_normal(np.shape(y)) for i, y in enumerate(ours)]
    gx = net.backward(*gys)
    torch.autograd.backward(theirs, [torch.tensor(g).reshape(y.shape) for g, y in zip(gys, theirs, strict=True)])
    for y, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(y, expected.detach(), rtol=1e-12, atol=1e-14)
    for g, x in zip(gx if isinstance(gx, tuple) else (gx,), leaves, strict=True):
        if x.requires_grad:
            np.testing.assert_allclose(g, np.zeros(x.shape) if x.grad is None else x.grad, rtol=1e-12, atol=1e-14)
    theirs = dict(peer.named_parameters())
    assert list(theirs) == [name for name, _ in net.named_parameters()]
    for name, p in net.named_parameters():
        np.testing.assert_allclose(p.grad, theirs[name].grad, rtol=1e-11, atol=1e-13, err_msg=name)
    return peer


class Reader(Module):
    """Attention and Transformers, one of them with an activation that is a function of NumPy."""

    def __init__(self) -> None:
        options: dict[str, Any] = {"dropout": 0.0, "batch_first": True, "dtype": F64}
        self.attention = layers.MultiheadAttention(4, 2, batch_first=True, dtype=F64)
        self.layer = layers.TransformerEncoderLayer(4, 2, 6, activation=np.tanh, **options)
        encoder = layers.TransformerEncoderLayer(4, 2, 6, activation=activations.SiLU(), **options)
        self.encoder = layers.TransformerEncoder(encoder, 2, layers.LayerNorm(4, dtype=F64))
        self.decoder = layers.TransformerDecoder(layers.TransformerDecoderLayer(4, 2, 6, **options), 1)

    def forward(self, x: Any) -> Any:
        y, weights = self.attention(x, x, x)
        return self.decoder(self.encoder(self.layer(y)), x), weights


class Positioned(Module):
    """Position encodings of all kinds, from the beginning and from the middle of a text."""

    def __init__(self) -> None:
        self.sinusoidal = layers.SinusoidalPositionalEncoding(4, 9, batch_first=True)
        self.table = layers.LearnedPositionalEncoding(4, 9, batch_first=True, dtype=F64)
        self.rotary = layers.RotaryPositionalEmbedding(4, 9, interleaved=False)
        self.attention = layers.ScaledDotProductAttention(is_causal=True)

    def forward(self, x: Any) -> Any:
        x = self.table(self.sinusoidal(x), positions=np.arange(4, 7))  # an array of the model's own, by name
        x = x + self.table(x)
        return self.attention(self.rotary(x, np.array([0, 3, 8])), self.rotary(x), x)


@pytest.mark.parametrize(
    ("build", "shape"),
    [(lambda: Recurrent(2, 4, F64), (3, 5, 2)), (Everything, (4, 3)), (Reader, (2, 3, 4)), (Positioned, (2, 3, 4))],
    ids=["recurrent", "everything", "attention", "positions"],
)
def test_outputs_and_gradients_are_the_same(build: Any, shape: tuple[int, ...]) -> None:
    assert_equals_twin(build(), np.random.default_rng(0).standard_normal(shape))


def test_shared_parameters_stay_shared() -> None:
    net = Everything()
    peer = conformance.twin(net)
    assert peer.alias is peer.pipeline.get_submodule("0") and peer.blocks[0] is peer.first
    assert len(list(peer.parameters())) == len(net.parameters())


def test_the_readmes_recurrent_class_trains_as_ours_does() -> None:
    net = Recurrent(2, 16, F64)
    peer = conformance.twin(net)
    ours = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.01)
    theirs = torch.optim.Adam(peer.parameters(), lr=0.01, foreach=False)
    loss, torch_loss = losses.MeanSquaredError(), torch.nn.MSELoss()
    x = np.random.default_rng(0).standard_normal((16, 5, 2))
    total = x.sum(axis=(1, 2))[:, None]
    curves: list[list[float]] = [[], []]
    for _ in range(50):
        value = loss(net(Tensor(x)), total)
        ours.zero_grad()
        value.backward()
        ours.step()
        other = torch_loss(peer(torch.tensor(x)), torch.tensor(total))
        theirs.zero_grad()
        other.backward()
        theirs.step()
        curves[0].append(float(value))
        curves[1].append(other.item())
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-11)
    assert curves[0][-1] < 0.5 * curves[0][0]
    net.load_state_dict({name: value.numpy() for name, value in peer.state_dict().items()})
    np.testing.assert_allclose(net.forward(x), peer(torch.tensor(x)).detach(), rtol=1e-12)


def test_twin_is_independent_and_may_have_another_precision() -> None:
    peer = conformance.twin(Recurrent(2, 4, F64))
    x = torch.ones(3, 5, 2, dtype=torch.float64)
    before = peer(x)
    other = copy.deepcopy(peer).float()
    assert other(x.float()).dtype == torch.float32
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    assert torch.equal(peer(x), before) and not other(x.float()).any()


def test_nothing_of_the_module_changes() -> None:
    net = Everything()
    conformance.twin(net)(torch.ones(2, 3, dtype=torch.float64))
    assert net.calls == [0]


def test_modes_and_frozen_parameters_are_taken_over() -> None:
    net = model.Sequential([layers.Dense(3, 3), layers.Dropout(0.5)])
    net[0].requires_grad_(False)
    net[1].eval()
    peer = conformance.twin(net)
    assert [inner.training for inner in peer.modules()] == [inner.training for inner in net.modules()]
    assert not any(p.requires_grad for p in peer.parameters())


class Calls(Module):
    """One call of NumPy, in a model."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def forward(self, x: Any) -> Any:
        y = self.call(x)
        return y if isinstance(y, Tensor) else sum(np.sum(z * (i + 1)) for i, z in enumerate(y))


MASK = np.array([True, False, True])
CALLED = {
    "methods": lambda x: x.sum(axis=0) + x.mean(0) * x.max() - x.min(axis=0) + x.T[0, 0] + x.reshape(-1)[3],
    "variance": lambda x: x.var(axis=0, ddof=1) + x.std(1, keepdims=True).ravel()[:3] + np.std(x, 0, correction=1),
    "indexing": lambda x: x[1:, MASK] * x[[0, 2, 1]][:3, :2] + x[1:, None, 0] + x[x > 0.1].sum(),
    "clip": lambda x: np.clip(x, -0.5, None) + x.clip(max=0.3) + np.clip(x, a_min=x * 0.5, a_max=1),
    "where": lambda x: np.where(x > 0, x, 0.1 * x) + np.where(MASK, 1.0, x),
    "joined": lambda x: np.concatenate([x, np.ones((1, 3)), x[:1]], axis=0) @ np.stack([x[0], x[1]], axis=1),
    "stacked": lambda x: np.hstack([x, x]) + np.vstack((x, x))[:4].reshape(4, 3)[:, [0, 1, 2, 0, 1, 2]],
    "append": lambda x: np.append(x, [[1.0, 2.0, 3.0]], axis=0),
    "split": lambda x: np.split(x, [1], axis=1),
    "hsplit": lambda x: np.hsplit(x, 3),
    "shapes": lambda x: (
        np.squeeze(np.expand_dims(x, (0, 2)), 2).transpose(2, 0, 1) + np.broadcast_to(x[:3, :1, None], (3, 1, 4))
    ),
    "tile": lambda x: np.tile(x, 2) + np.repeat(x, 2, axis=1) + np.roll(np.tile(x, (1, 2)), 1, axis=0),
    "turned": lambda x: np.rot90(x, axes=(1, 0)) + np.flip(x, 0)[:3, :1] + np.swapaxes(x, 0, 1),
    "pad": lambda x: np.pad(x, 1) + np.pad(x, ((1, 1), (1, 1)), constant_values=2.0) + np.pad(x, 1, mode="edge"),
    "products": lambda x: (
        np.dot(x.T, x) + np.einsum("ij,ik->jk", x, x) + np.tensordot(x, x, ([0], [0])) + np.inner(x.T, x.T)
    ),
    "outer": lambda x: np.outer(x[0], x[1]) * np.vdot(x[0], [1.0, 2.0, 3.0]),
    "norms": lambda x: np.linalg.norm(x, axis=1) + np.sqrt(np.square(x).sum(-1)),
    "diagonals": lambda x: np.trace(x[:3]) + np.diagonal(x, offset=1, axis1=1, axis2=0) + np.tril(x)[0, :1],
    "sorted": lambda x: (
        np.sort(x, axis=0) + np.take(x, [2, 0, 1, 1], axis=0) + np.take_along_axis(x, np.argsort(x, 0), 0)
    ),
    "round": lambda x: np.round(x, 1) + x * np.rint(x) + x // 0.3 + x % 0.7,
    "powers": lambda x: np.abs(x) ** 1.5 + 2.0**x + x**2 + np.power(np.exp(x), x),
    "reduce": lambda x: np.add.reduce(x) + np.maximum.reduce(x, axis=0) + np.logaddexp(x, 0.0)[0],
    "iteration": lambda x: np.stack([row * (i + len(x)) for i, row in enumerate(x)]),
    "constants": lambda x: (
        x * np.ones(3, np.float32) + Tensor(np.arange(3.0)) - np.zeros_like(x) + x.astype(np.float32)
    ),
    "constants first": lambda x: Tensor(np.arange(3.0)) * x - Tensor(np.ones((4, 4))) @ x,
    "fill": lambda x: x * np.full_like(x, x[0, 0]) + np.copy(x) + np.atleast_3d(x)[..., 0] + x.size / x.ndim,
    "counting": lambda x: x * np.argmax(x, axis=1)[:, None] + np.isfinite(x) + (x.argmin() if x[0, 0] > x[1, 0] else 1),
    "cumulated": lambda x: np.cumsum(x, axis=0) * np.diff(x, axis=1)[:, :1] + np.ptp(x, axis=0) + x.prod(axis=0),
}


@pytest.mark.parametrize("name", CALLED)
def test_numpy_functions_and_methods_are_translated(name: str) -> None:
    assert_equals_twin(Calls(CALLED[name]), np.random.default_rng(3).standard_normal((4, 3)))


def test_every_translated_call_has_a_row_and_numpys_parameters() -> None:
    assert set(CALLS) - {row.function for row in contracts.function_rows()} == set()
    newer_or_older = {"newshape", "shape", "min", "max", "stable", "correction"}
    for function, call in CALLS.items():
        row = COMPOSITES.get(function) or TABLE[function]
        assert set(argument_names(call)) - set(row.parameters) <= newer_or_older, row.title


def test_integers_are_data_without_a_gradient() -> None:
    class Table(Module):
        def __init__(self) -> None:
            self.rows = Parameter(np.arange(12.0).reshape(4, 3), dtype=F64)

        def forward(self, positions: Any) -> Any:
            return self.rows[positions] * (positions + 1)[:, None]

    assert_equals_twin(Table(), np.array([1, 3, 1]))


def test_a_function_without_a_row_is_named() -> None:
    net = Calls(lambda x: np.fft.fft(x))
    with pytest.raises(Misuse, match=r"numpy\.fft\.fft has no contract row"):
        conformance.twin(net)(torch.ones(3))
    with pytest.raises(Misuse, match=r"numpy\.sum\(initial=\.\.\.\)"):
        conformance.twin(Calls(lambda x: np.sum(x, initial=3.0)))(torch.ones(3))
    with pytest.raises(Misuse, match=r"numpy\.full_like\(shape=\.\.\.\) is not covered by its contract row"):
        conformance.twin(Calls(lambda x: np.full_like(x, x[0], shape=(2,))))(torch.ones(3))


def test_a_layer_without_a_row_is_refused_with_a_remedy() -> None:
    class Mine(Module):
        def compute(self, x: Any) -> Any:
            return x, None

        def pullback(self, context: Any, gy: Any) -> Any:
            return gy

    with pytest.raises(Misuse, match=r"Mine .* no contract row"):
        conformance.twin(Mine())
    with pytest.raises(Misuse, match="expects a numpyml module"):
        conformance.twin(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


OUTSIDE = layers.Dense(3, 3, dtype=F64)


@pytest.mark.parametrize(
    "call", [lambda x: OUTSIDE(x) + x, lambda x: OUTSIDE(np.ones((4, 3))) + x, lambda x: x @ OUTSIDE.weight]
)
def test_module_outside_the_model_is_not_a_silent_constant(call: Any) -> None:
    peer = conformance.twin(Calls(call))
    with pytest.raises(Misuse, match="no part of the model"):
        peer(torch.ones(4, 3, dtype=torch.float64, requires_grad=True))


def test_a_mirror_has_the_attributes_of_an_array() -> None:
    x = Mirror(torch.tensor([[1.0, 2.0]], requires_grad=True))
    assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((1, 2), 2, 2, 1, np.float32)
    assert x.sum().item() == 3 and bool(x[0, 0] == 1) and x.tolist() == [[1, 2]] and 2 in x.detach()
    with pytest.raises(TypeError, match="lose the gradient"):
        np.asarray(x)
