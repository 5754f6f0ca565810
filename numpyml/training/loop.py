"""``fit``: the training loop, with validation, metrics, schedules, early stopping and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np

from numpyml import checkpoint as files
from numpyml.autograd.tape import is_recording, no_grad
from numpyml.errors import DataError, OptionError, StateError, kind_of
from numpyml.kernels import thresholds
from numpyml.nn.module import Module
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.preserve import generators_of, observed, set_states, states_of
from numpyml.nn.schedulers import ReduceLROnPlateau, Scheduler
from numpyml.nn.utils import clip_grad_norm_
from numpyml.options import choice, flag, integer, number, require
from numpyml.training.arguments import (
    batches_of,
    callback_list,
    check_model,
    check_path,
    check_schedule,
    in_memory,
)
from numpyml.training.diagnosis import FloatingPointWarnings, divergence, warn_of_double_squashing
from numpyml.training.history import History
from numpyml.training.interrupt import Interrupt
from numpyml.training.metrics import (
    GREATER_IS_BETTER,
    Metric,
    concatenate,
    metric_functions,
    require_same_row_shape,
)
from numpyml.training.progress import progress as progress_for
from numpyml.typing import Array, PathLike

__all__ = ["Run", "fit"]


class _Fallback(NamedTuple):
    """Model and optimizer after a step whose loss was finite."""

    step: int
    parameters: list[Array]
    buffers: list[Array]
    optimizer: dict[str, Any]


def fit(
    model: Module, loss: Any, optimizer: Optimizer, data: Any, *, epochs: int, batch_size: int | None = None,
    validation: Any = None, metrics: Any = (), scheduler: Scheduler | None = None, scheduler_every: str = "epoch",
    clip_grad_norm: float | None = None, patience: int | None = None, monitor: str | None = None,
    mode: str | None = None, checkpoint: PathLike | None = None, best: PathLike | None = None,
    resume: PathLike | None = None, callbacks: Callable[[Run], Any] | Iterable[Callable[[Run], Any]] = (),
    progress: bool = True,
) -> History:  # fmt: skip
    """Train a model.

    Each step is the loop of the explicit driver: ``model.forward``, ``loss.forward``, ``loss.backward``,
    ``model.backward``, ``optimizer.step``. The mode is ``train()`` in the steps, ``eval()`` in the
    validation and afterwards.

    Args:
        model: any module.
        loss: any loss whose output is a scalar.
        optimizer: of this model's parameters.
        data: inputs and targets: arrays ``(X, y)`` or a dataset, which are shuffled, or a DataLoader, or anything that
            can be iterated over again. The last entry of a batch is the targets, the others go to the model. A
            list of tuples of arrays is taken as batches; pass a list of rows through a DataLoader.
        epochs: the number of passes over the data, those before ``resume`` included.
        batch_size: of arrays and datasets; None: 32.
        validation: data to evaluate after each epoch, in the forms that ``data`` has; it is not shuffled.
        metrics: of the validation: any of 'accuracy', 'f1', 'r2', 'mae' (scikit-learn's, of the decisions that the
            outputs stand for; 'f1' is the mean over the classes where there are more than two), or functions of
            (outputs, targets), or a dict that names them. In the history they are ``val_accuracy`` and so on. All
            outputs of the validation are held in memory for them. Where its data is in memory, its batches are read
            once before the training, a ``collate_fn`` included, to refuse those of several lengths.
        scheduler: a schedule of this optimizer. ReduceLROnPlateau receives the monitored figure.
        scheduler_every: when the schedule is stepped: after every 'epoch' or every 'step'.
        clip_grad_norm: the largest total norm of the gradients, see ``clip_grad_norm_``.
        patience: end after so many epochs without a better figure. However the training ends, the model then has the
            weights of the best epoch.
        monitor: the figure to watch: 'val_loss' where there is a validation, else 'loss'.
        mode: 'min' where less is better, 'max' where more is; 'max' by default for accuracy, f1 and r2.
        checkpoint: a file that is written after every epoch and at Ctrl-C: all that ``resume`` needs.
        best: a file of the model, written whenever the figure is the best so far.
        resume: a checkpoint to continue from. The result is bit for bit that of an uninterrupted training, also after
            Ctrl-C within an epoch: its batches come again in the same order. A dataset that draws random numbers has
            to hold its generator as an attribute, and to be read without prefetch.
        callbacks: functions that are called after every epoch with the :class:`Run`; ``run.stop(why)`` ends training.
        progress: whether to show the progress: as a bar in terminals and notebooks (with tqdm), elsewhere as a line for
            each epoch.

    Returns: the :class:`History`. Its ``loss`` is the mean over the rows, from the losses of the training steps.

    Ctrl-C ends the training after the present step, writes the checkpoint and returns the history, whose ``stopped``
    says so. A second Ctrl-C does not wait for the step: no update of the weights is partial then, either, but the
    generators have advanced.

    Raises:
        DivergenceError: when a loss is not finite; it names the step, and the layer with the first value that is not.
            Model and optimizer are then as they were at most 16 steps before, with a loss that was finite; where the
            data is the cause, as they were after the last step. ``error.history`` has the epochs before.
        DTypeError, OptionError, DataError, OwnershipError: for arguments that do not fit, before anything has changed.
        StateError, CheckpointError: when ``resume`` does not fit, or a file cannot be read or written.
        MissingPackageError: for a metric without scikit-learn, a checkpoint without safetensors.

    Warns: when the model ends in a Sigmoid or Softmax and the loss expects logits; after an epoch (or the part of
        one before Ctrl-C) with floating-point warnings, such as overflow, though all losses were finite.
    """
    check_model(model, loss, optimizer)
    check_schedule(optimizer, scheduler, scheduler_every)
    check_path("checkpoint", checkpoint)
    check_path("best", best)
    run = Run(
        model, loss, optimizer, batches_of(data, batch_size, True), integer("fit", "epochs", epochs, 1),
        validation=None if validation is None else batches_of(validation, batch_size, False),
        metrics=metric_functions(metrics, loss), scheduler=scheduler, scheduler_every=scheduler_every,
        clip_grad_norm=None if clip_grad_norm is None else number("fit", "clip_grad_norm", clip_grad_norm),
        patience=None if patience is None else integer("fit", "patience", patience, 1),
        checkpoint=checkpoint, best=best, callbacks=callback_list(callbacks),
    )  # fmt: skip
    run.watch(monitor, mode)
    run.check_validation()
    run.check_prefetch("checkpoint" if resume is None else "resume", checkpoint or resume)
    if resume is not None:
        run.resume(resume)
    return run.go(flag("fit", "progress", progress))


@dataclass(eq=False, repr=False)
class Run:
    """The state of a training, as callbacks receive it: ``model``, ``loss``, ``optimizer``, ``scheduler``, ``epochs``,
    ``epoch`` (how many are done), ``history``, whose last record is that of the epoch just done, and ``stop(why)``.
    """

    model: Module
    loss: Any
    optimizer: Optimizer
    data: Any
    epochs: int
    validation: Any
    metrics: dict[str, Metric]
    scheduler: Scheduler | None
    scheduler_every: str
    clip_grad_norm: float | None
    patience: int | None
    checkpoint: PathLike | None
    best: PathLike | None
    callbacks: Sequence[Callable[[Run], Any]]

    def __post_init__(self) -> None:
        self.monitor, self.less_is_better = "loss", True
        self.history = History()
        # Saved in a checkpoint
        self.epoch = self.step = 0  # epochs done, and steps of the present one
        self.steps = 0  # in all
        self.sum = self.seconds = 0.0  # of the present epoch
        self.rows = 0
        self.best_figure = inf
        self.best_weights: dict[str, Array] | None = None
        self.waited = 0
        self.drawn: dict[str, Any] = {}  # states of the generators at the start of the present epoch
        # Not saved
        self._interrupt = Interrupt()
        self._float_warnings = FloatingPointWarnings()
        self._fallback: _Fallback | None = None
        self._buffers: list[Array] = []  # the model's
        self._before: list[Array] = []  # copies of them, from before the present step
        self._first = True

    def stop(self, why: str = "requested by a callback") -> None:
        """End the training after this epoch."""
        self.history.stopped = why

    def watch(self, monitor: str | None, mode: str | None) -> None:
        """Choose the figure by which the best epoch is determined."""
        figures = (
            ["loss"] if self.validation is None else ["loss", "val_loss", *(f"val_{name}" for name in self.metrics)]
        )
        if self.metrics and self.validation is None:
            raise OptionError(
                "fit expected validation data to compute metrics on, got none; pass validation=(X, y), which may be "
                "the training data"
            )
        self.monitor = choice("fit", "monitor", monitor or figures[min(1, len(figures) - 1)], figures)
        greater = self.monitor.removeprefix("val_") in GREATER_IS_BETTER
        self.less_is_better = choice("fit", "mode", mode or ("max" if greater else "min"), ("min", "max")) == "min"

    def check_validation(self) -> None:
        """Refuse targets that cannot be concatenated for the metrics, where the data is in memory."""
        if self.metrics and in_memory(self.validation):
            generators = generators_of(self.model, self.validation)
            before = states_of(generators)
            try:
                require_same_row_shape(np.shape(self._parts(batch)[-1]) for batch in self.validation)
            finally:
                set_states(generators, before)

    # The loop

    def go(self, shown: bool) -> History:
        """Train; see :func:`fit`."""
        batches = len(self.data) if hasattr(self.data, "__len__") else None
        bar = progress_for(shown, self.epochs, self.epoch, self.step, batches)
        try:
            with self._interrupt:
                try:
                    while self.epoch < self.epochs and not self.history.stopped:
                        self._one_epoch(bar)
                        self._float_warnings.issue(stacklevel=4)
                except KeyboardInterrupt:
                    with self._interrupt.atomic:  # another Ctrl-C waits until the checkpoint is written
                        self._interrupted()
        finally:
            bar.close()
            self.model.eval()
        if self.patience is not None and self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
        self._float_warnings.issue(stacklevel=4)  # where Ctrl-C came before the end of an epoch
        return self.history

    def _one_epoch(self, bar: Any) -> None:
        self.model.train()
        self._buffers = self.model.buffers()
        began = time.perf_counter() - self.seconds
        rate = self.optimizer.param_groups[0]["learning_rate"]
        for batch in self._remaining():
            with self._float_warnings.deferred():
                loss = self._one_step(batch)
            bar.step(loss)
            if self._interrupt.requested:
                self.seconds = time.perf_counter() - began
                raise KeyboardInterrupt
        if not self.rows:
            raise DataError(
                "fit expected at least one batch in an epoch, got none; set drop_last=False, and pass data that can be "
                "iterated over again"
            )
        record = {"epoch": self.epoch + 1, "loss": self.sum / self.rows, **self._validated()}
        record |= {"learning_rate": rate, "seconds": time.perf_counter() - began}
        steps = self.step
        with self._interrupt.atomic:
            self._account(record)
            self.step, self.rows, self.sum, self.seconds = 0, 0, 0.0, 0.0
        bar.epoch(record, steps)
        for callback in self.callbacks:
            callback(self)
        self.save()
        if self._interrupt.requested and self.epoch < self.epochs:
            raise KeyboardInterrupt

    def _one_step(self, batch: Any) -> float:
        *inputs, targets = self._parts(batch)
        self._before = [b.copy() for b in self._buffers]
        outputs = self._forward(inputs)
        loss = self._finite_loss(outputs, inputs, targets)
        rows = _rows(targets)
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward(), input_gradient=False)
        if self.clip_grad_norm is not None:
            clip_grad_norm_(
                (g for group in self.optimizer.param_groups for g in group["gradients"]), self.clip_grad_norm
            )
        if self._fallback is None or self.steps - self._fallback.step >= thresholds.COPIED_STEPS:
            parameters = [p.copy() for p in self.model.parameters()]
            self._fallback = _Fallback(self.steps, parameters, self._before, self.optimizer.state_dict())
        with self._interrupt.atomic:
            self.optimizer.step()
            if self.scheduler is not None and self.scheduler_every == "step":
                self.scheduler.step()
            self.sum += self._row_sum(rows, loss)
            self.rows += rows
            self.step += 1
            self.steps += 1
            self._before = []
        return loss

    def _forward(self, inputs: Sequence[Any]) -> Any:
        if not self._first:
            return self.model.forward(*inputs)
        self._first = False
        with observed(self.model) as calls:
            outputs = self.model.forward(*inputs)
        warn_of_double_squashing(self.model, self.loss, calls, outputs, stacklevel=7)
        return outputs

    def _remaining(self) -> Iterable[Any]:
        """The batches of this epoch that are left: all, except after an interruption within it."""
        generators = generators_of(self.model, self.data)
        now = states_of(generators)
        if not self.step:
            self.drawn = now
            return iter(self.data)
        set_states(generators, self.drawn)
        self.drawn = states_of(generators)
        batches = iter(self.data)
        for _ in islice(batches, self.step):
            pass
        set_states(generators, now)
        return batches

    @staticmethod
    def _parts(batch: Any) -> Sequence[Any]:
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            got = f"a {type(batch).__name__} of {len(batch)}" if isinstance(batch, (tuple, list)) else kind_of(batch)
            raise DataError(f"fit expected batches of inputs and targets, got {got}; give it both: ArrayDataset(X, y)")
        return batch

    # After an epoch

    def _validated(self) -> dict[str, float]:
        """Loss and metrics of the validation data."""
        if self.validation is None:
            return {}
        self.model.eval()
        total, rows, pairs = 0.0, 0, []
        with no_grad():
            for batch in self.validation:
                *inputs, targets = self._parts(batch)
                with self._float_warnings.deferred():
                    outputs = self.model.forward(*inputs)
                    loss = self._finite_loss(outputs, inputs, targets)
                n = _rows(targets)
                total, rows = total + self._row_sum(n, loss), rows + n
                if self.metrics:
                    pairs.append((outputs, np.asarray(targets)))
        if not rows:
            raise DataError("fit expected at least one batch of validation data, got none; set drop_last=False")
        figures = {"val_loss": total / rows}
        if pairs:
            outputs, targets = (concatenate(parts) for parts in zip(*pairs, strict=True))
            figures |= {f"val_{name}": float(metric(outputs, targets)) for name, metric in self.metrics.items()}
        return figures

    def _account(self, record: dict[str, Any]) -> None:
        """Append the record of an epoch; update the schedule, the best epoch and early stopping."""
        self.history.records.append(record)
        self.epoch += 1
        figure = record[self.monitor]
        if self.scheduler is not None and self.scheduler_every == "epoch":
            plateau = isinstance(self.scheduler, ReduceLROnPlateau)
            self.scheduler.step(figure) if plateau else self.scheduler.step()  # type: ignore[call-arg]
        cost = figure if self.less_is_better else -figure
        self.waited += 1
        if cost < self.best_figure:
            self.best_figure, self.waited = cost, 0
            self.history.best_epoch = self.epoch
            if self.patience is not None:
                self.best_weights = self.model.state_dict()
            if self.best is not None:
                files.save(self.best, self.model, epoch=self.epoch, record=record)
        self._check_patience()

    def _check_patience(self) -> None:
        if self.patience is not None and self.waited >= self.patience and self.epoch < self.epochs:
            best, waited = self.history.best_epoch, f"in {self.waited} epochs"
            none = f"no finite {self.monitor} {waited}"
            self.stop(none if best is None else f"no better {self.monitor} {waited} after epoch {best}")

    def _interrupted(self) -> None:
        of = f" of {len(self.data)}" if hasattr(self.data, "__len__") else ""
        within = f"after step {self.step}{of} of epoch {self.epoch + 1}" if self.step else f"after epoch {self.epoch}"
        self.stop(f"interrupted {within}")
        self.save()

    def _finite_loss(self, outputs: Any, inputs: Sequence[Any], targets: Any) -> float:
        loss = self.loss.forward(outputs, targets)
        if getattr(loss, "ndim", 0):
            raise OptionError(
                f"fit expected a loss that gives one number, got {kind_of(loss)}; choose reduction='mean'"
            )
        if isfinite(loss):
            return float(loss)
        fallback, consequence = self._fallback, "nothing has changed yet"
        if fallback is not None:
            consequence = f"model and optimizer are as they were after step {fallback.step}"
        when = f"at step {self.steps + 1} (epoch {self.epoch + 1}, batch {self.step + 1})"
        if not is_recording():
            when = f"in the validation after epoch {self.epoch + 1}"
        event = f"the loss was {loss} {when}"
        error, from_data = divergence(self.model, self.loss, (*inputs, targets), event, consequence)
        buffers = self._before
        if fallback is not None and not from_data:
            for p, values in zip(self.model.parameters(), fallback.parameters, strict=True):
                p[...] = values
            self.optimizer.load_state_dict(fallback.optimizer)
            buffers = fallback.buffers
        for b, values in zip(self._buffers, buffers, strict=bool(buffers)):  # none, in the validation
            b[...] = values
        error.history = self.history
        raise error

    def _row_sum(self, rows: int, loss: float) -> float:
        """The sum of the loss over the rows of a batch."""
        return loss if getattr(self.loss, "reduction", "mean") == "sum" else loss * rows

    # Checkpoints

    def check_prefetch(self, option: str, path: PathLike | None) -> None:
        """Refuse a checkpoint whose random state would depend on how many batches a thread has prefetched."""
        ahead = getattr(self.data, "prefetch", 0) if path is not None else 0
        draws = any(name.startswith("random/data.dataset") for name in generators_of(self.model, self.data))
        expected = f"0 for a dataset that draws random numbers, with {option}: the thread advances its generator"
        require(not (ahead and draws), "fit", "prefetch", ahead, expected)

    def _saved_parts(self) -> dict[str, Any]:
        schedule = {} if self.scheduler is None else {"scheduler": self.scheduler}
        return {"optimizer": self.optimizer, **schedule, **generators_of(self.model, self.data), "fit": self}

    def save(self) -> None:
        """Write the checkpoint, if a path for it was passed."""
        if self.checkpoint is not None:
            files.save(self.checkpoint, self.model, **self._saved_parts())

    def resume(self, path: PathLike) -> None:
        """Restore the state of a checkpoint."""
        files.load(path, self.model, **self._saved_parts())
        self._check_patience()

    _SAVED = ("epoch", "step", "steps", "sum", "seconds", "rows", "best_figure", "best_weights", "waited", "drawn")

    def state_dict(self) -> dict[str, Any]:
        """The state of the run that a checkpoint saves."""
        state = {name: getattr(self, name) for name in self._SAVED}
        return {**state, "records": self.history.records, "best_epoch": self.history.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        if not isinstance(state, Mapping) or set(state) != {*self._SAVED, "records", "best_epoch"}:
            raise StateError(
                f"fit expected the state of a training, got {kind_of(state)}; resume from what checkpoint= has written"
            )
        for name in self._SAVED:
            setattr(self, name, state[name])
        self.history.records, self.history.best_epoch = list(state["records"]), state["best_epoch"]


def _rows(targets: Any) -> int:
    """The number of rows of a batch; 1 where its targets are a single number."""
    return len(targets) if hasattr(targets, "__len__") and getattr(targets, "shape", True) else 1
