"""fit: losses, data and weights that are not finite."""

import contextlib
import re
import signal
import warnings

import numpy as np
import pytest
from jobs import line

import numpyml
from numpyml.data import ArrayDataset, DataLoader
from numpyml.errors import (
    DivergenceError,
)
from numpyml.kernels import thresholds
from numpyml.nn import Module, activations, layers, losses, model, optimizers
from numpyml.training import fit


def wild(learning_rate=1e30, **options):
    net = model.Sequential(layers.Dense(3, 4), activations.ReLU(), layers.Dense(4, 1))
    return net, optimizers.SGD(net.parameters(), net.gradients(), learning_rate=learning_rate, **options)


def test_divergence_names_the_layer_and_restores_finite_weights():
    numpyml.manual_seed(0)
    net, optim = wild()
    before = net.state_dict()
    with pytest.raises(DivergenceError) as caught:
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=5, progress=False)
    assert re.fullmatch(
        r"Sequential\[2\] Dense\(4, 1\) gave the first values that are not finite, from inputs of at most \S+ in size: "
        r"the loss was (nan|inf) at step 2 \(epoch 1, batch 2\)\. Lower the learning rate, or clip gradients with "
        r"clip_grad_norm=1\.0; model and optimizer are as they were after step 0",
        str(caught.value),
    )
    assert all(np.array_equal(before[name], p) for name, p in net.state_dict().items())
    assert len(caught.value.history) == 0


def test_restored_weights_gave_a_finite_loss_after_many_steps():
    numpyml.manual_seed(0)
    net, optim = wild(0.05)

    def explode(run):
        if run.epoch == 20:
            run.optimizer.param_groups[0]["learning_rate"] = 1e35

    with pytest.raises(DivergenceError) as caught:
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=99, callbacks=explode, progress=False)
    x, y = line()
    loss = losses.MeanSquaredError().forward(net.forward(x), y)
    assert loss < 2 * caught.value.history[-1]["loss"]
    assert "at step 42 (epoch 21, batch 2)" in str(caught.value) and "after step 32" in str(caught.value)
    assert optim.state_dict()["param_groups"][0]["learning_rate"] in (0.05, 1e35)


def test_weights_that_are_not_finite_are_named():
    net, optim = wild(0.1)
    net[0].weight.data[1, 1] = np.inf
    with pytest.raises(DivergenceError, match=r"\[0\] Dense.* its weight no longer finite"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, progress=False)


def test_divergence_inside_a_custom_forward_is_located():
    class Root(Module):
        def __init__(self):
            self.mix = layers.Dense(3, 3)

        def forward(self, x):
            return np.sqrt(self.mix(x) - 1e6)

    class Whole(Module):
        def __init__(self):
            self.blocks = model.ModuleList([Root()])
            self.head = layers.Dense(3, 1)

        def forward(self, x):
            return self.head(self.blocks[0](x))

    net = Whole()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    with pytest.raises(DivergenceError, match=r"^Whole\.blocks\[0\] Root\(.* gave the first"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, progress=False)
    assert "compute" not in vars(net) and "forward" not in vars(net)


@pytest.mark.parametrize(("index", "name"), [(0, "inputs"), (1, "targets")])
def test_data_that_is_not_finite_is_refused_and_the_model_is_unchanged(index, name):
    data = line()
    data[index][33, 0] = np.nan
    batches = list(DataLoader(ArrayDataset(*data), 16))
    match = rf"finite {name}, got 1 NaN or infinite values, the first in row 1 of the batch: .*at step 3"
    nets = []
    for train, expectation in (
        (batches[:2], contextlib.nullcontext()),
        (batches, pytest.raises(DivergenceError, match=match)),
    ):
        numpyml.manual_seed(0)
        net, optim = wild(0.01)
        nets.append(net)
        with expectation:
            fit(net, losses.MeanSquaredError(), optim, train, epochs=1, progress=False)
    assert all(np.array_equal(p, q) for p, q in zip(*(net.parameters() for net in nets), strict=True))


def test_validation_data_that_is_not_finite_is_refused():
    data = line()
    data[0][0, 0] = np.inf
    net, optim = wild(0.01)
    with pytest.raises(DivergenceError, match=r"finite inputs.* in the validation after epoch 1"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, validation=data, progress=False)


def test_a_loss_that_overflows_by_itself_is_named():
    net, optim = wild(0.01)
    x, y = line()
    with pytest.raises(DivergenceError, match=r"MeanSquaredError\(\) itself is where it first"):
        fit(net, losses.MeanSquaredError(), optim, (x, np.full_like(y, 3e38)), epochs=1, progress=False)


class Steep(Module):
    """Overflows on its way to a finite number."""

    def compute(self, x):
        return 1 / (1 + np.exp(100 * np.abs(x) + 80)), x

    def pullback(self, x, gy):
        return np.zeros_like(x)


def test_overflow_with_finite_losses_warns_once_and_can_be_located():
    net = model.Sequential(layers.Dense(3, 1), Steep())
    optim = optimizers.SGD(net.parameters(), net.gradients())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=3, progress=False)
    assert [(str(w.message).split(";")[0], w.filename) for w in caught] == [
        ("overflow encountered in fit, though all losses are finite", __file__)
    ]
    assert "np.errstate(over='raise')" in str(caught[0].message)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow encountered in exp"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, progress=False)


@pytest.mark.parametrize("times", [1, 2])
def test_overflow_warns_when_ctrl_c_ends_the_epoch_too(times):
    net = model.Sequential(layers.Dense(3, 1), Steep())
    optim = optimizers.SGD(net.parameters(), net.gradients())
    step = optim.step

    def interrupted():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        step()

    optim.step = interrupted
    with pytest.warns(RuntimeWarning, match="overflow encountered in fit") as caught:
        history = fit(net, losses.MeanSquaredError(), optim, line(), epochs=3, progress=False)
    assert history.stopped.startswith("interrupted after step 1") and [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("how", ["log", "call"])
def test_overflow_reaches_the_handler_set_by_errstate(how):
    class Log:
        def __init__(self):
            self.messages = []

        def write(self, message):
            self.messages.append(message)

        def __call__(self, kind, flag):
            self.messages.append(kind)

    net = model.Sequential(layers.Dense(3, 1), Steep())
    optim, log = optimizers.SGD(net.parameters(), net.gradients()), Log()
    with np.errstate(over=how, call=log):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, progress=False)
    assert log.messages and all("overflow" in message for message in log.messages)


@pytest.mark.parametrize(("steps", "kept"), [(1, 40), (16, 32), (40, 40), (41, 0)])
def test_weights_are_copied_after_so_many_steps(steps, kept, monkeypatch):
    monkeypatch.setattr(thresholds, "COPIED_STEPS", steps)
    numpyml.manual_seed(0)
    net, optim = wild(0.05)

    def explode(run):
        if run.epoch == 20:
            run.optimizer.param_groups[0]["learning_rate"] = 1e35

    with pytest.raises(DivergenceError, match=f"after step {kept}$"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=99, callbacks=explode, progress=False)
