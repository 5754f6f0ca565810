"""fit: the loop as one would write it, ended early or late, and gone on with to the same bits."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest

import numpyml
from numpyml import checkpoint
from numpyml.data import ArrayDataset, DataLoader, Subset
from numpyml.errors import (
    DataError,
    DivergenceError,
    DTypeError,
    MissingPackageError,
    OptionError,
    OwnershipError,
    ShapeError,
    StateError,
)
from numpyml.nn import Module, Parameter, activations, layers, losses, model, optimizers, schedulers, utils
from numpyml.random import default_generator
from numpyml.training import History, fit


def line(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3), np.float32)
    return x, (x @ np.array([[1.0], [-2.0], [0.5]], np.float32)).astype(np.float32)


class Job:
    """A model with everything that draws random numbers or keeps a state."""

    def __init__(self, seed=0, *, every="epoch", dropout=0.2, schedule=None, batch_size=8):
        numpyml.manual_seed(seed)
        self.net = model.Sequential(
            layers.Dense(3, 8), activations.ReLU(), layers.Dropout(dropout),
            layers.Dropout(dropout, generator=np.random.default_rng(seed)), layers.Dense(8, 1),
        )  # fmt: skip
        self.optim = optimizers.Adam(self.net.parameters(), self.net.gradients(), learning_rate=0.01)
        self.schedule = (schedule or (lambda o: schedulers.StepLR(o, 2, 0.7)))(self.optim)
        self.loader = DataLoader(
            ArrayDataset(*line()), batch_size, shuffle=True, generator=np.random.default_rng(seed + 1)
        )
        self.every = every

    def fit(self, epochs, **options):
        return fit(
            self.net, losses.MeanSquaredError(), self.optim, self.loader, epochs=epochs, validation=line(20, 1),
            scheduler=self.schedule, scheduler_every=self.every, progress=False, **options,
        )  # fmt: skip

    def everything(self, history):
        """All that the next step depends on, and all figures, as one text."""
        generators = default_generator(), self.loader.generator, self.net[3].generator
        records = [{k: v for k, v in record.items() if k != "seconds"} for record in history]
        with np.printoptions(floatmode="unique", threshold=sys.maxsize):
            return repr((
                self.net.state_dict(), self.optim.state_dict(), self.schedule.state_dict(), records,
                history.best_epoch, [g.bit_generator.state for g in generators],
            ))  # fmt: skip


# The loop


def test_it_is_the_loop_that_one_would_write():
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


def test_it_learns_and_leaves_the_model_ready_to_be_used():
    job = Job(dropout=0.0, schedule=lambda o: schedulers.StepLR(o, 99))
    history = job.fit(60)
    assert history["val_loss"][-1] < 0.1 * history["val_loss"][0]
    assert not job.net.training
    x, y = line(20, 1)
    again = losses.MeanSquaredError().forward(job.net.forward(x), y)
    assert history[-1]["val_loss"] == pytest.approx(float(again), rel=1e-6)


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
def test_data_comes_in_any_form(data):
    net = layers.Dense(3, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    assert len(fit(net, losses.MeanSquaredError(), optim, data, epochs=2, progress=False)) == 2


def test_several_inputs_go_to_the_model_in_order():
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


def test_losses_of_either_reduction_are_told_by_the_row():
    found = []
    for reduction in ("mean", "sum"):
        numpyml.manual_seed(0)
        net = layers.Dense(3, 1)
        optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=1e-9)
        loss = losses.MeanSquaredError(reduction=reduction)
        found.append(fit(net, loss, optim, line(), epochs=1, validation=line(7), progress=False)[0])
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)
    assert found[0]["val_loss"] == pytest.approx(found[1]["val_loss"], rel=1e-5)


def test_a_schedule_moves_every_epoch_or_every_step_and_a_plateau_sees_the_validation_loss():
    assert Job().fit(4)["learning_rate"] == pytest.approx([0.01, 0.01, 0.007, 0.007])
    one = Job(every="step", schedule=lambda o: schedulers.LinearLR(o, 0.1, total_iters=10))
    assert one.fit(3)["learning_rate"] == pytest.approx([0.001, 0.0055, 0.01])
    job = Job(schedule=lambda o: schedulers.ReduceLROnPlateau(o, patience=0, threshold=1e9, threshold_mode="abs"))
    history = job.fit(3)
    assert job.schedule.best == history["val_loss"][0]
    assert history["learning_rate"] == pytest.approx([0.01, 0.01, 0.001])


def test_metrics_of_your_own_are_of_the_validation():
    def largest(outputs, targets):
        assert outputs.shape == targets.shape == (20, 1)
        return float(np.abs(outputs - targets).max())

    history = Job().fit(2, metrics=[largest])
    assert set(history[0]) == {"epoch", "loss", "val_loss", "val_largest", "learning_rate", "seconds"}
    assert Job().fit(1, metrics={"worst": largest})[0]["val_worst"] == history[0]["val_largest"]


def test_callbacks_see_the_run_and_can_end_it():
    seen = []

    def watch(run):
        seen.append((run.epoch, run.history[-1]["epoch"], run.model.training, run.optimizer.param_groups[0]["betas"]))
        if run.epoch == 3:
            run.stop("enough")

    history = Job().fit(9, callbacks=watch)
    assert [epoch for epoch, *_ in seen] == [1, 2, 3] == history["epoch"]
    assert history.stopped == "enough" and "stopped: enough" in repr(history)


# Early stopping


class Scripted:
    """A loss whose values in the validation are given beforehand."""

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


def test_patience_ends_it_and_brings_the_best_weights_back():
    net, history, weights = scripted([3, 2, 2.5, 2, 1.9, 1], patience=2)
    assert history["val_loss"] == [3, 2, 2.5, 2] and history.best_epoch == 2
    assert history.stopped == "no better val_loss in 2 epochs after epoch 2"
    assert np.array_equal(net.weight.data, weights[1])


def test_the_best_weights_come_back_also_where_the_last_epoch_was_reached():
    net, history, weights = scripted([3, 1, 2], patience=9)
    assert history.stopped == "" and np.array_equal(net.weight.data, weights[1])


def test_without_patience_the_last_weights_stay():
    net, history, weights = scripted([3, 1, 2])
    assert history.best_epoch == 2 and np.array_equal(net.weight.data, weights[2])


def test_another_figure_can_be_watched_and_more_can_be_better():
    figures = iter([1, 3, 2])

    def score(outputs, targets):
        return next(figures)

    net, history, weights = scripted([1, 2, 3], metrics=[score], monitor="val_score", mode="max", patience=5)
    assert history.best_epoch == 2 and np.array_equal(net.weight.data, weights[1])


def test_patience_is_lost_also_with_figures_that_are_never_a_number():
    history = Job().fit(9, patience=2, metrics={"odd": lambda a, b: np.nan}, monitor="val_odd")
    assert (len(history), history.stopped) == (2, "no finite val_odd in 2 epochs")


def test_the_best_model_is_a_file_of_its_own(tmp_path):
    path = tmp_path / "best.safetensors"
    _, history, weights = scripted([3, 1, 2], best=path)
    other = layers.Dense(3, 1)
    back = numpyml.load(path, other)
    assert np.array_equal(other.weight.data, weights[1])
    assert back["epoch"] == 2 and back["record"] == history[1]


# Going on


@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_a_resumed_training_has_the_bits_of_one_that_never_stopped(tmp_path, stop_at, every):
    path = tmp_path / "run.safetensors"
    whole = Job(every=every)
    expected = whole.everything(whole.fit(6, patience=50))

    def interrupt(run):
        if run.epoch == stop_at:
            run.stop()

    Job(every=every).fit(6, patience=50, checkpoint=path, callbacks=interrupt)
    other = Job(seed=77, every=every)
    history = other.fit(6, patience=50, checkpoint=path, resume=path)
    assert history["epoch"] == [1, 2, 3, 4, 5, 6]
    assert other.everything(history) == expected


class Noisy:
    """A dataset that draws for every row, as augmentations do."""

    def __init__(self):
        self.arrays, self.noise = line(), np.random.default_rng(9)

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, i):
        return self.arrays[0][i] + self.noise.standard_normal(3, np.float32), self.arrays[1][i]


@pytest.mark.parametrize("dataset", [Noisy, lambda: Subset(Noisy(), range(40))], ids=["itself", "subset"])
def test_what_a_dataset_draws_is_drawn_again_where_it_was_interrupted(tmp_path, dataset):
    path = tmp_path / "run.safetensors"
    runs = []
    for stop_at in (None, 8):
        job = Job()
        job.loader = DataLoader(dataset(), 8, shuffle=True, generator=np.random.default_rng(1))
        if stop_at:
            step, count = job.optim.step, []

            def interrupted(step=step, count=count, stop_at=stop_at):
                count.append(1)
                if len(count) == stop_at:
                    signal.raise_signal(signal.SIGINT)
                step()

            job.optim.step = interrupted
        runs.append((job, job.fit(2, checkpoint=path)))
    other = Job(seed=8)
    other.loader = DataLoader(dataset(), 8, shuffle=True, generator=np.random.default_rng(2))
    assert runs[1][1].stopped and other.everything(other.fit(2, resume=path)) == runs[0][0].everything(runs[0][1])


@pytest.mark.parametrize("path", ["checkpoint", "resume"])
def test_rows_that_are_drawn_ahead_could_not_be_drawn_again_and_are_refused(tmp_path, path):
    file = tmp_path / "run.safetensors"
    Job().fit(1, checkpoint=file)
    for dataset in (Noisy(), Subset(Noisy(), range(20))):
        job = Job()
        job.loader = DataLoader(dataset, 8, generator=np.random.default_rng(1), prefetch=2)
        before = job.everything(History())
        with pytest.raises(OptionError, match=f"prefetch to be 0 .* with {path}: .*got 2"):
            job.fit(2, **{path: file})
        assert job.everything(History()) == before
    assert len(job.fit(1)) == 1


@pytest.mark.parametrize("step", [1, 3, 5, 6, 14])  # of 5 in an epoch: within one, and at the end of one
@pytest.mark.parametrize("prefetch", [0, 2])
def test_ctrl_c_ends_after_the_step_and_going_on_gives_the_same_bits(tmp_path, step, prefetch):
    path = tmp_path / "run.safetensors"
    whole = Job(schedule=schedulers.ReduceLROnPlateau)
    expected = whole.everything(whole.fit(4))

    job = Job(schedule=schedulers.ReduceLROnPlateau)
    job.loader.prefetch = prefetch
    forward, count = job.net.forward, 0

    def interrupted(x):
        nonlocal count
        count += numpyml.is_recording()
        if count == step and numpyml.is_recording():
            signal.raise_signal(signal.SIGINT)
        return forward(x)

    vars(job.net)["forward"] = interrupted
    handler = signal.getsignal(signal.SIGINT)
    history = job.fit(4, checkpoint=path)
    assert signal.getsignal(signal.SIGINT) is handler
    epoch, batch = divmod(step, 5)
    within = f"after step {batch} of 5 of epoch {epoch + 1}" if batch else f"after step 5 of 5 of epoch {epoch}"
    assert history.stopped == f"interrupted {within}"
    assert not job.net.training and len(history) == epoch - (batch == 0)

    other = Job(seed=5, schedule=schedulers.ReduceLROnPlateau)
    other.loader.prefetch = prefetch
    assert other.everything(other.fit(4, resume=path)) == expected


def test_a_keyboard_interrupt_from_elsewhere_ends_it_as_well(tmp_path):
    def stop(run):
        raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    job = Job()
    history = job.fit(4, checkpoint=path, callbacks=stop)
    assert history.stopped == "interrupted after epoch 1"
    whole = Job()
    expected = whole.everything(whole.fit(4))
    other = Job(seed=2)
    assert other.everything(other.fit(4, resume=path)) == expected


def test_ctrl_c_in_a_callback_ends_after_the_epoch(tmp_path):
    path = tmp_path / "run.safetensors"
    whole = Job()
    expected = whole.everything(whole.fit(3))
    history = Job().fit(3, checkpoint=path, callbacks=lambda run: signal.raise_signal(signal.SIGINT))
    assert history.stopped == "interrupted after epoch 1"
    other = Job(seed=4)
    assert other.everything(other.fit(3, resume=path)) == expected


def test_the_second_ctrl_c_does_not_wait_but_never_cuts_an_optimizers_step():
    job = Job()
    stepped = []
    step = job.optim.step

    def interrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        step()
        stepped.append(True)

    job.optim.step = interrupted
    history = job.fit(4)
    assert stepped == [True] and history.stopped == "interrupted after step 1 of 5 of epoch 1"

    job = Job()
    forward = job.net.forward

    def twice(x):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return forward(x)

    vars(job.net)["forward"] = twice
    before = job.net.state_dict()
    assert job.fit(4).stopped == "interrupted after epoch 0"
    assert all(np.array_equal(before[name], p) for name, p in job.net.state_dict().items())


def test_two_ctrl_c_while_an_epoch_is_accounted_for_lose_no_epoch_and_count_none_twice(tmp_path, monkeypatch):
    path, best = tmp_path / "run.safetensors", tmp_path / "best.safetensors"
    whole = Job()
    expected = whole.everything(whole.fit(3))
    save = checkpoint.save

    def interrupted(place, *model, **parts):
        if place == best:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        save(place, *model, **parts)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", interrupted)
        assert Job().fit(3, checkpoint=path, best=best).stopped == "interrupted after epoch 1"
    other = Job(seed=6)
    assert other.everything(other.fit(3, resume=path)) == expected


def test_a_handler_of_yours_is_called_between_steps():
    called, job = [], Job()
    step = job.optim.step

    def interrupted():
        before = len(called)
        signal.raise_signal(signal.SIGINT)
        assert len(called) == before
        step()

    job.optim.step = interrupted
    before = signal.signal(signal.SIGINT, lambda *_: called.append(1))
    try:
        assert job.fit(1).stopped == ""
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(called) == 5


def test_it_trains_in_any_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(Job().fit(2)))
    thread.start()
    thread.join()
    assert len(found[0]) == 2


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent in another way there")
def test_ctrl_c_in_a_terminal_leaves_no_traceback_and_a_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    code = f"""
        import numpy as np, numpyml, sys
        from numpyml.nn import layers, losses, optimizers
        from numpyml.training import fit
        net = layers.Dense(3, 1)
        optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.001)
        x = np.ones((64, 3), np.float32)
        def ready(run):
            if run.epoch == 1:
                print("ready", flush=True)
        history = fit(net, losses.MeanSquaredError(), optim, (x, x[:, :1]), epochs=10**9, callbacks=ready,
                      checkpoint={str(path)!r}, progress=False)
        print(history.stopped, np.isfinite(net.weight.data).all())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert re.fullmatch(r"interrupted after .* True\n", out)
    assert numpyml.load(path, layers.Dense(3, 1)) == {}


