"""Faults that show only in a history of calls: aliases, late groups, freezing, refusals, modes, copies."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.autograd import tape
from numpyml.errors import NumpymlError
from numpyml.nn import Parameter, activations, drivers, layers, model, module, optimizers
from numpyml.nn.optimizers import flat

BASE, MODULE = optimizers.Optimizer, module.Module


def frozen(optimizer: Any) -> list[int]:
    """The indices of an optimizer's frozen parameters."""
    return [i for i, owner in enumerate(optimizer._owners) if not owner().requires_grad]


def after(what: Callable[..., Any]) -> Callable[[Any], Any]:
    """The right method, and then something else on the same object and arguments."""

    def wrong(right: Any) -> Any:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            result = right(self, *arguments, **options)
            what(self, *arguments)
            return result

        return method

    return wrong


def instead(method: Callable[..., Any]) -> Callable[[Any], Any]:
    """Another method."""
    return lambda right: method


def where_refused(what: Callable[..., Any]) -> Callable[[Any], Any]:
    """The right method, and something else before its error is raised."""

    def wrong(right: Any) -> Any:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            try:
                return right(self, *arguments, **options)
            except NumpymlError:
                what(self, *arguments)
                raise

        return method

    return wrong


# What is saved and loaded


def _live_state(right: Any) -> Any:
    def state_dict(self: Any) -> Any:
        return {**right(self), "state": {i: state for i, state in enumerate(self.state) if state}}

    return state_dict


def _live_parameters(self: Any) -> Any:
    return {name: p.data for name, p in module._entries(self, "", Parameter)}


def _consume(self: Any, saved: Any) -> None:
    for state in saved["state"].values():
        state["step"] = 0


def _alias(self: Any, saved: Any) -> None:
    for name, p in self.named_parameters():
        p._data[...] = saved[name]
        saved[name] = p._data


def _keep_runs(right: Any) -> Any:
    def load_state_dict(self: Any, saved: Any) -> None:
        runs, flags = self._current_runs(), self._frozen
        right(self, saved)
        self._runs, self._frozen = runs, flags

    return load_state_dict


def _forget_frozen(self: Any, saved: Any) -> None:
    for i in frozen(self):
        self._states.pop(i, None)


def _write_part(self: Any, saved: Any) -> None:
    for name, p in self.named_parameters():
        if np.shape(saved.get(name)) == p.shape:
            p.data[...] = saved[name]


def _write_options(self: Any, saved: Any) -> None:
    for group, changes in zip(self.param_groups, saved["param_groups"], strict=False):
        with suppress(NumpymlError):
            group["learning_rate"] = changes["learning_rate"]


def _write_states(self: Any, saved: Any) -> None:
    problems: list[str] = []
    self._states.update(self._checked_states(saved["state"], problems))
    self._runs, self._frozen = [], None


def _accept_missing(right: Any) -> Any:
    def load_state_dict(self: Any, saved: Any) -> None:
        right(self, {**self.state_dict(), **saved})

    return load_state_dict


def _unshared(right: Any) -> Any:
    def state_dict(self: Any) -> Any:
        return {name: p.data.copy() for name, p in self.named_parameters()}

    return state_dict


# Groups


def _ignored(right: Any) -> Any:
    def add_param_group(self: Any, group: Any) -> None:
        known = self._frozen
        right(self, group)
        if known is not None:  # the plan is made: it stays
            self._frozen = [not owner().requires_grad for owner in self._owners]

    return add_param_group


def _restart(self: Any, group: Any) -> None:
    self._runs, self._states = [], {}


def _share_state(self: Any, group: Any) -> None:
    self._save()
    for entry in self._entries()[-len(group["parameters"]) :]:
        twin = next((e for e in self._entries() if e.index in self._states and e.p.shape == entry.p.shape), None)
        if twin is not None:
            self._states[entry.index] = copy.deepcopy(self._states[twin.index])


def _first_options(right: Any) -> Any:
    def add_param_group(self: Any, group: Any) -> None:
        first = self.param_groups[0].options() if self.param_groups else {}
        right(self, {**first, **group})

    return add_param_group


def _stay(self: Any, group: Any) -> None:
    self.param_groups.append(self.param_groups[-1])


def _twice(right: Any) -> Any:
    def add_param_group(self: Any, group: Any) -> None:
        groups, self.param_groups = self.param_groups, []
        try:
            right(self, group)
        finally:
            self.param_groups = [*groups, *self.param_groups]

    return add_param_group


