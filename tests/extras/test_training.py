"""What fit shows and measures with optional packages: metrics, plots, frames and bars."""

import io
import os
import re
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split as their_split

import numpyml
from numpyml.data import train_test_split
from numpyml.nn import Module, activations, layers, losses, model, optimizers
from numpyml.training import History, fit


class Echo(Module):
    """Returns its input, so that the metrics are known."""

    def __init__(self):
        self.scale = layers.Dense(1, 1)

    def forward(self, x):
        return x + 0 * np.sum(self.scale.weight)


def figures(outputs, targets, loss, *names):
    net = Echo()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.0)
    outputs = np.asarray(outputs, np.float32)
    history = fit(
        net, loss, optim, (outputs, targets), epochs=1, validation=(outputs, targets), metrics=names, batch_size=3,
        progress=False,
    )  # fmt: skip
    return [history[0][f"val_{name}"] for name in names]


# Metrics


def test_predicted_class_is_the_largest_logit(rng):
    outputs, targets = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    accuracy, f1 = figures(outputs, targets, losses.CrossEntropyWithLogits(), "accuracy", "f1")
    assert accuracy == metrics.accuracy_score(targets, outputs.argmax(1))
    assert f1 == metrics.f1_score(targets, outputs.argmax(1), average="macro")


@pytest.mark.parametrize("shape", [(50,), (50, 1)])
def test_binary_threshold_is_0_for_logits_and_one_half_for_probabilities(rng, shape):
    logits, targets = rng.standard_normal(shape), (rng.random(shape) > 0.3).astype(np.float32)
    expected = [score(targets.ravel(), logits.ravel() > 0) for score in (metrics.accuracy_score, metrics.f1_score)]
    assert figures(logits, targets, losses.BinaryCrossEntropyWithLogits(), "accuracy", "f1") == expected
    probabilities = 1 / (1 + np.exp(-logits))
    assert figures(probabilities, targets, losses.MeanSquaredError(), "accuracy", "f1") == expected


def test_f1_is_that_of_the_second_class_or_the_mean_over_labels(rng):
    outputs, targets = rng.standard_normal((50, 2)), rng.integers(0, 2, 50)
    assert figures(outputs, targets, losses.CrossEntropyWithLogits(), "f1") == [
        metrics.f1_score(targets, outputs.argmax(1))
    ]
    labels = (rng.random((50, 2)) > 0.5).astype(np.float32)
    assert figures(outputs, labels, losses.BinaryCrossEntropyWithLogits(), "f1", "accuracy") == [
        metrics.f1_score(labels, outputs > 0, average="macro"),
        metrics.accuracy_score(labels, outputs > 0),
    ]


def test_sequence_accuracy_counts_positions_without_ignored_targets(rng):
    outputs, targets = rng.standard_normal((9, 5, 7)), rng.integers(0, 5, (9, 7))
    targets[2, 3:] = -100
    counted = targets != -100
    expected = metrics.accuracy_score(targets[counted], outputs.argmax(1)[counted])
    assert figures(outputs, targets, losses.CrossEntropyWithLogits(), "accuracy") == [expected]


def test_probability_targets_are_thresholded(rng):
    outputs, targets = rng.standard_normal((20, 3)), rng.dirichlet([1, 1, 1], 20)
    expected = metrics.accuracy_score(targets.argmax(1), outputs.argmax(1))
    assert figures(outputs, targets, losses.CrossEntropyWithLogits(), "accuracy") == [expected]


@pytest.mark.parametrize("shape", [(30,), (30, 1), (30, 2)])
def test_regressions_are_measured_over_all_outputs(rng, shape):
    outputs, targets = rng.standard_normal((2, *shape)).astype(np.float32)
    values = figures(outputs, targets, losses.MeanSquaredError(), "mae", "r2")
    assert values == [metrics.mean_absolute_error(targets, outputs), metrics.r2_score(targets, outputs)]


def test_no_positive_prediction_gives_a_score_without_warning():
    assert figures(-np.ones(6), np.ones(6, np.float32), losses.BinaryCrossEntropyWithLogits(), "f1") == [0.0]


