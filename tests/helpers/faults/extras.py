"""Faults in the estimators, and in the metrics by name, the plot and the bar of a training."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from faults import Wrong, instead, seen_by
from numpyml import estimators
from numpyml.training import history, loop, metrics, progress

NET = estimators._NeuralNet
ESTIMATORS, WEIGHTS, TRAINING = (f"extras/test_{name}.py" for name in ("estimators", "sample_weight", "training"))


def _with_options(**changes: Any) -> Wrong:
    """``fit`` as the estimators call it, with other arguments."""

    def wrong(right: Any) -> Any:
        def fit(*arguments: Any, **options: Any) -> Any:
            return right(*arguments, **{**options, **changes})

        return fit

    return wrong


def _new_optimizer(right: Any) -> Any:
    def continues(self: Any, partial: bool) -> bool:
        again = right(self, partial)
        if again:
            self.optimizer_ = self._new_optimizer()
        return bool(again)

    return continues


def _new_module(right: Any) -> Any:
    def continues(self: Any, partial: bool) -> bool:
        again = bool(right(self, partial))
        if again and not partial:
            self.module_ = self._new_module(np.zeros((1, self.n_features_in_), np.float64), 1)
            self.optimizer_ = self._new_optimizer()
        return again

    return continues


def _always_continues(right: Any) -> Any:
    return lambda self, partial: hasattr(self, "module_")


def _new_optimizer_in_a_copy(right: Any) -> Any:
    def setstate(self: Any, state: Any) -> None:
        right(self, {name: value for name, value in state.items() if name != "optimizer_"})
        if "optimizer_" in state:
            self.optimizer_ = self._new_optimizer()

    return setstate


def _module_itself(right: Any) -> Any:
    def new_module(self: Any, x: Any, outputs: int) -> Any:
        return self.module if isinstance(self.module, estimators.Module) else right(self, x, outputs)

    return new_module


def _float64(right: Any) -> Any:
    return lambda self, x, outputs: right(self, x.astype(np.float64), outputs)


def _seed_0(right: Any) -> Any:
    return lambda self: np.random.default_rng(0)


def _default_draws(right: Any) -> Any:
    def generator(self: Any) -> Any:
        estimators.default_generator().random()
        return right(self)

    return generator


def _starts_anew(right: Any) -> Any:
    """Every partial_fit draws the same orders and masks."""

    def fit(self: Any, *arguments: Any, **options: Any) -> Any:
        vars(self).pop("_source", None)
        self._source = None
        return right(self, *arguments, **options)

    return fit


def _first_rows(right: Any) -> Any:
    return lambda self, x: right(self, x[:1]).repeat(len(x), axis=0)


def _in_training_mode(right: Any) -> Any:
    def outputs(self: Any, x: Any) -> Any:
        self.module_.train()
        return right(self, x)

    return outputs


def _logits(right: Any) -> Any:
    return lambda self, x: self._outputs(x)


def _indices(right: Any) -> Any:
    return lambda self, x: self._outputs(x).argmax(axis=1)


def _least(right: Any) -> Any:
    return lambda self, x: self.classes_[self._outputs(x).argmin(axis=1)]


def _always_columns(right: Any) -> Any:
    return lambda self, x: self._outputs(x)


def _not_restored(right: Any) -> Any:
    return lambda self: nullcontext()


def _equal_weights(right: Any) -> Any:
    def with_weights(self: Any, x: Any, targets: Any, loss: Any, weights: Any) -> Any:
        return right(self, x, targets, loss, np.ones(len(x)))

    return with_weights


def _zero_rows_stay(right: Any) -> Any:
    def with_weights(self: Any, x: Any, targets: Any, loss: Any, weights: Any) -> Any:
        w = np.asarray(weights, np.float64)
        return right(self, x, targets, loss, np.where(w == 0, w.mean(), w))

    return with_weights


def _roots(right: Any) -> Any:
    return lambda self, x, targets, loss, weights: right(self, x, targets, loss, np.sqrt(weights))


def _no_stratification(right: Any) -> Any:
    return lambda *arrays, stratify=None, **options: right(*arrays, **options)


def _history_anew(right: Any) -> Any:
    def continues(self: Any, partial: bool) -> bool:
        again = right(self, partial)
        if again and partial:
            self.history_.records = []
        return bool(again)

    return continues


def _micro(right: Any) -> Any:
    return lambda score, truth, decisions, outputs: float(score(truth, decisions, average="micro", zero_division=0))


def _binary_for_all(right: Any) -> Any:
    def f1(score: Any, truth: Any, decisions: Any, outputs: Any) -> float:
        if truth.ndim > 1:
            truth, decisions = truth.ravel(), decisions.ravel()
            return float(score(truth, decisions, zero_division=0))
        return float(right(score, truth, decisions, outputs))

    return f1


def _ignored_count(right: Any) -> Any:
    def classes_of(outputs: Any, targets: Any, loss: Any) -> Any:
        if outputs.ndim == targets.ndim + 1:
            return targets.reshape(-1), outputs.argmax(axis=1).reshape(-1)
        return right(outputs, targets, loss)

    return classes_of


def _last_axis(right: Any) -> Any:
    def classes_of(outputs: Any, targets: Any, loss: Any) -> Any:
        truth, decisions = right(outputs, targets, loss)
        return (
            (truth, np.moveaxis(outputs, 1, -1).argmax(-1).T.reshape(-1)[: len(truth)])
            if outputs.ndim > 2
            else (truth, decisions)
        )

    return classes_of


def _never_logits(right: Any) -> Any:
    return lambda loss: False


def _first_column(right: Any) -> Any:
    return lambda x: right(x)[:, :1]


def _swapped(right: Any) -> Any:
    return lambda name, loss: (
        (lambda outputs, targets: score(targets, outputs)) if (score := right(name, loss)) else None
    )


def _from_epoch_0(right: Any) -> Any:
    def plot(self: Any) -> Any:
        figure = right(self)
        for axes in figure.axes:
            for line in axes.lines:
                if not line.get_label().startswith("best"):
                    line.set_xdata(np.asarray(line.get_xdata()) - 1)
        return figure

    return plot


def _no_best(right: Any) -> Any:
    def plot(self: Any) -> Any:
        best, self.best_epoch = self.best_epoch, None
        try:
            return right(self)
        finally:
            self.best_epoch = best

    return plot


def _numbered(right: Any) -> Any:
    return lambda self: right(self).reset_index(drop=True)


def _never_advances(right: Any) -> Any:
    return lambda self: None


FAULTS = [
    *seen_by(
        f"{ESTIMATORS}::test_warm_start_continues_the_state_of_the_optimizer",
        ("warm_start with a new optimizer", NET, "_continues", _new_optimizer),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_warm_start_continues_the_last_fit",
        ("warm_start with a new module", NET, "_continues", _new_module),
        ("every fit is a warm start", NET, "_continues", _always_continues),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_copy_predicts_the_same_and_trains_independently",
        ("a copy has a new optimizer", NET, "__setstate__", _new_optimizer_in_a_copy),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_module_argument_is_not_trained_itself",
        ("the argument itself is trained", NET, "_new_module", _module_itself),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_float32_data_is_trained_on_in_float32",
        ("the model is always float64", NET, "_new_module", _float64),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_seed_determines_everything_and_leaves_the_default_generator_unchanged",
        ("a seed draws from the default generator, too", NET, "_generator", _default_draws),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_without_a_seed_manual_seed_determines_the_result",
        ("no seed is the seed 0", NET, "_generator", _seed_0),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_labels_of_any_kind_are_predicted_and_probabilities_follow_their_order",
        ("probabilities are logits", estimators.NeuralNetClassifier, "predict_proba", _logits),
        ("predictions are indices", estimators.NeuralNetClassifier, "predict", _indices),
        ("the least probable class", estimators.NeuralNetClassifier, "predict", _least),
        ("all rows get the first one's outputs", NET, "_outputs", _first_rows),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_several_targets_are_regressed_at_once_and_keep_their_shape",
        ("one column stays a column", estimators.NeuralNetRegressor, "predict", _always_columns),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_predictions_are_those_of_evaluation_in_any_batch",
        ("predictions in training mode", NET, "_outputs", _in_training_mode),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_early_stopping_holds_out_rows_and_restores_the_best",
        ("no early stopping", estimators, "fit", _with_options(patience=None)),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_held_out_rows_have_the_shares_of_the_classes",
        ("held-out rows are not stratified", estimators, "train_test_split", _no_stratification),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_a_schedule_clipping_and_callbacks_reach_the_training",
        ("no schedule", estimators, "fit", _with_options(scheduler=None)),
        ("no clipping", estimators, "fit", _with_options(clip_grad_norm=None)),
        ("no callbacks", estimators, "fit", _with_options(callbacks=())),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_failing_fit_keeps_the_previous_one",
        ("a failing fit leaves its own results", NET, "_restored_on_error", _not_restored),
    ),
    *seen_by(
        f"{ESTIMATORS}::test_progress_is_printed_when_verbose",
        ("verbose is ignored", estimators, "fit", _with_options(progress=False)),
    ),
    *seen_by(
        f"{WEIGHTS}::test_integer_weights_equal_repeated_rows",
        ("weights are ignored", NET, "_with_weights", _equal_weights),
        ("rows of weight 0 count", NET, "_with_weights", _zero_rows_stay),
        ("weights count by their roots", NET, "_with_weights", _roots),
    ),
    *seen_by(
        f"{WEIGHTS}::test_partial_fit_is_one_epoch_and_continues",
        ("every partial_fit draws the same", NET, "_fit", _starts_anew),
        ("the history begins anew", NET, "_continues", _history_anew),
        (
            "partial_fit makes two passes",
            estimators,
            "fit",
            lambda right: lambda *a, epochs, **o: right(*a, epochs=epochs + (epochs == 1), **o),
        ),
    ),
    *seen_by(
        f"{TRAINING}::test_predicted_class_is_the_largest_logit",
        ("f1 over all rows, not the mean over classes", metrics, "_f1", _micro),
    ),
    *seen_by(
        f"{TRAINING}::test_f1_is_that_of_the_second_class_or_the_mean_over_labels",
        ("f1 of all labels together", metrics, "_f1", _binary_for_all),
    ),
    *seen_by(
        f"{TRAINING}::test_sequence_accuracy_counts_positions_without_ignored_targets",
        ("ignored targets count", metrics, "classes_of", _ignored_count),
        ("positions of a sequence are mixed", metrics, "classes_of", _last_axis),
    ),
    *seen_by(
        f"{TRAINING}::test_binary_threshold_is_0_for_logits_and_one_half_for_probabilities",
        ("logits are taken for probabilities", metrics, "takes_logits", _never_logits),
    ),
    *seen_by(
        f"{TRAINING}::test_regressions_are_measured_over_all_outputs",
        ("regressions are measured in the first column", metrics, "_columns", _first_column),
        ("outputs and targets are swapped", metrics, "_by_name", _swapped),
    ),
    *seen_by(
        f"{TRAINING}::test_the_best_accuracy_is_the_largest_and_digits_are_learned",
        ("less accuracy is better", loop, "GREATER_IS_BETTER", instead(())),
    ),
    *seen_by(
        f"{TRAINING}::test_a_plot_shows_losses_and_metrics_by_the_epoch",
        ("the plot begins at epoch 0", history.History, "plot", _from_epoch_0),
        ("the best epoch is not marked", history.History, "plot", _no_best),
    ),
    *seen_by(
        f"{TRAINING}::test_a_frame_has_a_row_for_each_epoch",
        ("rows of the frame are numbered from 0", history.History, "to_frame", _numbered),
    ),
    *seen_by(
        f"{TRAINING}::test_terminal_shows_one_bar_with_loss_and_rate",
        ("the bar does not advance", progress.Bar, "_advance", _never_advances),
    ),
]
