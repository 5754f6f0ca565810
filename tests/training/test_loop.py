"""fit: the loop, early stopping, the history and what is printed."""

import re
import sys

import numpy as np
import pytest
from jobs import Job, line

import numpyml
from numpyml.data import ArrayDataset, DataLoader
from numpyml.errors import (
    MissingPackageError,
)
from numpyml.nn import Module, activations, layers, losses, model, optimizers, schedulers, utils
from numpyml.training import History, fit
from numpyml.training.progress import Lines

# The loop


def test_fit_matches_a_loop_written_by_hand_bit_for_bit():
    """Bit by bit, clipping and the schedule included."""
    x, y = line()
    nets = []
    for by_hand in (True, False):
        numpyml.manual_seed(4)
        net = model.Sequential(layers.Dense(3, 5), activations.Tanh(), layers.Dropout(0.3), layers.Dense(5, 1))
        optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1, momentum=0.9)
        schedule = schedulers.ExponentialLR(optim, 0.9)
        loss_fn = losses.MeanSquaredError()
        if by_hand:
            net.train()
            for _ in range(3):
                total = 0.0
                for xs, ys in DataLoader(ArrayDataset(x, y), 16, shuffle=True):
                    loss = loss_fn.forward(net.forward(xs), ys)
                    total += float(loss) * len(xs)
                    optim.zero_grad()
                    net.backward(loss_fn.backward())
                    utils.clip_grad_norm_(net.gradients(), 0.5)
                    optim.step()
                schedule.step()
        else:
            history = fit(
                net, loss_fn, optim, (x, y), epochs=3, batch_size=16, clip_grad_norm=0.5, scheduler=schedule,
                progress=False,
            )  # fmt: skip
            assert history[-1]["loss"] == total / len(x)
        nets.append(net)
    assert all(np.array_equal(p, q) for p, q in zip(*(net.parameters() for net in nets), strict=True))


def test_fit_learns_and_leaves_the_model_in_eval():
    job = Job(dropout=0.0, schedule=lambda o: schedulers.StepLR(o, 99))
    history = job.fit(60)
    assert history["val_loss"][-1] < 0.1 * history["val_loss"][0]
    assert not job.net.training
    x, y = line(20, 1)
    loss = losses.MeanSquaredError().forward(job.net.forward(x), y)
    assert history[-1]["val_loss"] == pytest.approx(float(loss), rel=1e-6)


class Watched(Module):
    """A layer that notes of every call what it gets, whether it is recorded, and its mode."""

    def __init__(self):
        self.layer, self.calls = layers.Dense(1, 1), []

    def forward(self, x):
        self.calls.append((x.data.ravel().tolist(), numpyml.is_recording(), self.training))
        return self.layer(x)


def watched(epochs, rows=12, batch_size=4):
    net = Watched()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.01)
    x = np.arange(rows, dtype=np.float32)[:, None]
    data = {"data": (x, x), "validation": (-x, x)}
    fit(net, losses.MeanSquaredError(), optim, epochs=epochs, batch_size=batch_size, progress=False, **data)
    return net.calls


def test_validation_is_in_evaluation_mode_and_training_in_training_mode():
    modes = [mode for _, *mode in watched(2)]
    assert modes == 2 * (3 * [[True, True]] + 3 * [[False, False]])


def test_validation_data_comes_in_order_and_training_data_shuffled():
    calls = watched(2)
    orders = [[abs(x) for rows, *_ in calls[i : i + 3] for x in rows] for i in range(0, 12, 3)]
    in_order = list(range(12))
    assert orders[1] == orders[3] == in_order
    assert sorted(orders[0]) == sorted(orders[2]) == in_order
    assert in_order not in (orders[0], orders[2]) and orders[0] != orders[2]


def test_gradients_of_all_groups_are_clipped_together():
    net = model.Sequential(layers.Dense(3, 4, dtype=np.float64), layers.Dense(4, 1, dtype=np.float64))
    arrays = net.parameters(), net.gradients()
    groups = [dict(zip(("parameters", "gradients"), (a[i : i + 2] for a in arrays), strict=True)) for i in (0, 2)]
    before = [p.copy() for p in arrays[0]]
    optim = optimizers.SGD(groups, learning_rate=1.0)
    fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, batch_size=40, clip_grad_norm=1e-3, progress=False)
    steps = [b - p for b, p in zip(before, arrays[0], strict=True)]
    assert np.sqrt(sum((s * s).sum() for s in steps)) == pytest.approx(1e-3, rel=1e-4)
    factors = [s / g for s, g in zip(steps, arrays[1], strict=True)]
    assert np.concatenate([f.ravel() for f in factors]) == pytest.approx(1.0)


