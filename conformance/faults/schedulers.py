"""Faults in schedules: wrong rates and momenta, a restart that ignores the state."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.nn import schedulers


def _early(right: Any) -> Any:
    return lambda self, base, now, t: right(self, base, now, t + 1)


def _next_float(right: Any) -> Any:
    return lambda self, base, now, t: float(np.nextafter(right(self, base, now, t), np.inf)) if t == 1 else now


def _constant_momentum(right: Any) -> Any:
    return lambda self, t, present: [{"learning_rate": o["learning_rate"]} for o in right(self, t, present)]


def _nothing_loaded(right: Any) -> Any:
    return lambda self, state: None


FAULTS = [
    Fault("decay a step early", "StepLR", "schedule", schedulers.StepLR, "rate", _early),
    Fault("a rate off by one bit", "ExponentialLR", "schedule", schedulers.ExponentialLR, "rate", _next_float),
    Fault("constant momentum", "OneCycleLR", "schedule", schedulers.OneCycleLR, "_options", _constant_momentum),
    Fault(
        "a loaded state is ignored by a schedule",
        "CosineAnnealingLR",
        "schedule_restart",
        schedulers.Scheduler,
        "load_state_dict",
        _nothing_loaded,
    ),
]
