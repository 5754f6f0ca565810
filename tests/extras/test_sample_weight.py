"""Estimators: sample_weight and partial_fit."""

import copy
import pickle
import re

import numpy as np
import pytest
from models import small
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from numpyml.errors import DataError
from numpyml.estimators import NeuralNetClassifier, NeuralNetRegressor
from numpyml.nn import Module, activations, layers, losses, model, optimizers, schedulers

QUICK = {"max_epochs": 5, "random_state": 0}


# Weights of rows


def test_integer_weights_equal_repeated_rows(line):
    """In one batch of all rows, where no order matters."""
    x, y = line
    counts = np.random.default_rng(0).integers(0, 4, len(x))
    for kind, targets in ((NeuralNetRegressor, y), (NeuralNetRegressor, np.stack([y, -y], 1)),
                          (NeuralNetClassifier, y > 0)):  # fmt: skip
        net = kind(max_epochs=20, batch_size=1000, learning_rate=0.01, random_state=0)
        one = clone(net).fit(x, targets, sample_weight=counts)
        other = clone(net).fit(x.repeat(counts, axis=0), targets.repeat(counts, axis=0))
        np.testing.assert_allclose(one._outputs(x), other._outputs(x), rtol=1e-9, atol=1e-12)
        assert one.history_[-1]["loss"] == pytest.approx(other.history_[-1]["loss"])


@pytest.mark.parametrize("partial", [False, True])
def test_weights_count_in_batches_of_one_row(partial):
    """The best constant is the weighted mean of y."""
    x, y = np.zeros((40, 1)), np.arange(40) % 2
    net = NeuralNetRegressor(layers.Dense, optimizer=optimizers.SGD, learning_rate=0.005, max_epochs=60, batch_size=1,
                             random_state=0)  # fmt: skip
    for _ in range(60 if partial else 1):
        (net.partial_fit if partial else net.fit)(x, y, sample_weight=np.where(y == 0, 3.0, 1.0))
    assert net.predict(x[:1])[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("several", [False, True])
def test_the_losses_in_the_history_are_the_weighted_means(line, several):
    x, y = line
    w = np.random.default_rng(1).integers(1, 9, len(x)) ** 2
    runs = []
    net = NeuralNetRegressor(optimizer=optimizers.SGD, learning_rate=1e-12, max_epochs=1, batch_size=7,
                             early_stopping=True, callbacks=runs.append, random_state=0)  # fmt: skip
    net.fit(x, np.stack([y, 3 * y], 1) if several else y, sample_weight=w)
    for data, name in ((runs[0].data, "loss"), (runs[0].validation, "val_loss")):
        rows = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in data.dataset.arrays[0]]
        e = net._outputs(x[rows]) - y[rows, np.newaxis] * ([1, 3] if several else [1])
        expected = np.average((e**2).mean(axis=1), weights=w[rows])
        assert net.history_[0][name] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [1e-320, 1e-60, 1e38, 1e307])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_any_size_count_by_their_ratios(line, size, dtype):
    x, y = line[0].astype(dtype), line[1].astype(dtype)
    ratios = np.arange(len(x)) % 4 + 1
    net = NeuralNetRegressor(max_epochs=3, random_state=0)
    one, other = clone(net).fit(x, y, sample_weight=ratios * size), clone(net).fit(x, y, sample_weight=ratios)
    tolerance = 1e-2 if size == 1e-320 else 1e-5  # it has four digits
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=tolerance, atol=tolerance)
    assert one.history_["loss"] == pytest.approx(other.history_["loss"], rel=tolerance)
    assert not np.allclose(one.predict(x), clone(net).fit(x, y).predict(x), rtol=1e-2)


@pytest.mark.parametrize("w", [1e39, 1e-60])
def test_weights_that_vanish_in_their_sum_are_refused(line, w):
    x, y = line
    net = NeuralNetRegressor(loss=losses.MeanSquaredError(reduction="sum"), learning_rate=1e-6, **QUICK)
    weights = np.where(np.arange(len(y)) == 4, w, 1)
    message = rf"sample_weight to fit float32, .*, got {re.escape(str(w))} in row 4; scale .* or .* reduction 'mean'"
    with pytest.raises(DataError, match=message), np.errstate(all="raise"):
        net.fit(x.astype(np.float32), y, sample_weight=weights)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}])
def test_equal_weights_change_nothing(iris, reduction, options):
    loss = losses.CrossEntropyWithLogits(reduction=reduction, label_smoothing=0.1)
    net = NeuralNetClassifier(loss=loss, **QUICK, **options)
    one, other = clone(net).fit(*iris), clone(net).fit(*iris, sample_weight=np.ones(150))
    np.testing.assert_allclose(other.predict_proba(iris[0]), one.predict_proba(iris[0]), rtol=1e-9)
    assert other.history_["loss"] == pytest.approx(one.history_["loss"])
    assert loss.reduction == reduction