def test_a_finished_or_ended_training_is_not_gone_on_with(tmp_path):
    path = tmp_path / "run.safetensors"
    job = Job()
    first = job.everything(job.fit(2, checkpoint=path))
    other = Job(seed=3)
    assert other.everything(other.fit(2, resume=path)) == first
    assert Job().fit(9, patience=1, checkpoint=path, metrics={"constant": lambda a, b: 1.0}, monitor="val_constant")
    again = Job().fit(9, patience=1, resume=path, metrics={"constant": lambda a, b: 1.0}, monitor="val_constant")
    assert (len(again), again.stopped) == (2, "no better val_constant in 1 epochs after epoch 1")


def test_what_does_not_fit_a_checkpoint_is_told_and_nothing_changes(tmp_path):
    path = tmp_path / "run.safetensors"
    job = Job()
    job.fit(1, checkpoint=path)
    net = layers.Dense(3, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    before = net.weight.data.copy()
    with pytest.raises(StateError, match=r"0\.weight is not in this model"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=2, resume=path, progress=False)
    assert np.array_equal(before, net.weight.data)
    numpyml.save(path, net)
    with pytest.raises(StateError, match="fit is missing"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=2, resume=path, progress=False)
    numpyml.save(path, net, optimizer=optim, fit=schedulers.StepLR(optim, 1), **{"random/default": default_generator()})
    with pytest.raises(StateError, match="fit expected the state of a training"):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=2, resume=path, progress=False)
    with pytest.raises(FileNotFoundError):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=2, resume=tmp_path / "none", progress=False)


