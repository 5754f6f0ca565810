"""Faults in the training loop, seen by its tests."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from faults import seen_by
from numpyml.nn import Module
from numpyml.nn.schedulers import ReduceLROnPlateau
from numpyml.training import arguments, diagnosis, history, interrupt, loop, progress

RUN = loop.Run
LOOP, RESUMING, ARGUMENTS = "training/test_loop.py", "training/test_resuming.py", "training/test_arguments.py"
DIVERGENCE = "training/test_divergence.py"


def _without(owner: str, method: str, result: Any = None) -> Callable[[Any], Any]:
    """A method of Run during which a method of one of its parts does nothing."""

    def wrong(right: Any) -> Any:
        def run(self: Any, *arguments: Any) -> Any:
            part = vars(getattr(self, owner))
            part[method] = lambda *_: result
            try:
                return right(self, *arguments)
            finally:
                del part[method]

        return run

    return wrong


def _mode_after_validation(right: Any) -> Any:
    def validated(self: Any) -> Any:
        figures = right(self)
        self.model.train()
        return figures

    return validated


def _training_mode_at_the_end(right: Any) -> Any:
    def go(self: Any, shown: bool) -> Any:
        result = right(self, shown)
        self.model.train()
        return result

    return go


def _first_epoch_alone(right: Any) -> Any:
    def one_epoch(self: Any, bar: Any) -> None:
        if not self.epoch:
            return right(self, bar)
        return _without("model", "train")(right)(self, bar)

    return one_epoch


def _shuffled_validation(right: Any) -> Any:
    return lambda data, batch_size, shuffle: right(data, batch_size, True)


def _data_in_order(right: Any) -> Any:
    return lambda data, batch_size, shuffle: right(data, batch_size, False)


def _size_of_32(right: Any) -> Any:
    return lambda data, batch_size, shuffle: right(data, None if batch_size is None else 32, shuffle)


def _means_of_batches(right: Any) -> Any:
    return lambda self, rows, loss: loss


def _always_times_rows(right: Any) -> Any:
    return lambda self, rows, loss: loss * rows


def _first_group(right: Any) -> Any:
    def one_step(self: Any, batch: Any) -> float:
        groups = self.optimizer.param_groups
        clip = loop.clip_grad_norm_
        loop.clip_grad_norm_ = lambda gradients, limit: clip(groups[0]["gradients"], limit)
        try:
            return float(right(self, batch))
        finally:
            loop.clip_grad_norm_ = clip

    return one_step


def _one_by_one(right: Any) -> Any:
    return lambda gradients, limit: [right([g], limit) for g in gradients]


def _half_the_norm(right: Any) -> Any:
    return lambda gradients, limit: right(gradients, limit / 2)


def _not_clipped(right: Any) -> Any:
    return lambda gradients, limit: None


def _follows_training(right: Any) -> Any:
    def account(self: Any, record: dict[str, Any]) -> None:
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            return right(self, record)
        step = self.scheduler.step
        vars(self.scheduler)["step"] = lambda figure: step(record["loss"])
        try:
            return right(self, record)
        finally:
            del vars(self.scheduler)["step"]

    return account


def _equal_is_better(right: Any) -> Any:
    def account(self: Any, record: dict[str, Any]) -> None:
        self.best_figure = np.nextafter(self.best_figure, np.inf)
        right(self, record)

    return account


def _live_best(right: Any) -> Any:
    def account(self: Any, record: dict[str, Any]) -> None:
        right(self, record)
        if self.best_weights is not None:
            self.best_weights = {name: p.data for name, p in self.model.named_parameters()}

    return account


def _patient(right: Any) -> Any:
    def check(self: Any) -> None:
        self.waited -= 1
        right(self)
        self.waited += 1

    return check


def _best_kept(right: Any) -> Any:
    def go(self: Any, shown: bool) -> Any:
        load = Module.load_state_dict
        Module.load_state_dict = lambda *_: None
        try:
            return right(self, shown)
        finally:
            Module.load_state_dict = load

    return go


def _last_part(right: Any) -> Any:
    return lambda parts: right(parts[-1:])


def _max_for_all(right: Any) -> Any:
    def watch(self: Any, monitor: Any, mode: Any) -> None:
        right(self, monitor, mode)
        self.less_is_better = True

    return watch


def _first_figure(right: Any) -> Any:
    def watch(self: Any, monitor: Any, mode: Any) -> None:
        right(self, monitor, mode)
        self.monitor = monitor or "loss"

    return watch


def _rate_after(right: Any) -> Any:
    def account(self: Any, record: dict[str, Any]) -> None:
        right(self, record)
        record["learning_rate"] = self.optimizer.param_groups[0]["learning_rate"]

    return account


def _without_saved(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda right: lambda self: {**right(self), name: value}


def _without_part(prefix: str) -> Callable[[Any], Any]:
    return lambda right: lambda self: {n: part for n, part in right(self).items() if not n.startswith(prefix)}


def _from_the_beginning(right: Any) -> Any:
    return lambda self: iter(self.data)


def _orders_again(right: Any) -> Any:
    def remaining(self: Any) -> Any:
        drawn, self.drawn = self.drawn, {}
        batches = right(self)
        self.drawn = self.drawn or drawn
        return batches

    return remaining


def _data_is_to_blame(right: Any) -> Any:
    return lambda *arguments: (right(*arguments)[0], True)


def _data_is_innocent(right: Any) -> Any:
    return lambda *arguments: (right(*arguments)[0], False)


def _issued_at_once(right: Any) -> Any:
    return lambda self: nullcontext()


def _never_issued(right: Any) -> Any:
    return lambda self, stacklevel: None


def _nothing_observed(right: Any) -> Any:
    return lambda model, loss, calls, outputs, stacklevel: None


def _any_squashing(right: Any) -> Any:
    def warn(model: Any, loss: Any, calls: Any, outputs: Any, stacklevel: int) -> None:
        right(
            model, loss, calls, next((y for module, _, y, _ in calls if "Sigmoid" in repr(module)), outputs), stacklevel
        )

    return warn


def _inside_a_step(right: Any) -> Any:
    return lambda self: None


def _handler_left(right: Any) -> Any:
    return lambda self, *_: signal.signal(signal.SIGINT, signal.default_int_handler)


def _first_record(right: Any) -> Any:
    return lambda self, key: self.to_dict()[key] if isinstance(key, str) else self.records[0]


def _shared_records(right: Any) -> Any:
    return lambda self: {name: [r[name] for r in self.records if name in r] for r in self.records for name in r}


def _every_epoch(right: Any) -> Any:
    def epoch(self: Any, record: Any, steps: int) -> None:
        self.last = -progress._QUIET
        right(self, record, steps)

    return epoch


def _steps_of_all(right: Any) -> Any:
    return lambda self, record, steps: right(self, record, steps * record["epoch"])


def _shown_anyway(right: Any) -> Any:
    return lambda shown, *arguments: right(True, *arguments)


def _any_optimizer(right: Any) -> Any:
    return lambda optimizer, scheduler, every: None


FAULTS = [
    *seen_by(
        f"{LOOP}::test_validation_is_in_evaluation_mode_and_training_in_training_mode",
        ("validation in training mode", RUN, "_validated", _without("model", "eval")),
        ("training in evaluation mode after the first validation", RUN, "_one_epoch", _first_epoch_alone),
    ),
    *seen_by(
        f"{LOOP}::test_fit_learns_and_leaves_the_model_in_eval",
        ("the model is left in training mode", RUN, "go", _training_mode_at_the_end),
    ),
    *seen_by(
        f"{LOOP}::test_validation_data_comes_in_order_and_training_data_shuffled",
        ("validation data is shuffled", loop, "batches_of", _shuffled_validation),
        ("training data is not shuffled", loop, "batches_of", _data_in_order),
    ),
    *seen_by(
        f"{LOOP}::test_fit_matches_a_loop_written_by_hand_bit_for_bit",
        ("batch_size is ignored", loop, "batches_of", _size_of_32),
        ("losses are means of batches, not of rows", RUN, "_row_sum", _means_of_batches),
        ("gradients are clipped to half the norm", loop, "clip_grad_norm_", _half_the_norm),
        ("gradients of earlier steps are added", RUN, "_one_step", _without("optimizer", "zero_grad")),
    ),
    *seen_by(
        f"{LOOP}::test_patience_stops_training_and_restores_the_best_weights",
        ("validation records gradients", loop, "no_grad", lambda right: nullcontext),
        ("an equal figure counts as better", RUN, "_account", _equal_is_better),
        ("the best weights are the model's own arrays", RUN, "_account", _live_best),
        ("an epoch more of patience", RUN, "_check_patience", _patient),
        ("the training loss is monitored by default", RUN, "watch", _first_figure),
    ),
    *seen_by(
        f"{LOOP}::test_reported_losses_are_means_over_rows_for_any_reduction",
        ("a sum over a batch is multiplied by its rows", RUN, "_row_sum", _always_times_rows),
    ),
    *seen_by(
        f"{LOOP}::test_gradients_of_all_groups_are_clipped_together",
        ("only the gradients of the first group are clipped", RUN, "_one_step", _first_group),
        ("gradients are clipped one by one", loop, "clip_grad_norm_", _one_by_one),
        ("gradients are not clipped", loop, "clip_grad_norm_", _not_clipped),
    ),
    *seen_by(
        f"{LOOP}::test_schedulers_step_per_epoch_or_per_step_and_plateau_sees_the_validation_loss",
        ("no schedule after every step", RUN, "_one_step", _without("scheduler", "step")),
        ("no schedule after an epoch", RUN, "_account", _without("scheduler", "step")),
        ("a plateau follows the training loss", RUN, "_account", _follows_training),
        ("the rate of the next epoch is recorded", RUN, "_account", _rate_after),
    ),
    *seen_by(
        f"{LOOP}::test_final_weights_are_the_best_with_patience_and_the_last_without",
        ("the best weights are not restored", RUN, "go", _best_kept),
    ),
    *seen_by(
        f"{LOOP}::test_any_metric_can_be_monitored_in_either_direction",
        ("less is better of every figure", RUN, "watch", _max_for_all),
    ),
    *seen_by(
        f"{LOOP}::test_metrics_are_of_all_batches_in_order",
        ("metrics of the last batch alone", loop, "concatenate", _last_part),
    ),
    *seen_by(
        f"{LOOP}::test_several_callbacks_are_called_in_order",
        ("the first callback alone is called", loop, "callback_list", lambda right: lambda calls: right(calls)[:1]),
    ),
    *seen_by(
        f"{RESUMING}::test_interrupted_epoch_counts_its_steps_and_seconds_once_resumed",
        ("the seconds before an interruption are not saved", RUN, "state_dict", _without_saved("seconds", 0.0)),
        ("the number of all steps is not saved", RUN, "state_dict", _without_saved("steps", 0)),
    ),
    *seen_by(
        f"{RESUMING}::test_patience_continues_after_resuming",
        ("the count of patience is not saved", RUN, "state_dict", _without_saved("waited", 0)),
        ("the best figure is not saved", RUN, "state_dict", _without_saved("best_figure", np.inf)),
        ("the best weights are not saved", RUN, "state_dict", _without_saved("best_weights", None)),
        ("the best epoch is not saved", RUN, "state_dict", _without_saved("best_epoch", None)),
    ),
    *seen_by(
        f"{RESUMING}::test_ctrl_c_stops_after_the_step_and_resuming_gives_the_same_bits",
        ("the sum of an interrupted epoch is not saved", RUN, "state_dict", _without_saved("sum", 0.0)),
        ("an interrupted epoch begins anew", RUN, "_remaining", _from_the_beginning),
        ("an interrupted epoch gets another order", RUN, "_remaining", _orders_again),
    ),
    *seen_by(
        f"{RESUMING}::test_resumed_training_equals_uninterrupted_training_bit_for_bit",
        ("the schedule is not saved", RUN, "_saved_parts", _without_part("scheduler")),
        ("the optimizer is not saved", RUN, "_saved_parts", _without_part("optimizer")),
        ("random generators are not saved", RUN, "_saved_parts", _without_part("random")),
    ),
    *seen_by(
        f"{DIVERGENCE}::test_divergence_names_the_layer_and_restores_finite_weights",
        ("divergence keeps the last weights", loop, "divergence", _data_is_to_blame),
    ),
    *seen_by(
        f"{DIVERGENCE}::test_data_that_is_not_finite_is_refused_and_the_model_is_unchanged",
        ("weights are restored for bad data, too", loop, "divergence", _data_is_innocent),
    ),
    *seen_by(
        f"{DIVERGENCE}::test_overflow_with_finite_losses_warns_once_and_can_be_located",
        (
            "overflow warns where a loss is not finite, too",
            diagnosis.FloatingPointWarnings,
            "deferred",
            _issued_at_once,
        ),
        ("overflow never warns", diagnosis.FloatingPointWarnings, "issue", _never_issued),
    ),
    *seen_by(
        f"{ARGUMENTS}::test_sigmoid_or_softmax_before_a_loss_on_logits_warns",
        ("a second sigmoid does not warn", loop, "warn_of_double_squashing", _nothing_observed),
    ),
    *seen_by(
        f"{ARGUMENTS}::test_sigmoid_elsewhere_or_before_another_loss_does_not_warn",
        ("a hidden sigmoid warns", loop, "warn_of_double_squashing", _any_squashing),
    ),
    *seen_by(
        f"{RESUMING}::test_second_ctrl_c_stops_at_once_but_never_inside_an_optimizer_step",
        ("an interrupt within a step", interrupt._Atomic, "__enter__", _inside_a_step),
    ),
    *seen_by(
        f"{RESUMING}::test_custom_handler_of_ctrl_c_is_there_again_after_training",
        ("Python's own handler of Ctrl-C is left behind", interrupt.Interrupt, "__exit__", _handler_left),
    ),
    *seen_by(
        f"{LOOP}::test_history_converts_to_a_dict_and_has_a_short_repr",
        ("history[-1] is the first record", history.History, "__getitem__", _first_record),
        ("epochs without a figure are left out", history.History, "to_dict", _shared_records),
    ),
    *seen_by(
        f"{LOOP}::test_a_thousand_fast_epochs_print_few_lines",
        ("a line for every epoch", progress.Lines, "epoch", _every_epoch),
    ),
    *seen_by(
        f"{LOOP}::test_a_line_shows_the_steps_per_second_of_its_epoch",
        ("the rate counts the steps of earlier epochs", progress.Lines, "epoch", _steps_of_all),
    ),
    *seen_by(
        f"{LOOP}::test_nothing_is_printed_without_progress",
        ("progress is shown without progress=True", loop, "progress_for", _shown_anyway),
    ),
    *seen_by(
        f"{ARGUMENTS}::test_invalid_arguments_are_refused",
        ("any schedule is accepted", loop, "check_schedule", _any_optimizer),
        ("a list of rows is taken for batches", arguments, "_refuse_rows", lambda right: lambda batches: None),
    ),
    *seen_by(
        f"{ARGUMENTS}::test_validation_that_is_not_in_memory_is_not_read_before_training",
        ("all data is in memory", loop, "in_memory", lambda right: lambda batches: True),
    ),
]
