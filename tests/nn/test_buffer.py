"""Buffers: state of a module that is not trained."""

import copy
import pickle

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.errors import CallOrderError, DivergenceError, DTypeError, ShapeError, StateError
from numpyml.nn import Buffer, Module, Parameter, layers, losses, model, optimizers
from numpyml.training import fit


class RunningMean(Module):
    """A layer that subtracts the mean of all batches so far, and counts them."""

    def __init__(self, features, momentum=0.1, *, dtype=None):
        self.features, self.momentum, self.dtype = features, momentum, dtype
        self.inner = layers.Dense(features, features, dtype=dtype)
        self.mean = Buffer(np.zeros(features), dtype=dtype)
        self.count = Buffer(0)
        self.scale = Parameter(np.ones(features), dtype=dtype)

    def forward(self, x):
        if self.training:
            self.mean.data += self.momentum * (x.data.mean(axis=0) - self.mean.data)
            self.count.data += 1
        return self.inner(x - self.mean.data.copy()) * self.scale


@pytest.fixture
def x(rng):
    return rng.standard_normal((8, 3)).astype(np.float32)


def values(module):
    return {name: buffer.data.copy() for name, buffer in module.named_buffers()}


def test_buffers_are_not_parameters(x):
    net = model.Sequential(RunningMean(3))
    assert [name for name, _ in net.named_parameters()] == ["0.scale", "0.inner.weight", "0.inner.bias"]
    assert [name for name, _ in net.named_buffers()] == ["0.mean", "0.count"]
    assert [b.dtype for b in net.buffers()] == [np.float32, np.int64]
    assert all(a is b.data for a, (_, b) in zip(net.buffers(), net.named_buffers(), strict=True))
    arrays = net.buffers()
    net.forward(x)
    net.backward(np.ones((8, 3), np.float32))
    before = values(net)
    optimizers.SGD(net.parameters(), net.gradients(), 0.1, weight_decay=0.1).step()
    net.zero_grad()
    for name, value in values(net).items():
        assert np.array_equal(value, before[name])
    assert all(a is b for a, b in zip(arrays, net.buffers(), strict=True))


def test_a_state_dict_has_the_parameters_then_the_buffers_of_each_module():
    net = model.Sequential(RunningMean(3), RunningMean(3))
    names = ["scale", "mean", "count", "inner.weight", "inner.bias"]  # as in PyTorch
    assert list(net.state_dict()) == [f"{i}.{name}" for i in (0, 1) for name in names]


def test_state_dict_with_buffers_round_trip(x):
    source, target = RunningMean(3), RunningMean(3)
    source.forward(x)
    arrays = target.buffers()
    target.load_state_dict(source.state_dict())
    assert target.count.item() == 1 and np.array_equal(target.mean.data, source.mean.data)
    assert all(a is b for a, b in zip(arrays, target.buffers(), strict=True))
    with pytest.raises(StateError, match=r"mean should have shape \(3,\), got an array of float64, shape \(2,\)"):
        target.load_state_dict({**source.state_dict(), "mean": np.zeros(2)})


def test_shared_buffer_is_saved_under_each_name():
    shared = RunningMean(3)
    net = model.Sequential(shared, shared)
    assert len(net.buffers()) == 2
    state = net.state_dict()
    assert {"0.mean", "1.mean"} <= set(state)
    with pytest.raises(StateError, match=r"1\.mean differs from 0\.mean, though the model shares one buffer"):
        net.load_state_dict({**state, "1.mean": np.ones(3)})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_buffers_of_its_own(x, duplicate):
    net = RunningMean(3, dtype=np.float64)
    net.forward(x)
    other = duplicate(net)
    assert other.mean.dtype == np.float64 and np.array_equal(other.mean.data, net.mean.data)
    other.forward(x)
    assert (other.count.item(), net.count.item()) == (2, 1)


def test_a_checkpoint_has_the_buffers(x, tmp_path):
    pytest.importorskip("safetensors")
    net, other = RunningMean(3), RunningMean(3)
    net.forward(x)
    numpyml.save(tmp_path / "net.safetensors", net)
    numpyml.load(tmp_path / "net.safetensors", other)
    assert other.count.item() == 1 and np.array_equal(other.mean.data, net.mean.data)


