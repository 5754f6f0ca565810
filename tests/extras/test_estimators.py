"""Estimators: scikit-learn's whole battery, and what people build around them."""

import copy
import functools
import pickle
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import numpyml
from numpyml.errors import DataError, DivergenceError, DTypeError, NumpymlError, OptionError, ShapeError
from numpyml.estimators import NeuralNetClassifier, NeuralNetRegressor
from numpyml.nn import Module, activations, layers, losses, model, optimizers, schedulers
from numpyml.random import default_generator

CHECKS = [pair for net in (NeuralNetClassifier(), NeuralNetRegressor()) for pair in estimator_checks_generator(net)]


def name_of(part):
    if not hasattr(part, "func"):
        return type(part).__name__
    return "-".join([part.func.__name__, *part.keywords])


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=name_of)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def line():
    x = np.random.default_rng(0).standard_normal((120, 3))
    return x, x @ [1.0, -2.0, 0.5]


def small(features, outputs):
    return model.Sequential(
        layers.Dense(features, 16), activations.Tanh(), layers.Dropout(0.1), layers.Dense(16, outputs)
    )


class Pair(Module):
    """Two outputs, where one is due."""

    def forward(self, x):
        return x, x


QUICK = {"max_epochs": 5, "random_state": 0}


# On real data


def test_it_classifies_real_data_in_a_pipeline_as_well_as_it_should():
    x, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), NeuralNetClassifier(max_epochs=30, random_state=0))
    assert cross_val_score(pipeline, x, y, cv=4).mean() > 0.96


def test_it_regresses_real_data_as_well_as_it_should():
    x, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    net = NeuralNetRegressor(
        max_epochs=100, early_stopping=True, optimizer=functools.partial(optimizers.AdamW, weight_decay=0.1),
        random_state=0,
    )  # fmt: skip
    found = cross_val_score(make_pipeline(StandardScaler(), net), x, y, cv=4).mean()
    assert found > cross_val_score(LinearRegression(), x, y, cv=4).mean() - 0.03


def test_a_grid_of_modules_sizes_and_rates_is_searched_also_in_other_processes(iris):
    numpyml.manual_seed(0)
    grid = [
        {"module": [small(4, 3)], "learning_rate": [0.01]},
        {"hidden_layer_sizes": [(8,), (8, 8)], "optimizer": [optimizers.SGD], "learning_rate": [1e-9]},
    ]
    search = GridSearchCV(NeuralNetClassifier(max_epochs=40, random_state=0), grid, cv=3, n_jobs=2).fit(*iris)
    assert search.best_params_["learning_rate"] == 0.01 and search.best_score_ > 0.9


# What scikit-learn does with estimators


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_predicts_the_same_and_trains_on_by_itself(iris, copied):
    x, y = iris
    net = NeuralNetClassifier(small, warm_start=True, **QUICK).fit(x, y)
    other = copied(net)
    expected = net.predict_proba(x)
    assert np.array_equal(other.predict_proba(x), expected)
    other.fit(x, y)
    assert np.array_equal(net.predict_proba(x), expected)  # its arrays are not those of the copy
    net.fit(x, y)
    assert np.array_equal(other.predict_proba(x), net.predict_proba(x))  # the optimizer's state came along


def test_a_clone_has_the_options_and_nothing_learned(iris):
    module = small(4, 3)
    net = NeuralNetClassifier(module, loss=losses.CrossEntropyWithLogits(label_smoothing=0.1), **QUICK).fit(*iris)
    other = clone(net)
    assert other.loss.label_smoothing == 0.1 and repr(other.module) == repr(module)
    with pytest.raises(NotFittedError):
        other.predict(iris[0])
    assert np.array_equal(other.fit(*iris).predict_proba(iris[0]), net.predict_proba(iris[0]))


def test_the_module_that_is_given_is_not_trained_itself(iris):
    module = small(4, 3)
    before = module.state_dict()
    net = NeuralNetClassifier(module, **QUICK).fit(*iris)
    assert net.module is module and net.module_ is not module
    assert all(np.array_equal(before[name], p) for name, p in module.state_dict().items())


