"""Faults in schedules and in the clipping of gradients."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from faults import Wrong, instead, seen_by
from numpyml.nn import utils
from numpyml.nn.schedulers import (
    CosineAnnealingWarmRestarts,
    OneCycleLR,
    ReduceLROnPlateau,
    Scheduler,
    SequentialLR,
    base,
)

TEST = "nn/test_schedulers.py"


def _not_saved(*names: str) -> Wrong:
    return lambda right: lambda self: {name: value for name, value in right(self).items() if name not in names}


def _inner_not_loaded(right: Any) -> Any:
    def load_state_dict(self: Any, state: Any) -> None:
        Scheduler.load_state_dict(self, state)
        vars(self).pop("states")

    return load_state_dict


class _Forgetful(WeakKeyDictionary):
    def get(self, key: Any, default: Any = None) -> Any:
        return default


def _first_group(right: Any) -> Any:
    return lambda self, t, present: [right(self, t, present)[0]] * len(present)


def _with(**changes: Any) -> Wrong:
    """A method of a schedule during which attributes have other values."""

    def wrong(right: Any) -> Any:
        def method(self: Any, *arguments: Any) -> Any:
            before = {name: getattr(self, name) for name in changes}
            for name, change in changes.items():
                setattr(self, name, change(before[name]) if callable(change) else change)
            try:
                return right(self, *arguments)
            finally:
                for name, value in before.items():
                    setattr(self, name, value)

        return method

    return wrong


def _no_cooldown(right: Any) -> Any:
    def step(self: Any, metrics: Any = None) -> None:
        self.cooling = 0
        right(self, metrics)

    return step


def _patience_less(right: Any) -> Any:
    def step(self: Any, metrics: Any = None) -> None:
        self.patience -= 1
        try:
            right(self, metrics)
        finally:
            self.patience += 1

    return step


def _best_is_last(right: Any) -> Any:
    def step(self: Any, metrics: Any = None) -> None:
        right(self, metrics)
        self.best = float(metrics)

    return step


def _whole_epochs(right: Any) -> Any:
    return lambda self, epoch=None: right(self, epoch if epoch is None else int(epoch))


def _one_norm(right: Any) -> Any:
    return lambda gs, p: max((right([g], p) for g in gs), default=0.0)


def _sum_of_norms(right: Any) -> Any:
    return lambda gs, p: sum(right([g], p) for g in gs)


def _always_euclidean(right: Any) -> Any:
    return lambda gs, p: right(gs, 2)


def _norm_after(right: Any) -> Any:
    def clip(gradients: Any, max_norm: float, *options: Any, **named: Any) -> float:
        gradients = list(gradients)
        return min(right(gradients, max_norm, *options, **named), max_norm)

    return clip


def _enlarged(right: Any) -> Any:
    def clip(gradients: Any, max_norm: float, *options: Any, **named: Any) -> Any:
        gradients = list(gradients)
        norm = right(gradients, max_norm, *options, **named)
        if 0 < norm < max_norm:
            for g in gradients:
                np.multiply(g, max_norm / norm, out=g)
        return norm

    return clip


def _from_above(right: Any) -> Any:
    def clip(gradients: Any, clip_value: float) -> None:
        for g in utils._checked("clip_grad_value_", gradients):
            np.minimum(g, clip_value, out=g)

    return clip


FAULTS = [
    *seen_by(
        f"{TEST}::test_resumed_schedule_equals_an_uninterrupted_one",
        ("a plateau's cooldown is not saved", Scheduler, "state_dict", _not_saved("cooling")),
        ("a plateau's patience begins anew", Scheduler, "state_dict", _not_saved("waited")),
        ("a plateau's best value is not saved", Scheduler, "state_dict", _not_saved("best")),
        ("initial rates are not saved", Scheduler, "state_dict", _not_saved("base_rates")),
        ("the period of warm restarts is not saved", Scheduler, "state_dict", _not_saved("T_i")),
        ("the position in a period is not saved", Scheduler, "state_dict", _not_saved("T_cur")),
        ("the number of steps is not saved", Scheduler, "state_dict", _not_saved("last_epoch")),
        ("schedules in a sequence are not loaded", SequentialLR, "load_state_dict", _inner_not_loaded),
    ),
    *seen_by(
        f"{TEST}::test_every_schedule_of_an_optimizer_starts_from_its_first_rate",
        ("a second schedule starts from the present rate", base, "_INITIAL", lambda right: _Forgetful()),
    ),
    *seen_by(
        f"{TEST}::test_every_group_has_a_rate_of_its_own",
        ("all groups follow the first", Scheduler, "_options", _first_group),
        ("one cycle raises all groups to one rate", OneCycleLR, "_options", _first_group),
    ),
    *seen_by(
        f"{TEST}::test_a_plateau_follows_its_rule",
        ("any improvement counts", ReduceLROnPlateau, "_better", _with(threshold=0.0)),
        ("a threshold is always relative", ReduceLROnPlateau, "_better", _with(threshold_mode="rel")),
        ("less is always better", ReduceLROnPlateau, "_better", _with(mode="min")),
        ("changes below eps are made", ReduceLROnPlateau, "_reduce", _with(eps=0.0)),
        (
            "the smallest rate is the first group's",
            ReduceLROnPlateau,
            "_reduce",
            _with(min_rates=lambda m: m[:1] * len(m)),
        ),
        ("no cooldown", ReduceLROnPlateau, "step", _no_cooldown),
        ("a step less of patience", ReduceLROnPlateau, "step", _patience_less),
        ("compared with the last value", ReduceLROnPlateau, "step", _best_is_last),
    ),
    *seen_by(
        f"{TEST}::test_warm_restarts_within_an_epoch",
        ("warm restarts round the epoch down", CosineAnnealingWarmRestarts, "step", _whole_epochs),
    ),
    *seen_by(
        f"{TEST}::test_norm_is_that_of_all_gradients_together",
        ("the largest norm of one gradient", utils, "_norm", _one_norm),
        ("the sum of the norms", utils, "_norm", _sum_of_norms),
        ("norm_type is ignored", utils, "_norm", _always_euclidean),
        ("the norm after clipping is returned", utils, "clip_grad_norm_", _norm_after),
    ),
    *seen_by(
        f"{TEST}::test_gradients_within_the_limit_stay",
        ("small gradients are enlarged", utils, "clip_grad_norm_", _enlarged),
    ),
    *seen_by(
        f"{TEST}::test_values_are_clipped_on_both_sides",
        ("values are clipped from above alone", utils, "clip_grad_value_", _from_above),
    ),
    *seen_by(
        f"{TEST}::test_a_group_added_after_the_schedule_is_an_error_and_changes_nothing",
        ("a late group keeps its rate", Scheduler, "_groups", instead(lambda self: self.optimizer.param_groups[:1])),
    ),
]