def _snapshot(self: Any, *arguments: Any) -> None:
    self.options = dict(self.options)


# Freezing


def _momentum_goes_on(self: Any, *arguments: Any) -> None:
    entries = self._entries()
    for i in frozen(self):
        for name in ("momentum_buffer", "exp_avg"):
            if name in self._states.get(i, (0, {}))[1]:
                entries[i].p[...] -= entries[i].group["learning_rate"] * self._states[i][1][name]


def _state_dropped(self: Any) -> None:
    self._states = {}
    for run in self._runs:
        self._states.update(run.states())


def _count_frozen(self: Any, *arguments: Any) -> None:
    for i in frozen(self):
        if i in self._states:
            step, arrays = self._states[i]
            self._states[i] = step + 1, arrays


def _one_age(entry: Any, states: Any) -> Any:
    return 0, frozenset(states.get(entry.index, (0, {}))[1])


def _moved_without_gradient(self: Any, *arguments: Any) -> None:
    entries = self._entries()
    for i in frozen(self):
        entries[i].p[...] -= entries[i].group["learning_rate"] * entries[i].g


def _trainable_only(self: Any) -> None:
    for run in self._current_runs():
        run.g.fill(0)


def _unfrozen_only(self: Any) -> None:
    for _, p in self.named_parameters():
        if p.requires_grad:
            p.zero_grad()


def _first_only(self: Any, requires_grad: bool = True) -> Any:
    for _, p in list(self.named_parameters())[:1]:
        p.requires_grad = requires_grad
    return self


def _accumulate_frozen(self: Any, gx: Any) -> None:
    self._grad += gx