# Validation batches of several shapes


class Half(Module):
    """Outputs in the shape of what came in."""

    def __init__(self):
        self.p = Parameter(np.ones(1))

    def forward(self, x):
        return x * self.p


def rows_of_lengths(*lengths):
    return [(np.full((2, n), 0.5), np.zeros((2, n))) for n in lengths]


@pytest.mark.parametrize("validation", [
    rows_of_lengths(3, 4),
    DataLoader(rows_of_lengths(3, 3, 4), batch_size=2, collate_fn=lambda rows: rows[-1]),
    DataLoader(rows_of_lengths(3, 4), batch_size=1),
])  # fmt: skip
def test_validation_batches_that_no_metric_can_take_are_refused_before_training(validation):
    net = Half()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    before, drawn = net.state_dict(), numpyml.manual_seed(0).bit_generator.state
    options = {"epochs": 1, "validation": validation, "progress": False}
    with pytest.raises(ShapeError, match=r"in their rows alone, .* got \((1, )?2, 3\) and \((1, )?2, 4\)"):
        fit(net, losses.MeanSquaredError(), optim, rows_of_lengths(3), metrics={"one": lambda y, t: 1}, **options)
    assert np.array_equal(net.state_dict()["p"], before["p"])
    assert default_generator().bit_generator.state == drawn
    assert len(fit(net, losses.MeanSquaredError(), optim, rows_of_lengths(3), **options)) == 1  # no metric, no matter


