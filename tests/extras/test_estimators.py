"""Estimators: scikit-learn's checks, real data, and errors."""

import copy
import functools
import pickle
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from models import small
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
from numpyml.kernels import thresholds
from numpyml.nn import Module, losses, optimizers, schedulers
from numpyml.random import default_generator

CHECKS = [pair for net in (NeuralNetClassifier(), NeuralNetRegressor()) for pair in estimator_checks_generator(net)]


def name_of(part):
    if not hasattr(part, "func"):
        return type(part).__name__
    return "-".join([part.func.__name__, *part.keywords])


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=name_of)
def test_check_estimator(estimator, check):
    check(estimator)


class Pair(Module):
    """Two outputs, where one is due."""

    def forward(self, x):
        return x, x


QUICK = {"max_epochs": 5, "random_state": 0}


# On real data


def test_classifier_accuracy_on_real_data_in_a_pipeline():
    x, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), NeuralNetClassifier(max_epochs=30, random_state=0))
    assert cross_val_score(pipeline, x, y, cv=4).mean() > 0.96


def test_regressor_score_on_real_data():
    x, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    net = NeuralNetRegressor(
        max_epochs=100, early_stopping=True, optimizer=functools.partial(optimizers.AdamW, weight_decay=0.1),
        random_state=0,
    )  # fmt: skip
    results = cross_val_score(make_pipeline(StandardScaler(), net), x, y, cv=4).mean()
    assert results > cross_val_score(LinearRegression(), x, y, cv=4).mean() - 0.03


def test_grid_search_over_modules_sizes_and_rates_in_other_processes(iris):
    numpyml.manual_seed(0)
    grid = [
        {"module": [small(4, 3)], "learning_rate": [0.01]},
        {"hidden_layer_sizes": [(8,), (8, 8)], "optimizer": [optimizers.SGD], "learning_rate": [1e-9]},
    ]
    search = GridSearchCV(NeuralNetClassifier(max_epochs=40, random_state=0), grid, cv=3, n_jobs=2).fit(*iris)
    assert search.best_params_["learning_rate"] == 0.01 and search.best_score_ > 0.9


# What scikit-learn does with estimators


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copy_predicts_the_same_and_trains_independently(iris, copied):
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


def test_module_argument_is_not_trained_itself(iris):
    module = small(4, 3)
    before = module.state_dict()
    net = NeuralNetClassifier(module, **QUICK).fit(*iris)
    assert net.module is module and net.module_ is not module
    assert all(np.array_equal(before[name], p) for name, p in module.state_dict().items())


def test_seed_determines_everything_and_leaves_the_default_generator_unchanged(iris):
    x, y = iris
    state = numpyml.manual_seed(1).bit_generator.state
    seeds = 3, np.random.RandomState(3), np.random.default_rng(3), 3
    results = [NeuralNetClassifier(small, max_epochs=3, random_state=seed).fit(x, y).predict_proba(x) for seed in seeds]
    assert default_generator().bit_generator.state == state
    assert np.array_equal(results[0], results[3]) and np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[1])


def test_without_a_seed_manual_seed_determines_the_result(iris):
    results = []
    for seed in (1, 1, 2):
        numpyml.manual_seed(seed)
        results.append(NeuralNetClassifier(max_epochs=1).fit(*iris).predict_proba(iris[0]))
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_labels_of_any_kind_are_predicted_and_probabilities_follow_their_order(iris):
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


def test_float32_data_is_trained_on_in_float32(iris):
    x, y = iris
    for dtype in (np.float32, np.float64):
        net = NeuralNetClassifier(**QUICK).fit(x.astype(dtype), y)
        assert {p.dtype for p in net.module_.parameters()} == {np.dtype(dtype)}
        assert net.predict_proba(x.astype(dtype)).dtype == dtype


def test_column_names_are_remembered_and_checked():
    pandas = __import__("pandas")
    x, y = load_iris(return_X_y=True)
    frame = pandas.DataFrame(x, columns=list("abcd"))
    net = NeuralNetClassifier(**QUICK).fit(frame, y)
    assert list(net.feature_names_in_) == list("abcd") and net.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[list("bacd")])


# The training


def test_early_stopping_holds_out_rows_and_restores_the_best(iris):
    net = NeuralNetClassifier(
        early_stopping=True, max_epochs=500, patience=3, learning_rate=0.1, validation_fraction=0.2, random_state=0
    ).fit(*iris)
    assert net.history_.stopped.startswith("no better val_loss in 3 epochs") and len(net.history_) < 500
    assert net.history_.best_epoch == len(net.history_) - 3