def test_weights_reach_a_custom_loss_and_the_warning_about_sigmoid_remains(line, iris):
    class Cubed(Module):
        def __init__(self, reduction="mean"):
            self.reduction = reduction

        def forward(self, outputs, targets):
            e = np.abs(outputs - targets) ** 3
            return e if self.reduction == "none" else np.mean(e)

        def backward(self, *gradients):
            return super().backward(*(gradients or (1.0,)))[0]

    x, y = line
    w = np.where(np.arange(len(y)) < 60, 1.0, 0.0)
    net = NeuralNetRegressor(loss=Cubed(), max_epochs=5, batch_size=1000, random_state=0)
    one, other = clone(net).fit(x, y, sample_weight=w), clone(net).fit(x[:60], y[:60])
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=1e-9)
    squashed = NeuralNetClassifier(model.Sequential(layers.Dense(4, 3), activations.Softmax(1)), **QUICK)
    with pytest.warns(UserWarning, match="CrossEntropyWithLogits expects logits"):
        squashed.fit(*iris, sample_weight=np.ones(150))


@pytest.mark.parametrize(
    ("loss", "weights", "message"),
    [
        (None, np.zeros(150), "weight.*zero"),
        (None, -np.ones(150), "sample_weight to be 0 or more, got -1.0 in row 0"),
        (None, np.ones(3), "sample_weight.shape"),
        (losses.CrossEntropyWithLogits(np.ones(3)), np.ones(150), "class weights .* multiply sample_weight by them"),
        (losses.CrossEntropyWithLogits(ignore_index=1), np.ones(150), "ignore_index .* give its rows the weight 0"),
        (type("Bare", (), {"forward": None, "backward": None})(), np.ones(150), "a loss that has a reduction"),
    ],
)
def test_invalid_weights_are_refused(iris, loss, weights, message):
    net = NeuralNetClassifier(loss=loss, **QUICK)
    with pytest.raises((ValueError, TypeError), match=message):
        net.fit(*iris, sample_weight=weights)
    with pytest.raises(NotFittedError):
        net.predict(iris[0])


# A part of the data at a time


def test_partial_fit_is_one_epoch_and_continues(iris):
    x, y = iris
    net = NeuralNetClassifier(small, random_state=0)
    whole = clone(net).set_params(max_epochs=4).fit(x, y)
    for _ in range(4):
        assert net.partial_fit(x, y, classes=np.unique(y)) is net
    assert np.array_equal(net.predict_proba(x), whole.predict_proba(x))  # orders and dropout's masks as well
    assert net.history_["epoch"] == [1, 2, 3, 4] and net.history_["loss"] == whole.history_["loss"]


def test_partial_fit_accepts_classes_not_yet_seen(iris):
    x, y = iris
    net = NeuralNetClassifier(learning_rate=0.01, random_state=0)
    for _ in range(40):
        for label in np.unique(y):
            net.partial_fit(x[y == label], y[y == label], classes=["setosa", "versicolor", "virginica"])
    assert net.predict_proba(x).shape == (150, 3) and net.score(x, y) > 0.8


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_partial_fit_continues_a_fit_and_a_copy(line, copied):
    x, y = line
    net = NeuralNetRegressor(small, **QUICK).fit(x, y)
    other = copied(net)
    for one in (net, other):
        one.partial_fit(x, y, sample_weight=np.ones(len(y))).partial_fit(x, y)
    assert np.array_equal(net.predict(x), other.predict(x)) and len(net.history_) == 7
    module = net.module_
    assert net.fit(x, y).module_ is not module and len(net.history_) == 5  # fit starts over


@pytest.mark.parametrize(
    ("options", "labels", "classes", "message"),
    [
        ({}, None, None, "classes must be passed on the first call"),
        ({}, "rose", ["setosa", "versicolor", "virginica"], "labels among .*setosa.*, got rose"),
        ({"early_stopping": True}, None, ["setosa", "versicolor", "virginica"], "early_stopping to be False"),
        ({"scheduler": lambda o: schedulers.StepLR(o, 1)}, None, ["setosa", "versicolor", "virginica"], "scheduler to"),
    ],
)
def test_invalid_partial_fit_is_refused(iris, options, labels, classes, message):
    x, y = iris
    y = y if labels is None else np.where(np.arange(150) == 3, labels, y)
    net = NeuralNetClassifier(**options)
    with pytest.raises(ValueError, match=message):
        net.partial_fit(x, y, classes=classes)
    with pytest.raises(NotFittedError):
        net.predict(x)


def test_a_later_partial_fit_on_other_data_is_refused_and_changes_nothing(iris, line):
    x, y = iris
    net = NeuralNetClassifier(**QUICK).partial_fit(x, y, classes=np.unique(y))
    before = net.predict_proba(x)
    with pytest.raises(ValueError, match="features"):
        net.partial_fit(x[:, :2], y)
    with pytest.raises(DataError, match="labels among"):
        net.partial_fit(x, np.arange(150) // 50)
    assert np.array_equal(net.predict_proba(x), before)
    other = NeuralNetRegressor(**QUICK).partial_fit(*line)
    with pytest.raises(DataError, match="expected 1 columns of y"):
        other.partial_fit(line[0], np.stack([line[1]] * 2, 1))