def test_validation_that_has_to_be_computed_to_be_known_is_refused_after_the_epoch():
    class Growing(Half):
        def forward(self, x):
            return np.concatenate([x] * x.shape[1], axis=1) * self.p

    net = Growing()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    data = [(np.ones((2, n)), np.zeros(2)) for n in (1, 2)]

    class First(losses.MeanSquaredError):
        def compute(self, outputs, targets):
            return super().compute(outputs[:, 0], targets)

        def pullback(self, context, gy, needs_input_grad=(True, True)):
            return super().pullback(context, gy, needs_input_grad)[0][:, np.newaxis], None

    with pytest.raises(ShapeError, match="differ in their rows alone"):
        fit(net, First(), optim, [data[0]], epochs=1, validation=data, metrics={"one": lambda y, t: 1}, progress=False)


def test_what_a_validation_draws_before_training_moves_no_generator():
    def found(metrics):
        job = Job(dropout=0.5)
        drawing = DataLoader(
            [(np.ones(3, np.float32), np.ones(1, np.float32))] * 4, batch_size=2, shuffle=True,
            collate_fn=lambda rows: [np.stack(part) for part in zip(*rows, strict=True)],
        )  # fmt: skip
        fit(job.net, losses.MeanSquaredError(), job.optim, line(), epochs=2, validation=drawing, metrics=metrics,
            progress=False)  # fmt: skip
        return job.net.state_dict()

    one, other = found(()), found({"one": lambda y, t: 1})
    assert all(np.array_equal(one[name], other[name]) for name in one)