def test_metrics_are_of_all_batches_in_order():
    seen = []

    def noted(outputs, targets):
        seen.append((outputs, targets))
        return 0.0

    job, validation = Job(), line(20, 1)
    options = {"validation": validation, "metrics": noted, "batch_size": 8, "progress": False}
    fit(job.net, losses.MeanSquaredError(), job.optim, line(), epochs=1, **options)
    ((outputs, targets),) = seen
    assert np.array_equal(targets, validation[1])
    assert outputs == pytest.approx(job.net.forward(validation[0]), abs=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        line(),
        list(line()),
        [x.tolist() for x in line()],
        ArrayDataset(*line()),
        DataLoader(ArrayDataset(*line()), 9),
        [line(5), line(6)],
    ],
    ids=["tuple", "list", "lists", "dataset", "loader", "batches"],
)
def test_data_may_be_arrays_lists_a_dataset_a_loader_or_batches(data):
    net = layers.Dense(3, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    assert len(fit(net, losses.MeanSquaredError(), optim, data, epochs=2, progress=False)) == 2


def test_several_inputs_reach_the_model_in_order():
    class Difference(Module):
        def __init__(self):
            self.scale = layers.Dense(1, 1)

        def forward(self, a, b):
            return self.scale(a - b)

    a, b = np.random.default_rng(0).standard_normal((2, 30, 1), np.float32)
    net = Difference()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    history = fit(net, losses.MeanSquaredError(), optim, (a, b, 3 * (a - b)), epochs=80, progress=False)
    assert history[-1]["loss"] < 1e-3


def test_reported_losses_are_means_over_rows_for_any_reduction():
    records = []
    for reduction in ("mean", "sum"):
        numpyml.manual_seed(0)
        net = layers.Dense(3, 1)
        optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=1e-9)
        loss = losses.MeanSquaredError(reduction=reduction)
        records.append(fit(net, loss, optim, line(), epochs=1, validation=line(7), progress=False)[0])
    assert records[0]["loss"] == pytest.approx(records[1]["loss"], rel=1e-5)
    assert records[0]["val_loss"] == pytest.approx(records[1]["val_loss"], rel=1e-5)


def test_schedulers_step_per_epoch_or_per_step_and_plateau_sees_the_validation_loss():
    assert Job().fit(4)["learning_rate"] == pytest.approx([0.01, 0.01, 0.007, 0.007])
    one = Job(every="step", schedule=lambda o: schedulers.LinearLR(o, 0.1, total_iters=10))
    assert one.fit(3)["learning_rate"] == pytest.approx([0.001, 0.0055, 0.01])
    job = Job(schedule=lambda o: schedulers.ReduceLROnPlateau(o, patience=0, threshold=1e9, threshold_mode="abs"))
    history = job.fit(3)
    assert job.schedule.best == history["val_loss"][0]
    assert history["learning_rate"] == pytest.approx([0.01, 0.01, 0.001])


def test_custom_metrics_are_computed_on_the_validation_data():
    def largest(outputs, targets):
        assert outputs.shape == targets.shape == (20, 1)
        return float(np.abs(outputs - targets).max())

    history = Job().fit(2, metrics=[largest])
    assert set(history[0]) == {"epoch", "loss", "val_loss", "val_largest", "learning_rate", "seconds"}
    assert Job().fit(1, metrics={"worst": largest})[0]["val_worst"] == history[0]["val_largest"]


def test_callbacks_see_the_run_and_can_stop_it():
    seen = []

    def watch(run):
        seen.append((run.epoch, run.history[-1]["epoch"], run.model.training, run.optimizer.param_groups[0]["betas"]))
        if run.epoch == 3:
            run.stop("enough")

    history = Job().fit(9, callbacks=watch)
    assert [epoch for epoch, *_ in seen] == [1, 2, 3] == history["epoch"]
    assert history.stopped == "enough" and "stopped: enough" in repr(history)


def test_several_callbacks_are_called_in_order():
    called = []
    callbacks = [lambda run: called.append(("first", run.epoch)), lambda run: called.append(("second", run.epoch))]
    Job().fit(2, callbacks=iter(callbacks))
    assert called == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


# Early stopping


class Scripted:
    """A loss whose validation values are a script."""

    def __init__(self, script):
        self.inner, self.script = losses.MeanSquaredError(), iter(script)

    def forward(self, outputs, targets):
        loss = self.inner.forward(outputs, targets)
        return loss if numpyml.is_recording() else next(self.script)

    def backward(self):
        return self.inner.backward()