def test_a_seed_settles_everything_and_leaves_the_default_generator_alone(iris):
    x, y = iris
    state = numpyml.manual_seed(1).bit_generator.state
    seeds = 3, np.random.RandomState(3), np.random.default_rng(3), 3
    found = [NeuralNetClassifier(small, max_epochs=3, random_state=seed).fit(x, y).predict_proba(x) for seed in seeds]
    assert default_generator().bit_generator.state == state
    assert np.array_equal(found[0], found[3]) and np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_without_a_seed_manual_seed_settles_it(iris):
    found = []
    for seed in (1, 1, 2):
        numpyml.manual_seed(seed)
        found.append(NeuralNetClassifier(max_epochs=1).fit(*iris).predict_proba(iris[0]))
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_labels_of_any_kind_come_back_and_probabilities_add_up_in_their_order(iris):
    x, y = iris
    net = NeuralNetClassifier(max_epochs=30, learning_rate=0.01, random_state=0).fit(x, y)
    probabilities = net.predict_proba(x)
    assert list(net.classes_) == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(net.classes_[probabilities.argmax(1)], net.predict(x)) and net.score(x, y) > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_several_targets_are_regressed_at_once_and_keep_their_shape(line):
    x, y = line
    net = NeuralNetRegressor(max_epochs=100, learning_rate=0.01, random_state=0)
    assert net.fit(x, np.stack([y, -y], 1)).predict(x).shape == (120, 2)
    assert net.score(x, np.stack([y, -y], 1)) > 0.9
    assert net.fit(x, y).predict(x).shape == (120,)


def test_data_in_float32_is_learned_from_in_float32(iris):
    x, y = iris
    for dtype in (np.float32, np.float64):
        net = NeuralNetClassifier(**QUICK).fit(x.astype(dtype), y)
        assert {p.dtype for p in net.module_.parameters()} == {np.dtype(dtype)}
        assert net.predict_proba(x.astype(dtype)).dtype == dtype


def test_names_of_columns_are_remembered_and_asked_for():
    pandas = __import__("pandas")
    x, y = load_iris(return_X_y=True)
    frame = pandas.DataFrame(x, columns=list("abcd"))
    net = NeuralNetClassifier(**QUICK).fit(frame, y)
    assert list(net.feature_names_in_) == list("abcd") and net.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[list("bacd")])


# The training


def test_early_stopping_holds_rows_out_and_keeps_the_best(iris):
    net = NeuralNetClassifier(
        early_stopping=True, max_epochs=500, patience=3, learning_rate=0.1, validation_fraction=0.2, random_state=0
    ).fit(*iris)
    assert net.history_.stopped.startswith("no better val_loss in 3 epochs") and len(net.history_) < 500
    assert net.history_.best_epoch == len(net.history_) - 3


def test_a_warm_start_goes_on_where_the_last_fit_ended(line):
    x, y = line
    net = NeuralNetRegressor(max_epochs=10, warm_start=True, random_state=0)
    first = net.fit(x, y).history_[-1]["loss"]
    module = net.module_
    assert net.fit(x, y).history_[0]["loss"] < first and net.module_ is module
    net.set_params(warm_start=False)
    assert net.fit(x, y).history_[-1]["loss"] == first and net.module_ is not module


def test_a_schedule_clipping_and_callbacks_reach_the_training(line):
    epochs = []
    net = NeuralNetRegressor(
        max_epochs=3, scheduler=lambda optimizer: schedulers.ExponentialLR(optimizer, 0.5), clip_grad_norm=1e-3,
        callbacks=lambda run: epochs.append(run.epoch), optimizer=optimizers.SGD, learning_rate=0.4, random_state=0,
    ).fit(*line)  # fmt: skip
    assert epochs == [1, 2, 3] and net.history_["learning_rate"] == [0.4, 0.2, 0.1]
    assert net.history_[0]["loss"] - net.history_[2]["loss"] < 0.1


def test_ctrl_c_leaves_a_fitted_estimator_and_a_warning(line):
    net = NeuralNetRegressor(callbacks=lambda run: signal.raise_signal(signal.SIGINT), random_state=0)
    with pytest.warns(ConvergenceWarning, match="the training was interrupted after") as caught:
        net.fit(*line)
    assert caught[0].filename == __file__
    assert net.predict(line[0]).shape == (120,)