# Losses that are no number


def wild(learning_rate=1e30, **options):
    net = model.Sequential(layers.Dense(3, 4), activations.ReLU(), layers.Dense(4, 1))
    return net, optimizers.SGD(net.parameters(), net.gradients(), learning_rate=learning_rate, **options)


def test_a_diverging_training_stops_tells_the_layer_and_keeps_weights_that_gave_a_number():
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


def test_the_weights_kept_gave_a_finite_loss_also_after_many_steps():
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


def test_the_place_is_found_also_inside_a_forward_of_ones_own():
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


@pytest.mark.parametrize(("place", "name"), [(0, "inputs"), (1, "targets")])
def test_data_that_is_not_finite_is_told_and_the_model_stays(place, name):
    data = line()
    data[place][33, 0] = np.nan
    batches = list(DataLoader(ArrayDataset(*data), 16))
    nets = []
    for given in (batches[:2], batches):
        numpyml.manual_seed(0)
        net, optim = wild(0.01)
        nets.append(net)
        if given is batches:
            with pytest.raises(
                DivergenceError,
                match=rf"finite {name}, got 1 NaN or infinite values, the first in row 1 of the batch: .*at step 3",
            ):
                fit(net, losses.MeanSquaredError(), optim, given, epochs=1, progress=False)
        else:
            fit(net, losses.MeanSquaredError(), optim, given, epochs=1, progress=False)
    assert all(np.array_equal(p, q) for p, q in zip(*(net.parameters() for net in nets), strict=True))


