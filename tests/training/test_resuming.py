"""fit: stopped, by Ctrl-C too, and resumed to the same bits."""

import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from jobs import Job, line

import numpyml
from numpyml import checkpoint
from numpyml.data import DataLoader, Subset
from numpyml.errors import (
    OptionError,
    StateError,
)
from numpyml.nn import layers, losses, optimizers, schedulers
from numpyml.random import default_generator
from numpyml.training import History, fit


@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(tmp_path, stop_at, every):
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


def test_patience_continues_after_resuming(tmp_path):
    path = tmp_path / "run.safetensors"
    figures, weights = iter([1.0, 2.0, 3.0, 4.0, 5.0]), []

    def train(**options):
        job = Job(schedule=lambda o: schedulers.StepLR(o, 9))
        scripted = {"metrics": {"scripted": lambda a, b: next(figures)}, "monitor": "val_scripted"}
        history = job.fit(5, patience=3, **scripted, **options)
        return job.net, history

    def stop_after_two(run):
        weights.append(run.model.state_dict())
        if run.epoch == 2:
            run.stop()

    train(checkpoint=path, callbacks=stop_after_two)
    net, history = train(resume=path)
    assert (len(history), history.best_epoch) == (4, 1)
    assert history.stopped == "no better val_scripted in 3 epochs after epoch 1"
    for name, array in net.state_dict().items():
        assert np.array_equal(array, weights[0][name])


def test_interrupted_epoch_counts_its_steps_and_seconds_once_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    job = Job()
    forward, count = job.net.forward, itertools.count(1)

    def interrupted(x):
        if numpyml.is_recording() and next(count) == 7:  # the second step of the second epoch
            time.sleep(0.1)
            signal.raise_signal(signal.SIGINT)
        return forward(x)

    vars(job.net)["forward"] = interrupted
    job.fit(3, checkpoint=path)
    runs = []
    history = Job(seed=5).fit(3, resume=path, callbacks=runs.append)
    assert history[1]["seconds"] >= 0.1
    assert runs[-1].steps == 15


class Noisy:
    """A dataset that draws for every row, as augmentations do."""

    def __init__(self):
        self.arrays, self.noise = line(), np.random.default_rng(9)

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, i):
        return self.arrays[0][i] + self.noise.standard_normal(3, np.float32), self.arrays[1][i]


@pytest.mark.parametrize("dataset", [Noisy, lambda: Subset(Noisy(), range(40))], ids=["itself", "subset"])
def test_random_datasets_resume_with_the_same_draws(tmp_path, dataset):
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
def test_prefetch_of_random_datasets_is_refused_with_a_checkpoint(tmp_path, path):
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
def test_ctrl_c_stops_after_the_step_and_resuming_gives_the_same_bits(tmp_path, step, prefetch):
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


def test_keyboard_interrupt_raised_in_a_callback_stops_training(tmp_path):
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


def test_ctrl_c_in_a_callback_stops_after_the_epoch(tmp_path):
    path = tmp_path / "run.safetensors"
    whole = Job()
    expected = whole.everything(whole.fit(3))
    history = Job().fit(3, checkpoint=path, callbacks=lambda run: signal.raise_signal(signal.SIGINT))
    assert history.stopped == "interrupted after epoch 1"
    other = Job(seed=4)
    assert other.everything(other.fit(3, resume=path)) == expected


def test_second_ctrl_c_stops_at_once_but_never_inside_an_optimizer_step():
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


@pytest.mark.parametrize("number", [2, 3])
def test_ctrl_c_while_the_last_checkpoint_is_written_waits_for_it(tmp_path, monkeypatch, number):
    path = tmp_path / "run.safetensors"
    whole = Job()
    expected = whole.everything(whole.fit(3))
    save, saved = checkpoint.save, []

    def interrupted(target, *model, **parts):
        saved.append(target)
        if len(saved) == 2:
            for _ in range(number):
                signal.raise_signal(signal.SIGINT)
        save(target, *model, **parts)

    job = Job()
    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.fit(3, checkpoint=path, callbacks=lambda run: signal.raise_signal(signal.SIGINT))
    assert len(saved) == 2
    monkeypatch.undo()
    other = Job(seed=6)
    assert other.everything(other.fit(3, resume=path)) == expected


def test_two_ctrl_c_at_the_end_of_an_epoch_count_it_once(tmp_path, monkeypatch):
    path, best = tmp_path / "run.safetensors", tmp_path / "best.safetensors"
    whole = Job()
    expected = whole.everything(whole.fit(3))
    save = checkpoint.save

    def interrupted(target, *model, **parts):
        if target == best:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        save(target, *model, **parts)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", interrupted)
        assert Job().fit(3, checkpoint=path, best=best).stopped == "interrupted after epoch 1"
    other = Job(seed=6)
    assert other.everything(other.fit(3, resume=path)) == expected


def test_custom_signal_handler_is_called_between_steps():
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


def test_custom_handler_of_ctrl_c_is_there_again_after_training():
    def custom(signum, frame):
        pass

    before = signal.signal(signal.SIGINT, custom)
    try:
        Job().fit(1)
        assert signal.getsignal(signal.SIGINT) is custom
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_runs_in_any_thread():
    histories = []
    thread = threading.Thread(target=lambda: histories.append(Job().fit(2)))
    thread.start()
    thread.join()
    assert len(histories[0]) == 2


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


def test_finished_training_is_not_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    job = Job()
    first = job.everything(job.fit(2, checkpoint=path))
    other = Job(seed=3)
    assert other.everything(other.fit(2, resume=path)) == first
    assert Job().fit(9, patience=1, checkpoint=path, metrics={"constant": lambda a, b: 1.0}, monitor="val_constant")
    resumed = Job().fit(9, patience=1, resume=path, metrics={"constant": lambda a, b: 1.0}, monitor="val_constant")
    assert (len(resumed), resumed.stopped) == (2, "no better val_constant in 1 epochs after epoch 1")


def test_checkpoint_of_another_model_is_refused_and_nothing_changes(tmp_path):
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