def scripted(script, **options):
    numpyml.manual_seed(0)
    net = layers.Dense(3, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    weights = []
    history = fit(
        net, Scripted(script), optim, line(), epochs=len(script), validation=line(32), batch_size=40, progress=False,
        callbacks=lambda run: weights.append(run.model.state_dict()["weight"]), **options,
    )  # fmt: skip
    return net, history, weights


def test_patience_stops_training_and_restores_the_best_weights():
    net, history, weights = scripted([3, 2, 2.5, 2, 1.9, 1], patience=2)
    assert history["val_loss"] == [3, 2, 2.5, 2] and history.best_epoch == 2
    assert history.stopped == "no better val_loss in 2 epochs after epoch 2"
    assert np.array_equal(net.weight.data, weights[1])


@pytest.mark.parametrize(("options", "epoch"), [({"patience": 9}, 1), ({}, 2)])
def test_final_weights_are_the_best_with_patience_and_the_last_without(options, epoch):
    net, history, weights = scripted([3, 1, 2], **options)
    assert history.stopped == "" and history.best_epoch == 2
    assert np.array_equal(net.weight.data, weights[epoch])


def test_any_metric_can_be_monitored_in_either_direction():
    figures = iter([1, 3, 2])

    def score(outputs, targets):
        return next(figures)

    net, history, weights = scripted([1, 2, 3], metrics=[score], monitor="val_score", mode="max", patience=5)
    assert history.best_epoch == 2 and np.array_equal(net.weight.data, weights[1])


def test_patience_runs_out_when_the_metric_is_always_nan():
    history = Job().fit(9, patience=2, metrics={"odd": lambda a, b: np.nan}, monitor="val_odd")
    assert (len(history), history.stopped) == (2, "no finite val_odd in 2 epochs")


def test_best_model_is_saved_to_its_own_file(tmp_path):
    path = tmp_path / "best.safetensors"
    _, history, weights = scripted([3, 1, 2], best=path)
    other = layers.Dense(3, 1)
    back = numpyml.load(path, other)
    assert np.array_equal(other.weight.data, weights[1])
    assert back["epoch"] == 2 and back["record"] == history[1]


# The history


def test_history_converts_to_a_dict_and_has_a_short_repr():
    history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 1.0}])
    assert history.to_dict() == {"epoch": [1, 2], "loss": [0.5, 0.25], "val_loss": [None, 1.0]}
    assert history["loss"] == [0.5, 0.25] and history[-1]["epoch"] == 2 and len(list(history)) == 2
    assert repr(history) == "History(2 epochs: loss 0.25, val_loss 1)"
    assert repr(History()) == "History(no epoch)"


@pytest.mark.parametrize(("method", "package"), [("to_frame", "pandas"), ("plot", "matplotlib.figure")])
def test_missing_package_is_named_with_its_extra(monkeypatch, method, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"{package.split('.')[0]}, which is not.*'provengrad\[training\]'"):
        getattr(History([{"epoch": 1, "loss": 1.0}]), method)()


# What it shows


def test_output_to_a_file_has_a_line_per_epoch_and_no_carriage_return(capsys):
    job = Job()
    job.loader.drop_last = True
    fit(job.net, losses.MeanSquaredError(), job.optim, job.loader, epochs=2, validation=line(9))
    out, err = capsys.readouterr()
    assert out == "" and "\r" not in err
    shown = err.splitlines()
    assert re.fullmatch(r"epoch 1/2  loss \S+  val_loss \S+  [\d.]+ steps/s", shown[0])
    assert shown[-1].startswith("epoch 2/2")


def test_a_line_shows_the_steps_per_second_of_its_epoch(capsys):
    Lines(2).epoch({"epoch": 2, "loss": 1.0, "seconds": 0.5}, 10)
    assert capsys.readouterr().err == "epoch 2/2  loss 1  20.0 steps/s\n"


def test_a_thousand_fast_epochs_print_few_lines(capsys):
    net = layers.Dense(3, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.01)
    fit(net, losses.MeanSquaredError(), optim, line(8), epochs=1000)
    assert capsys.readouterr().err.count("\n") < 100


def test_a_terminal_without_tqdm_gets_lines(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    job = Job()
    fit(job.net, losses.MeanSquaredError(), job.optim, job.loader, epochs=1)
    assert "epoch 1/1" in capsys.readouterr().err


def test_nothing_is_printed_without_progress(capsys):
    Job().fit(2)
    assert capsys.readouterr() == ("", "")