def test_a_validation_that_is_no_number_is_told():
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


def test_an_overflow_that_leaves_the_loss_a_number_is_told_once_and_can_be_found():
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
def test_an_overflow_is_told_also_where_ctrl_c_ends_the_epoch(times):
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
def test_who_takes_overflows_elsewhere_gets_them_there(how):
    class Log:
        def __init__(self):
            self.told = []

        def write(self, message):
            self.told.append(message)

        def __call__(self, kind, flag):
            self.told.append(kind)

    net = model.Sequential(layers.Dense(3, 1), Steep())
    optim, log = optimizers.SGD(net.parameters(), net.gradients()), Log()
    with np.errstate(over=how, call=log):
        fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, progress=False)
    assert log.told and all("overflow" in message for message in log.told)


# What it warns of


@pytest.mark.parametrize("make", [
    lambda: model.Sequential(layers.Dense(3, 2), activations.Softmax(1)),
    lambda: model.Sequential(model.Sequential(layers.Dense(3, 2), activations.Sigmoid())),
    lambda: model.Sequential(layers.Dense(3, 2), activations.Sigmoid(), layers.Dropout(0.0), layers.Flatten()),
])  # fmt: skip
@pytest.mark.parametrize("loss", [losses.CrossEntropyWithLogits(), losses.BinaryCrossEntropyWithLogits()])
def test_a_squashed_output_before_a_loss_on_logits_is_warned_of(make, loss):
    net = make()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    x, _ = line()
    y = (x[:, :2] > 0).astype(np.float32) if "Binary" in repr(loss) else (x[:, 0] > 0).astype(np.int64)
    with pytest.warns(
        UserWarning, match=r"the model ends in Sequential\[.*(Sigmoid|Softmax).*expects logits"
    ) as caught:
        fit(net, loss, optim, (x, y), epochs=2, progress=False)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_a_model_of_ones_own_that_ends_in_a_sigmoid_is_warned_of():
    class Own(Module):
        def __init__(self):
            self.dense, self.squash = layers.Dense(3, 1), activations.Sigmoid()

        def forward(self, x):
            return self.squash(self.dense(x)).reshape(-1)

    net = Own()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    x, _ = line()
    with pytest.warns(UserWarning, match=r"Own\.squash Sigmoid\(\)"):
        fit(net, losses.BinaryCrossEntropyWithLogits(), optim, (x, (x[:, 0] > 0) * 1.0), epochs=1, progress=False)


