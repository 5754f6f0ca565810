"""Learning-rate schedules, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.records import Difference, OtherDefault, Refused, Remark, option
from conformance.rows import Part, SchedulerRow
from conformance.strategies.coverage import Purposeful, among, between
from numpyml.nn import schedulers


@dataclass(frozen=True)
class Power:
    """The function t -> base ** t, with a repr that is the same in every process."""

    base: float

    def __call__(self, t: int) -> float:
        return self.base**t


@dataclass(frozen=True)
class Reciprocal:
    """The function t -> 1 / (t + 1)."""

    def __call__(self, t: int) -> float:
        return 1 / (t + 1)


factors = among(0.1, 0.5, 0.9, 1.0, 1.5)
minima = among(0.0, 1e-5)
flags = among(False, True)


def schedule(
    kind: type, options: Mapping[str, Purposeful], validated: str = "", *others: Difference, metric: bool = False
) -> SchedulerRow:
    """The row of a schedule. The options in ``validated`` are checked at construction, by PyTorch late or never."""
    refused = Refused(option(validated, ""), "options are validated at construction; PyTorch uses any value")
    differences: tuple[Difference, ...] = (refused, *others) if validated else others
    return SchedulerRow(kind, f"optim.lr_scheduler.{kind.__name__}", options, metric=metric, differences=differences)


LINEAR = Part("optim.lr_scheduler.LinearLR", {"start_factor": 0.1, "total_iters": 5})
EXPONENTIAL = Part("optim.lr_scheduler.ExponentialLR", {"gamma": 0.9})
STEP = Part("optim.lr_scheduler.StepLR", {"step_size": 3})
COSINE = Part("optim.lr_scheduler.CosineAnnealingLR", {"T_max": 20})
RESTARTS = Part("optim.lr_scheduler.CosineAnnealingWarmRestarts", {"T_0": 7})
RECIPROCAL = Part("optim.lr_scheduler.LambdaLR", {"lr_lambda": Reciprocal()})

ROWS = [
    schedule(schedulers.LambdaLR, {"lr_lambda": among(Power(0.9), Reciprocal(), [Power(0.5), Reciprocal()])}),
    schedule(schedulers.StepLR, {"step_size": between(1, 9), "gamma": factors}, "step_size gamma"),
    schedule(
        schedulers.MultiStepLR,
        {"milestones": among([3], [], [0, 7], [5, 5, 12], [30, 2]), "gamma": factors},
        "milestones gamma",
    ),
    schedule(schedulers.ExponentialLR, {"gamma": factors}, "gamma"),
    schedule(
        schedulers.LinearLR,
        {
            "start_factor": among(1 / 3, 0.01, 0.5, 1.0),
            "end_factor": among(1.0, 0.3, 0.0),
            "total_iters": between(1, 65, default=5),
        },
        "start_factor end_factor total_iters",
        Remark("a rate ends at 0; PyTorch's may end below 0 by a rounding"),
    ),
    schedule(schedulers.CosineAnnealingLR, {"T_max": between(1, 65), "eta_min": minima}, "T_max eta_min"),
    schedule(
        schedulers.CosineAnnealingWarmRestarts,
        {"T_0": between(1, 20), "T_mult": between(1, 3), "eta_min": minima},
        "eta_min",
    ),
    schedule(
        schedulers.OneCycleLR,
        {
            "max_lr": among(0.1, 1.0, 3e-4, [0.1, 1.0]),
            "total_steps": among(61, 62, 180, None),
            "epochs": among(3, 5, None),
            "steps_per_epoch": among(21, 31, None),
            "pct_start": among(0.3, 0.1, 0.5),
            "anneal_strategy": among("cos", "linear"),
            "cycle_momentum": among(True, False),
            "base_momentum": among(0.85, 0.5),
            "max_momentum": among(0.95, 0.99),
            "div_factor": among(25.0, 4.0),
            "final_div_factor": among(1e4, 10.0),
            "three_phase": flags,
        },
        "max_lr pct_start cycle_momentum base_momentum max_momentum div_factor final_div_factor three_phase",
        Remark("the last of total_steps steps keeps the final rate; PyTorch goes past it, if linear to a negative one"),
    ),
    schedule(
        schedulers.SequentialLR,
        {
            "schedulers": among(
                [LINEAR, COSINE], [EXPONENTIAL, RESTARTS], [STEP, RECIPROCAL], [LINEAR, RESTARTS, EXPONENTIAL], [STEP]
            ),
            "milestones": among([5], [1], [20], [10, 30], []),
        },
    ),
    schedule(
        schedulers.ReduceLROnPlateau,
        {
            "mode": among("min", "max"),
            "factor": among(0.1, 0.5),
            "patience": among(2, 0, 4, 10),
            "threshold": among(1e-4, 0.1),
            "threshold_mode": among("rel", "abs"),
            "cooldown": between(0, 3),
            "min_lr": among(0, 0.01, [0.05, 0.001]),
            "eps": among(1e-8, 0.02),
        },
        "factor patience threshold cooldown min_lr eps",
        OtherDefault("step(metrics=None)", "a call without a metric is refused by a message, not by the signature"),
        metric=True,
    ),
]