def test_progress_is_shown_where_it_is_asked_for(line, capsys):
    NeuralNetRegressor(verbose=True, **QUICK).fit(*line)
    assert re.match(r"epoch 1/5  loss \S+  [\d.]+ steps/s\n", capsys.readouterr().err)


# Weights of rows


def test_a_row_of_weight_two_counts_as_two_and_one_of_weight_zero_as_none(line):
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
def test_weights_weigh_also_where_a_batch_is_one_row(partial):
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
def test_weights_that_a_sum_would_lose_are_refused(line, w):
    x, y = line
    net = NeuralNetRegressor(loss=losses.MeanSquaredError(reduction="sum"), learning_rate=1e-6, **QUICK)
    weights = np.where(np.arange(len(y)) == 4, w, 1)
    said = rf"sample_weight to fit float32, .*, got {re.escape(str(w))} in row 4; scale .* or .* reduction 'mean'"
    with pytest.raises(DataError, match=said), np.errstate(all="raise"):
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


def test_weights_reach_a_loss_of_ones_own_and_the_warning_of_a_sigmoid_too_many_stays(line, iris):
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
    ("loss", "weights", "said"),
    [
        (None, np.zeros(150), "weight.*zero"),
        (None, -np.ones(150), "sample_weight to be 0 or more, got -1.0 in row 0"),
        (None, np.ones(3), "sample_weight.shape"),
        (losses.CrossEntropyWithLogits(np.ones(3)), np.ones(150), "class weights .* multiply sample_weight by them"),
        (losses.CrossEntropyWithLogits(ignore_index=1), np.ones(150), "ignore_index .* give its rows the weight 0"),
        (type("Bare", (), {"forward": None, "backward": None})(), np.ones(150), "a loss that has a reduction"),
    ],
)
def test_weights_that_do_not_fit_are_refused(iris, loss, weights, said):
    net = NeuralNetClassifier(loss=loss, **QUICK)
    with pytest.raises((ValueError, TypeError), match=said):
        net.fit(*iris, sample_weight=weights)
    with pytest.raises(NotFittedError):
        net.predict(iris[0])


# A part of the data at a time


def test_partial_fit_is_one_pass_and_goes_on_where_the_last_ended(iris):
    x, y = iris
    net = NeuralNetClassifier(small, random_state=0)
    whole = clone(net).set_params(max_epochs=4).fit(x, y)
    for _ in range(4):
        assert net.partial_fit(x, y, classes=np.unique(y)) is net
    assert np.array_equal(net.predict_proba(x), whole.predict_proba(x))  # orders and dropout's masks as well
    assert net.history_["epoch"] == [1, 2, 3, 4] and net.history_["loss"] == whole.history_["loss"]


def test_partial_fit_knows_classes_before_it_has_seen_them(iris):
    x, y = iris
    net = NeuralNetClassifier(learning_rate=0.01, random_state=0)
    for _ in range(40):
        for label in np.unique(y):
            net.partial_fit(x[y == label], y[y == label], classes=["setosa", "versicolor", "virginica"])
    assert net.predict_proba(x).shape == (150, 3) and net.score(x, y) > 0.8


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_partial_fit_goes_on_from_a_fit_and_in_a_copy(line, copied):
    x, y = line
    net = NeuralNetRegressor(small, **QUICK).fit(x, y)
    other = copied(net)
    for one in (net, other):
        one.partial_fit(x, y, sample_weight=np.ones(len(y))).partial_fit(x, y)
    assert np.array_equal(net.predict(x), other.predict(x)) and len(net.history_) == 7
    module = net.module_
    assert net.fit(x, y).module_ is not module and len(net.history_) == 5  # fit begins anew


@pytest.mark.parametrize(
    ("options", "labels", "given", "said"),
    [
        ({}, None, None, "classes must be passed on the first call"),
        ({}, "rose", ["setosa", "versicolor", "virginica"], "labels among .*setosa.*, got rose"),
        ({"early_stopping": True}, None, ["setosa", "versicolor", "virginica"], "early_stopping to be False"),
        ({"scheduler": lambda o: schedulers.StepLR(o, 1)}, None, ["setosa", "versicolor", "virginica"], "scheduler to"),
    ],
)
def test_a_partial_fit_that_cannot_be_is_refused(iris, options, labels, given, said):
    x, y = iris
    y = y if labels is None else np.where(np.arange(150) == 3, labels, y)
    net = NeuralNetClassifier(**options)
    with pytest.raises(ValueError, match=said):
        net.partial_fit(x, y, classes=given)
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