def _stop_at_frozen(right: Any) -> Any:
    def pullback(self: Any, contexts: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        parts = self.layers
        still = [i for i, part in enumerate(parts) if part.parameters() and not part.holds_trainable()]
        if needs_input_grad[0] or not still:
            return right(self, contexts, gy, needs_input_grad)
        for i in range(len(parts) - 1, still[-1], -1):
            gy = parts[i].pullback(contexts[i], gy, (True,))
        return None

    return pullback


# Records


def _of_the_last(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        y, context = right(self, x)
        kept = vars(self).setdefault("kept", {})
        if not tape.is_recording():
            return y, context
        if context.shape in kept:  # one array for all calls of a shape
            kept[context.shape][...] = context
        else:
            kept[context.shape] = np.array(context)
        return y, kept[context.shape]

    return compute


def _replacing(right: Any) -> Any:
    def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        self.weight.zero_grad()
        return right(self, context, gy, needs_input_grad)

    return pullback


def _always_kept(right: Any) -> Any:
    def keep(*arguments: Any) -> None:
        recording, tape.is_recording = tape.is_recording, lambda: True
        try:
            right(*arguments)
        finally:
            tape.is_recording = recording

    return keep


def _again(right: Any) -> Any:
    def backward(self: Any, *gradients: Any, input_gradient: bool = True) -> Any:
        record = self._record
        result = right(self, *gradients, input_gradient=input_gradient)
        vars(self)["_record"] = record
        return result

    return backward


def _first_record(right: Any) -> Any:
    def keep(self: Any, *arguments: Any) -> None:
        if self._record is None or not tape.is_recording():
            right(self, *arguments)

    return keep


# Modes and copies


def _evaluation_sticks(self: Any, mode: bool = True) -> Any:
    for inner in self.modules():
        inner.training = inner.training and mode
    return self


def _thaw(self: Any, mode: bool = True) -> None:
    if mode:
        self.requires_grad_(True)


def _off_without_record(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        mode, self.training = self.training, self.training and tape.is_recording()
        try:
            return right(self, x)
        finally:
            self.training = mode

    return compute


def _without_mode(self: Any) -> Any:
    return {name: value for name, value in vars(self).items() if name not in ("_record", "training")}


def _rebuilt(data: Any, grad: Any, requires_grad: bool) -> Any:
    p = Parameter(data, requires_grad, dtype=data.dtype)
    p.grad[...] = grad
    return p


def _thawed_copy(self: Any) -> Any:
    return _rebuilt, (self._data, self._grad, True)


def _copy_without_gradient(self: Any) -> Any:
    return _rebuilt, (self._data, np.zeros_like(self._grad), self.requires_grad)


class _Live(np.ndarray[Any, Any]):
    """An array that a deepcopy does not copy."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self


def _sharing(data: Any, grad: Any, requires_grad: bool) -> Any:
    p = Parameter(data, requires_grad, dtype=data.dtype)
    p._grad = grad.view(np.ndarray)
    return p


def _shared_gradient(self: Any) -> Any:
    return _sharing, (self._data, self._grad.view(_Live), self.requires_grad)


def in_history(name: str, owner: Any, attribute: str, wrong: Callable[[Any], Any]) -> Fault:
    """A fault that a history of calls shows."""
    return Fault(name, "histories", "state_after_every_call", owner, attribute, wrong)


FAULTS = [
    in_history("saved optimizer state is the live one", BASE, "state_dict", _live_state),
    in_history("saved parameters are the live ones", MODULE, "state_dict", instead(_live_parameters)),
    in_history("loading resets the saved step counts", BASE, "load_state_dict", after(_consume)),
    in_history("what was loaded becomes the live parameters", MODULE, "load_state_dict", after(_alias)),
    in_history("a loaded state waits for the next freeze", BASE, "load_state_dict", _keep_runs),
    in_history("loading forgets the state of frozen parameters", BASE, "load_state_dict", after(_forget_frozen)),
    in_history("a refused state dict is written in part", MODULE, "load_state_dict", where_refused(_write_part)),
    in_history("a refused optimizer state sets rates", BASE, "load_state_dict", where_refused(_write_options)),
    in_history("a refused optimizer state sets arrays", BASE, "load_state_dict", where_refused(_write_states)),
    in_history("missing entries are accepted", MODULE, "load_state_dict", _accept_missing),
    in_history("a shared parameter is saved once", MODULE, "state_dict", _unshared),
    in_history("a group added late is ignored", BASE, "add_param_group", _ignored),
    in_history("a group added late restarts the others", BASE, "add_param_group", after(_restart)),
    in_history("a group added late starts from another's state", BASE, "add_param_group", after(_share_state)),
    in_history("a group added late has the first group's options", BASE, "add_param_group", _first_options),
    in_history("a refused group leaves a group", BASE, "add_param_group", where_refused(_stay)),
    in_history("a parameter may be in two groups", BASE, "add_param_group", _twice),
    in_history("options are read when the plan is made", flat.Run, "__init__", after(_snapshot)),
    in_history("the momentum of a frozen parameter goes on", BASE, "step", after(_momentum_goes_on)),
    in_history("the gradient of a frozen parameter is applied", BASE, "step", after(_moved_without_gradient)),
    in_history("a frozen parameter loses its state", BASE, "_save", instead(_state_dropped)),
    in_history("steps count while a parameter is frozen", BASE, "step", after(_count_frozen)),
    in_history("a thawed parameter has the others' step", flat, "_age", instead(_one_age)),
    in_history("optimizer.zero_grad skips frozen parameters", BASE, "zero_grad", instead(_trainable_only)),
    in_history("zero_grad skips frozen parameters", MODULE, "zero_grad", instead(_unfrozen_only)),
    in_history("a layer is frozen in part", MODULE, "requires_grad_", instead(_first_only)),
    in_history("a frozen bias gets a gradient", Parameter, "accumulate", instead(_accumulate_frozen)),
    in_history("no input gradient: stops at a frozen layer", model.Sequential, "pullback", _stop_at_frozen),
    in_history("a second call overwrites what a first keeps", layers.Dense, "compute", _of_the_last),
    in_history("a layer used twice keeps one gradient", layers.Dense, "pullback", _replacing),
    in_history("an activation keeps one context for its calls", activations.Tanh, "compute", _of_the_last),
    in_history("a forward in no_grad keeps a record", drivers, "_keep", _always_kept),
    in_history("a second backward is accepted", MODULE, "backward", _again),
    in_history("a second forward keeps the first's record", drivers, "_keep", _first_record),
    in_history("eval sticks", MODULE, "train", instead(_evaluation_sticks)),
    in_history("train thaws", MODULE, "train", after(_thaw)),
    in_history("Dropout is off in no_grad", layers.Dropout, "compute", _off_without_record),
    in_history("a copy is in training mode", MODULE, "__getstate__", instead(_without_mode)),
    in_history("a copy is thawed", Parameter, "__reduce__", instead(_thawed_copy)),
    in_history("a copy has no gradients", Parameter, "__reduce__", instead(_copy_without_gradient)),
    in_history("a copy shares the gradients", Parameter, "__reduce__", instead(_shared_gradient)),
]