def test_a_sigmoid_inside_or_before_another_loss_is_not_warned_of():
    x, y = line()
    inside = model.Sequential(layers.Dense(3, 3), activations.Sigmoid(), layers.Dense(3, 1))
    at_the_end = model.Sequential(layers.Dense(3, 1), activations.Sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for net, loss in ((inside, losses.BinaryCrossEntropyWithLogits()), (at_the_end, losses.MeanSquaredError())):
            optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
            fit(net, loss, optim, (x, (y > 0) * 1.0), epochs=1, progress=False)


# What it refuses


def call(**changes):
    net = layers.Dense(3, 1)
    given = {
        "model": net, "loss": losses.MeanSquaredError(), "data": line(), "epochs": 1, "progress": False,
        "optimizer": optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1),
    }  # fmt: skip
    given |= {name: value(net) if callable(value) and name == "optimizer" else value for name, value in changes.items()}
    return fit(given.pop("model"), given.pop("loss"), given.pop("optimizer"), given.pop("data"), **given)


OTHER = layers.Dense(3, 1)
OTHERS = optimizers.SGD(OTHER.parameters(), OTHER.gradients(), learning_rate=0.1)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"model": 3}, DTypeError, "fit expected a model, got 3"),
        ({"loss": abs}, DTypeError, "fit expected a loss with forward and backward"),
        (
            {"loss": losses.MeanSquaredError(reduction="none")},
            OptionError,
            "a loss that gives one number, got an array",
        ),
        ({"optimizer": "adam"}, DTypeError, "fit expected an optimizer of numpyml.nn.optimizers, got 'adam'"),
        ({"optimizer": lambda net: OTHERS}, OwnershipError, "fit expected an optimizer of this model's parameters"),
        ({"scheduler": schedulers.StepLR(OTHERS, 1)}, OwnershipError, "fit expected a scheduler of this optimizer"),
        ({"scheduler_every": "batch"}, OptionError, "scheduler_every to be one of 'epoch', 'step'"),
        (
            {
                "optimizer": lambda net: OTHERS,
                "model": OTHER,
                "scheduler_every": "step",
                "scheduler": schedulers.ReduceLROnPlateau(OTHERS),
            },
            OptionError,
            "scheduler_every to be 'epoch' for ReduceLROnPlateau, .* got 'step'",
        ),
        ({"epochs": 0}, OptionError, "epochs to be an integer of 1 or more, got 0"),
        ({"batch_size": 0}, OptionError, "DataLoader expected batch_size to be an integer of 1 or more, got 0"),
        (
            {"data": DataLoader(ArrayDataset(*line())), "batch_size": 3},
            OptionError,
            "batch_size for arrays and datasets",
        ),
        ({"data": iter([line()])}, DTypeError, "an iterator, which is used up after one epoch"),
        ({"data": 3}, DTypeError, r"arrays \(X, y\), a dataset or a DataLoader, got 3"),
        ({"data": (np.zeros((3, 3)), np.zeros((4, 1)))}, ValueError, "arrays of one length, got lengths 3 and 4"),
        ({"data": (np.zeros((0, 3)), np.zeros((0, 1)))}, DataError, "at least one row"),
        ({"data": DataLoader(ArrayDataset(*line(3)), 4, drop_last=True)}, DataError, "at least one batch in an epoch"),
        (
            {"validation": DataLoader(ArrayDataset(*line(3)), 4, drop_last=True)},
            DataError,
            "at least one batch of validation data",
        ),
        ({"data": ArrayDataset(line()[0])}, DataError, "batches of inputs and targets, got a tuple of 1"),
        (
            {"data": list(zip(*line(), strict=True))},
            DataError,
            r"list of rows, .* shapes \(3,\) and \(1,\).*DataLoader\(rows",
        ),
        (
            {"data": [(x, y[0]) for x, y in zip(*line(), strict=True)]},
            DataError,
            r"a list of rows, .* shapes \(3,\) and \(\)",
        ),
        ({"validation": [line()[0]]}, DataError, "batches of inputs and targets"),
        ({"metrics": ["accuracies"], "validation": line()}, OptionError, "any of accuracy, f1, r2, mae, or functions"),
        ({"metrics": 3}, OptionError, "metrics to be names or functions"),
        (
            {"metrics": [lambda a, b: 0, lambda a, b: 1], "validation": line()},
            OptionError,
            "<lambda> twice",
        ),
        ({"metrics": {"loss": abs}, "validation": line()}, OptionError, "got loss, .*val_loss.* in a dict"),
        ({"metrics": {"x": abs}}, OptionError, "validation data to compute metrics on"),
        ({"monitor": "val_loss"}, OptionError, "monitor to be one of 'loss'"),
        ({"mode": "most"}, OptionError, "mode to be one of 'min', 'max'"),
        ({"patience": 0}, OptionError, "patience to be an integer of 1 or more"),
        ({"clip_grad_norm": -1}, OptionError, "clip_grad_norm to be a finite number of 0 or more"),
        ({"callbacks": [3]}, OptionError, "callbacks to be functions of one argument"),
        ({"callbacks": 5}, OptionError, "callbacks to be functions of one argument, got 5"),
        ({"progress": 2}, OptionError, "progress to be True or False"),
        ({"checkpoint": "no/such/folder/file"}, OptionError, "checkpoint to be in a folder that exists"),
        ({"best": "no/such/folder/file"}, OptionError, "best to be in a folder that exists"),
        ({"checkpoint": 5}, OptionError, "checkpoint to be a path, got 5"),
        ({"resume": 5}, DTypeError, "load expected a path, got 5"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, error, said):
    with pytest.raises(error, match=said):
        call(**changes)