def test_a_buffer_is_a_tensor_without_a_gradient(x):
    net = RunningMean(3)
    y = Tensor(x, requires_grad=True) * net.mean
    y.backward(np.ones_like(x))
    assert net.mean.grad is None and not net.mean.requires_grad


def test_the_dtype_of_a_buffer():
    assert Buffer([1.0]).dtype == Buffer(np.zeros(1)).dtype == np.float32
    assert Buffer([1]).dtype == np.asarray([1]).dtype and Buffer(True).dtype == bool
    assert Buffer(np.zeros(1), dtype=np.float64).dtype == np.float64
    for data, dtype in ((["a"], None), ([1j], None), ([1.0], complex)):
        with pytest.raises(DTypeError, match="expected"):
            Buffer(data, dtype)


def test_a_buffer_is_written_in_place_and_never_rebound():
    net = RunningMean(2)
    array = net.mean.data
    net.mean.data = [4, 5]
    net.mean.data += 1
    with numpyml.no_grad():
        net.mean *= 2
    assert net.mean.data is array and np.array_equal(array, [10, 12])
    with pytest.raises(ShapeError, match=r"Buffer expected values of its own shape \(2,\)"):
        net.mean.data = np.zeros(3)
    with pytest.raises(CallOrderError, match="Buffer expected in-place arithmetic only inside no_grad"):
        net.mean += 1
    with pytest.raises(DTypeError, match="expected a Buffer or None in place of the buffer mean"):
        net.mean = np.zeros(2)
    net.mean = None
    assert "mean" not in net.state_dict()


def test_summary_shows_buffers_and_leaves_them_as_they_are(x):
    net = RunningMean(3)
    before = values(net)
    assert "4 numbers in buffers: 20 B" in net.summary(x)
    assert all(np.array_equal(before[name], value) for name, value in values(net).items())
    assert repr(net) == "RunningMean(3)" and repr(net.mean) == "Buffer(shape=(3,), dtype=float32)"
    assert "buffers" not in layers.Dense(2, 3).summary()


def test_a_gradient_check_leaves_buffers_as_they_are(x):
    net = RunningMean(3, dtype=np.float64).eval()
    before = values(net.train())
    with pytest.raises(Exception, match="same values each time"):  # in training, the mean moves
        numpyml.gradcheck(net, x)
    assert all(np.array_equal(before[name], value) for name, value in values(net).items())


class Recording:
    """A loss that keeps the buffers of a model as they are at each call, and is NaN at one of them."""

    def __init__(self, net, at):
        self.net, self.at, self.seen, self.loss = net, at, [], losses.MeanSquaredError()
        self.backward = self.loss.backward

    def forward(self, outputs, targets):
        self.seen.append(values(self.net))
        return np.float32(np.nan) if len(self.seen) == self.at else self.loss.forward(outputs, targets)


@pytest.mark.parametrize("at", [1, 3, 20])
def test_divergence_restores_the_buffers_of_the_restored_step(rng, at):
    net = RunningMean(3)
    start = values(net)
    data = [(rng.standard_normal((4, 3)).astype("f"), np.zeros((4, 3), "f")) for _ in range(30)]
    loss = Recording(net, at)
    with pytest.raises(DivergenceError, match=r"as they were after step|nothing has changed yet"):
        fit(net, loss, optimizers.SGD(net.parameters(), net.gradients(), 0.1), data, epochs=1, progress=False)
    assert len(loss.seen) == at
    expected = [start, *loss.seen][0 if at < 17 else 16]
    assert all(np.array_equal(expected[name], value) for name, value in values(net).items())


def test_bad_data_leaves_the_buffers_as_they_were_before_its_batch(rng):
    net = RunningMean(3)
    good, bad = rng.standard_normal((2, 4, 3)).astype("f")
    bad[1, 2] = np.nan
    loss = Recording(net, 0)
    with pytest.raises(DivergenceError, match="as it was before this batch"):
        fit(
            net, loss, optimizers.SGD(net.parameters(), net.gradients(), 0.1), [(x, np.zeros((4, 3), "f")) for x in
            (good, bad)], epochs=1, progress=False,
        )  # fmt: skip
    assert net.count.item() == 1
    assert all(np.array_equal(loss.seen[0][name], value) for name, value in values(net).items())