def test_warm_start_continues_the_last_fit(line):
    x, y = line
    net = NeuralNetRegressor(max_epochs=10, warm_start=True, random_state=0)
    first = net.fit(x, y).history_[-1]["loss"]
    module = net.module_
    assert net.fit(x, y).history_[0]["loss"] < first and net.module_ is module
    net.set_params(warm_start=False)
    assert net.fit(x, y).history_[-1]["loss"] == first and net.module_ is not module


def test_warm_start_continues_the_state_of_the_optimizer(line):
    x, y = line
    seen = []
    net = NeuralNetRegressor(
        max_epochs=2, warm_start=True, random_state=0,
        callbacks=lambda run: seen.append([state["step"] for state in run.optimizer.state_dict()["state"].values()]),
    )  # fmt: skip
    net.fit(x, y).fit(x, y)
    assert [steps[0] for steps in seen] == [4, 8, 12, 16]


def test_predictions_are_those_of_evaluation_in_any_batch(iris, monkeypatch):
    net = NeuralNetClassifier(small, **QUICK).fit(*iris)
    expected = net.predict_proba(iris[0])
    assert np.array_equal(net.predict_proba(iris[0]), expected)
    monkeypatch.setattr(thresholds, "PREDICTED_ROWS", 7)
    np.testing.assert_allclose(net.predict_proba(iris[0]), expected, rtol=1e-5)
    np.testing.assert_allclose(net.predict_proba(iris[0][:1]), expected[:1], rtol=1e-5)


def test_held_out_rows_have_the_shares_of_the_classes(iris):
    x, _ = iris
    runs = []
    y = np.repeat([0, 1, 2], [15, 45, 90])
    net = NeuralNetClassifier(early_stopping=True, max_epochs=1, validation_fraction=0.2, callbacks=runs.append)
    for seed in range(3):
        net.set_params(random_state=seed).fit(x, y)
        assert np.bincount(runs[-1].validation.dataset.arrays[1]).tolist() == [3, 9, 18]


def test_a_schedule_clipping_and_callbacks_reach_the_training(line):
    epochs = []
    net = NeuralNetRegressor(
        max_epochs=3, scheduler=lambda optimizer: schedulers.ExponentialLR(optimizer, 0.5), clip_grad_norm=1e-3,
        callbacks=lambda run: epochs.append(run.epoch), optimizer=optimizers.SGD, learning_rate=0.04, random_state=0,
    ).fit(*line)  # fmt: skip
    assert epochs == [1, 2, 3] and net.history_["learning_rate"] == [0.04, 0.02, 0.01]
    assert net.history_[0]["loss"] - net.history_[2]["loss"] < 0.01


def test_ctrl_c_leaves_a_fitted_estimator_and_a_warning(line):
    net = NeuralNetRegressor(callbacks=lambda run: signal.raise_signal(signal.SIGINT), random_state=0)
    with pytest.warns(ConvergenceWarning, match="the training was interrupted after") as caught:
        net.fit(*line)
    assert caught[0].filename == __file__
    assert net.predict(line[0]).shape == (120,)


def test_progress_is_printed_when_verbose(line, capsys):
    NeuralNetRegressor(verbose=True, **QUICK).fit(*line)
    assert re.match(r"epoch 1/5  loss \S+  [\d.]+ steps/s\n", capsys.readouterr().err)


# What it refuses


@pytest.mark.parametrize(
    ("options", "error", "message"),
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
def test_invalid_options_are_refused(iris, options, error, message):
    with pytest.raises(error, match=message):
        NeuralNetClassifier(**options).fit(*iris)


@pytest.mark.parametrize("options", [
    {"learning_rate": -1}, {"max_epochs": 0}, {"optimizer": optimizers.SGD, "learning_rate": 1e200},
])  # fmt: skip
def test_failing_fit_keeps_the_previous_one(iris, line, options):
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


def test_failing_first_fit_leaves_the_estimator_unfitted(iris):
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


@pytest.mark.parametrize("rows", [1, 49, 50, 149, 150, 151])
def test_prediction_is_the_same_in_batches_of_any_length(iris, rows, monkeypatch):
    net = NeuralNetClassifier(small(4, 3), **QUICK).fit(*iris)
    whole = net.predict_proba(iris[0])
    monkeypatch.setattr(thresholds, "PREDICTED_ROWS", rows)
    np.testing.assert_allclose(net.predict_proba(iris[0]), whole, rtol=1e-5)