def test_outputs_that_metrics_cannot_be_computed_of_together_are_told():
    dense = layers.Dense(1, 1, dtype=np.float64)
    optim = optimizers.SGD(dense.parameters(), dense.gradients(), learning_rate=0.1)
    batches = [(np.zeros((2, n, 1)), np.zeros((2, n, 1))) for n in (3, 4)]
    with pytest.raises(ShapeError, match=r"metrics .* got \(2, 3, 1\) and \(2, 4, 1\); pad them"):
        call(model=dense, optimizer=optim, data=batches, validation=batches, metrics=[lambda a, b: 0.0])


def test_metrics_by_name_need_scikit_learn_and_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        MissingPackageError, match=r"accuracy expected the package scikit-learn.*'provengrad\[training\]'"
    ):
        call(metrics="accuracy", validation=line())


def test_a_checkpoint_needs_safetensors_and_says_so_before_it_trains(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingPackageError, match=r"'provengrad\[checkpoint\]'"):
        call(checkpoint=tmp_path / "x", callbacks=lambda run: pytest.fail("it trained"))


# The history


def test_a_history_is_a_dict_of_lists_and_reads_at_a_glance():
    history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 1.0}])
    assert history.to_dict() == {"epoch": [1, 2], "loss": [0.5, 0.25], "val_loss": [None, 1.0]}
    assert history["loss"] == [0.5, 0.25] and history[-1]["val_loss"] == 1.0 and len(list(history)) == 2
    assert repr(history) == "History(2 epochs: loss 0.25, val_loss 1)"
    assert repr(History()) == "History(no epoch)"


@pytest.mark.parametrize(("method", "package"), [("to_frame", "pandas"), ("plot", "matplotlib.figure")])
def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch, method, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"{package.split('.')[0]}, which is not.*'provengrad\[training\]'"):
        getattr(History([{"epoch": 1, "loss": 1.0}]), method)()


# What it shows


def test_a_file_gets_a_line_an_epoch_and_no_carriage_return(capsys):
    job = Job()
    job.loader.drop_last = True
    fit(job.net, losses.MeanSquaredError(), job.optim, job.loader, epochs=2, validation=line(9))
    out, err = capsys.readouterr()
    assert out == "" and "\r" not in err
    shown = err.splitlines()
    assert re.fullmatch(r"epoch 1/2  loss \S+  val_loss \S+  [\d.]+ steps/s", shown[0])
    assert shown[-1].startswith("epoch 2/2")


def test_a_thousand_fast_epochs_do_not_fill_the_file(capsys):
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


def test_nothing_is_shown_where_nothing_is_wanted(capsys):
    Job().fit(2)
    assert capsys.readouterr() == ("", "")
