"""Wrong steps: of one group, of large parameters, after a restart."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.nn import optimizers


def _off_by_one(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        run.step += 1
        right(self, p, g, state, scratch, run)
        run.step -= 1

    return update


def _uncorrected(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        step, run.step = run.step, 10**9
        right(self, p, g, state, scratch, run)
        run.step = step

    return update


def _never_new(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        run.new_state = ()
        right(self, p, g * (1 - 1e-9), state, scratch, run)

    return update


def _of_another_group(name: str) -> Any:
    """An option that is the first group's in all."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            options, run.options = run.options, {**run.options, name: self.param_groups[0][name]}
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _as_they_began(*names: str) -> Any:
    """Options that no change reaches, in all groups but the first where it is the learning rate."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            groups = self.param_groups
            began = self.__dict__.setdefault("began", [{name: group[name] for name in names} for group in groups])
            at = next(i for i, group in enumerate(groups) if group.values_in_use is run.options)
            options, replaced = run.options, at or "learning_rate" not in names
            run.options = {**options, **began[at]} if replaced else options
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _first_piece_alone(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        if p.dtype != np.float32 or p.ctypes.data == run.p.ctypes.data:
            right(self, p, g, state, scratch, run)

    return update


def _contiguous_alone(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        if run.p.ndim == 1:
            right(self, p, g, state, scratch, run)

    return update


def _renamed(right: Any) -> Any:
    def state_dict(self: Any) -> Any:
        saved = right(self)
        renamed = {i: {f"{name}s": x for name, x in state.items()} for i, state in saved["state"].items()}
        return {**saved, "state": renamed}

    return state_dict


def _restarted(right: Any) -> Any:
    def load_state_dict(self: Any, state_dict: Any) -> None:
        right(self, {**state_dict, "state": {}})

    return load_state_dict


FAULTS = [
    Fault("bias correction a step ahead", "Adam", "trajectory", optimizers.Adam, "update", _off_by_one),
    Fault("no bias correction", "Adam", "trajectory", optimizers.Adam, "update", _uncorrected),
    Fault("momentum starts from zero, dampened", "SGD", "trajectory", optimizers.SGD, "update", _never_new),
    Fault(
        "Nesterov's momentum is the first group's",
        "SGD",
        "trajectory",
        optimizers.SGD,
        "update",
        _of_another_group("nesterov"),
    ),
    Fault(
        "the second group climbs as the first does",
        "Adam",
        "trajectory",
        optimizers.Adam,
        "update",
        _of_another_group("maximize"),
    ),
    Fault(
        "the learning rate changes in the first group alone",
        "SGD",
        "trajectory",
        optimizers.SGD,
        "update",
        _as_they_began("learning_rate"),
    ),
    Fault(
        "weight decay stays as it was",
        "AdamW",
        "trajectory",
        optimizers.Adam,
        "update",
        _as_they_began("weight_decay"),
    ),
    Fault("a large float32 parameter moves in part", "SGD", "trajectory", optimizers.SGD, "update", _first_piece_alone),
    Fault("what is not contiguous stays where it is", "SGD", "trajectory", optimizers.SGD, "update", _contiguous_alone),
    Fault(
        "state saved under other names", "Adam", "optimizer_state_dict", optimizers.Optimizer, "state_dict", _renamed
    ),
    Fault("a restart from nothing", "SGD", "restart", optimizers.Optimizer, "load_state_dict", _restarted),
]