# What it refuses


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"module": 3}, DTypeError, r"expected module to be a model, or a function of \(features, outputs\)"),
        ({"module": lambda features, outputs: None}, DTypeError, "expected module to make a model, got None"),
        ({"module": small(4, 2)}, ShapeError, r"shape \(rows, 3\), got \(1, 2\)"),
        ({"module": small(5, 3)}, ShapeError, "expected 5 features"),
        ({"module": lambda features, outputs: Pair()}, ShapeError, r"shape \(rows, 3\), got a tuple for one row"),
        ({"hidden_layer_sizes": 5}, OptionError, r"hidden_layer_sizes to be several, such as \(100,\), got 5"),
        ({"warm_start": "no"}, OptionError, "warm_start to be True or False, got 'no'"),
        ({"hidden_layer_sizes": (0,)}, OptionError, "hidden_layer_sizes to be an integer of 1 or more"),
        ({"max_epochs": 0}, OptionError, "epochs to be an integer of 1 or more"),
        ({"batch_size": 0}, OptionError, "batch_size to be an integer of 1 or more"),
        ({"random_state": "lucky"}, OptionError, "random_state to be an integer"),
        ({"early_stopping": "yes"}, OptionError, "early_stopping to be True or False"),
        ({"learning_rate": -1}, OptionError, "learning_rate"),
        ({"verbose": 3}, OptionError, "verbose to be True or False"),
        ({"optimizer": optimizers.SGD, "learning_rate": 1e200}, DivergenceError, "the loss was"),
    ],
)
def test_options_that_do_not_fit_are_refused(iris, options, error, said):
    with pytest.raises(error, match=said):
        NeuralNetClassifier(**options).fit(*iris)


@pytest.mark.parametrize("options", [
    {"learning_rate": -1}, {"max_epochs": 0}, {"optimizer": optimizers.SGD, "learning_rate": 1e200},
])  # fmt: skip
def test_a_fit_that_fails_leaves_what_was_fitted_before(iris, line, options):
    x, y = iris
    net = NeuralNetClassifier(**QUICK).fit(x, y)
    labels, module = net.predict(x), net.module_
    other = NeuralNetRegressor(**QUICK).fit(x, line[1][:120].repeat(2)[:150])
    figures = other.predict(x)
    with pytest.raises(NumpymlError):
        net.set_params(**options).fit(x[:, :2], y == "setosa")
    with pytest.raises(NumpymlError):
        other.set_params(**options).fit(x[:, :2], x[:, :2])
    assert net.module_ is module and np.array_equal(net.predict(x), labels)
    assert np.array_equal(other.predict(x), figures)


def test_a_first_fit_that_fails_leaves_it_unfitted(iris):
    net = NeuralNetClassifier(max_epochs=0)
    with pytest.raises(OptionError):
        net.fit(*iris)
    with pytest.raises(NotFittedError):
        net.predict(iris[0])


def test_a_warm_start_on_other_data_is_refused(iris, line):
    x, y = iris
    net = NeuralNetClassifier(warm_start=True, **QUICK).fit(x, y)
    with pytest.raises(DataError, match="expected the classes"):
        net.fit(x[:100], y[:100])
    with pytest.raises(ValueError, match="features"):
        net.fit(x[:, :2], y)
    other = NeuralNetRegressor(warm_start=True, **QUICK).fit(*line)
    with pytest.raises(DataError, match="expected 1 columns of y"):
        other.fit(line[0], np.stack([line[1]] * 2, 1))
    assert issubclass(DataError, NumpymlError)


def test_without_scikit_learn_the_extra_is_named():
    code = "import sys; sys.modules['sklearn.base'] = None; import numpyml.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingPackageError: numpyml.estimators expected the package scikit-learn" in last
    assert "pip install 'provengrad[estimators]'" in last