def test_the_best_accuracy_is_the_largest_and_digits_are_learned():
    numpyml.manual_seed(0)
    x, y = load_digits(return_X_y=True)
    x1, x2, y1, y2 = train_test_split((x / 16).astype(np.float32), y, seed=0)
    net = model.Sequential(layers.Dense(64, 64), activations.ReLU(), layers.Dense(64, 10))
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.003)
    history = fit(
        net, losses.CrossEntropyWithLogits(), optim, (x1, y1), epochs=15, validation=(x2, y2), progress=False,
        metrics=["accuracy", "f1"], monitor="val_accuracy", patience=10,
    )  # fmt: skip
    assert max(history["val_accuracy"]) == history[history.best_epoch - 1]["val_accuracy"] > 0.95
    decided = net.forward(x2).argmax(1)
    assert metrics.accuracy_score(y2, decided) == max(history["val_accuracy"])


# The split


@pytest.mark.parametrize("n", [2, 3, 10, 101])
@pytest.mark.parametrize("size", [0.1, 0.25, 0.5, 1])
def test_the_split_has_scikit_learns_sizes_and_order_of_parts(n, size):
    arrays = np.zeros((n, 2)), np.zeros(n)
    mine = train_test_split(*arrays, test_size=size, seed=0)
    assert [part.shape for part in mine] == [part.shape for part in their_split(*arrays, test_size=size)]


# The history


HISTORY = [
    {"epoch": 1, "loss": 0.5, "val_loss": 0.7, "val_accuracy": 0.5, "learning_rate": 0.1, "seconds": 1.0},
    {"epoch": 2, "loss": 0.25, "val_loss": 0.6, "val_accuracy": 0.9, "learning_rate": 0.1, "seconds": 1.0},
]


def test_a_frame_has_a_row_for_each_epoch():
    frame = History(HISTORY).to_frame()
    assert list(frame.index) == [1, 2] and frame.index.name == "epoch"
    assert frame["val_accuracy"].tolist() == [0.5, 0.9]
    assert History().to_frame().empty


def test_plot_needs_no_display_and_does_not_use_pyplot(tmp_path):
    code = """
        import sys
        from numpyml.training import History
        figure = History(HISTORY).plot()
        figure.savefig(sys.argv[1])
        assert figure._repr_png_()[:4] == b"\\x89PNG"
        assert "matplotlib.pyplot" not in sys.modules
    """
    script = f"HISTORY = {HISTORY!r}\n" + textwrap.dedent(code)
    path = tmp_path / "plot.png"
    no_display = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    done = subprocess.run([sys.executable, "-W", "error", "-c", script, str(path)], check=True, env=no_display)
    assert done.returncode == 0 and path.read_bytes()[:4] == b"\x89PNG"


def test_a_plot_shows_losses_and_metrics_by_the_epoch():
    history = History(HISTORY)
    history.best_epoch = 2
    losses_, others = history.plot().axes
    assert [line.get_label() for line in losses_.lines] == ["loss", "val_loss", "best: epoch 2"]
    assert losses_.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.25]]
    assert [line.get_label() for line in others.lines] == ["val_accuracy", "best: epoch 2"]
    assert len(History([{"epoch": 1, "loss": 1.0}]).plot().axes) == 1
    assert len(History().plot().axes[0].lines) == 0


# The bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(epochs=3, rows=64):
    numpyml.manual_seed(0)
    net = layers.Dense(2, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    x = np.random.default_rng(0).standard_normal((rows, 2), np.float32)
    return fit(
        net, losses.MeanSquaredError(), optim, (x, x[:, :1]), epochs=epochs, validation=(x, x[:, :1]), batch_size=8
    )


def test_terminal_shows_one_bar_with_loss_and_rate(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    history = train()
    shown = terminal.getvalue()
    assert shown.count("\n") == 1  # one line, drawn again and again
    last = shown.split("\r")[-1]
    assert "24/24" in last and "100%" in last and "epoch 3/3" in last and "step/s" in last
    assert f"loss {history[-1]['loss']:.4g}  val_loss {history[-1]['val_loss']:.4g}" in last


def test_the_bar_is_closed_when_something_fails(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(ZeroDivisionError):
        fit(
            net := layers.Dense(2, 1), losses.MeanSquaredError(),
            optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1),
            (np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)), epochs=2, callbacks=lambda run: 1 / 0,
        )  # fmt: skip
    assert terminal.getvalue().endswith("\n")


def test_notebook_shows_a_bar_without_widgets_too(monkeypatch):
    """As in IPython's kernel: an output that is not a terminal, and a shell with a kernel."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    train()
    assert re.search(r"epoch 3/3: 100%.*24/24.*loss", stream.getvalue().split("\r")[-1])
