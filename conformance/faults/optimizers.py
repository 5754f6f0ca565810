"""Faults in optimizers: wrong updates, groups and restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.nn import optimizers

BASE = optimizers.Optimizer


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
    """An option whose value in the first group is used for every group."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            options, run.options = run.options, {**run.options, name: self.param_groups[0][name]}
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _initial(name: str) -> Any:
    """An option whose changes have no effect; of the learning rate, in all groups but the first."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            groups = self.param_groups
            initial = self.__dict__.setdefault("initial", [group[name] for group in groups])
            index = next(i for i, group in enumerate(groups) if group.values_in_use is run.options)
            options = run.options
            if index or name != "learning_rate":
                run.options = {**options, name: initial[index]}
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _first_piece_only(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        if p.dtype != np.float32 or p.ctypes.data == run.p.ctypes.data:
            right(self, p, g, state, scratch, run)

    return update


def _contiguous_only(right: Any) -> Any:
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


def wrong_update(name: str, kind: Any, wrong: Callable[[Any], Any], component: str = "") -> Fault:
    """A fault in an optimizer's update that a trajectory shows."""
    return Fault(name, component or kind.__name__, "trajectory", kind, "update", wrong)


FAULTS = [
    wrong_update("bias correction a step ahead", optimizers.Adam, _off_by_one),
    wrong_update("no bias correction", optimizers.Adam, _uncorrected),
    wrong_update("momentum starts from zero, dampened", optimizers.SGD, _never_new),
    wrong_update("every group uses the first group's nesterov", optimizers.SGD, _of_another_group("nesterov")),
    wrong_update("every group uses the first group's maximize", optimizers.Adam, _of_another_group("maximize")),
    wrong_update("the learning rate changes in the first group only", optimizers.SGD, _initial("learning_rate")),
    wrong_update("weight decay never changes", optimizers.Adam, _initial("weight_decay"), "AdamW"),
    wrong_update("a large float32 parameter is updated in part", optimizers.SGD, _first_piece_only),
    wrong_update("noncontiguous parameters are not updated", optimizers.SGD, _contiguous_only),
    Fault("state saved under other names", "Adam", "optimizer_state_dict", BASE, "state_dict", _renamed),
    Fault("a loaded state is ignored", "SGD", "restart", BASE, "load_state_dict", _restarted),
]
