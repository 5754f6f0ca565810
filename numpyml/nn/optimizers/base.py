"""What all optimizers share: parameter groups, state, and few long passes over memory instead of many short ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn
from weakref import ref

import numpy as np

from numpyml.autograd.tensor import Tensor
from numpyml.errors import DTypeError, OptionError, OwnershipError, ShapeError, StateError, kind_of
from numpyml.memory import keep_freed_memory
from numpyml.names import ExplainsKeywords
from numpyml.nn.module import Module
from numpyml.nn.optimizers.groups import ParameterGroup
from numpyml.nn.parameter import owner_of
from numpyml.nn.storage import neighbours, span
from numpyml.typing import Array

_BLOCK = 1 << 16  # elements: what an update touches of so many stays in cache


class Run:
    """Parameters that are updated together: neighbours in memory, equally old, in one group."""

    def __init__(self, group: ParameterGroup, indices: list[int], p: Array, g: Array, step: int) -> None:
        self.options: Mapping[str, Any] = group.values_in_use
        self.indices = indices
        self.p = p
        self.g = g
        self.step = step
        self.state: dict[str, Array] = {}
        self.fresh: frozenset[str] = frozenset()  # names of the state that this step is the first to use


class _Unowned:
    """Stands for the owner of arrays that belong to no Parameter."""

    requires_grad = True


_UNOWNED = _Unowned()


class Optimizer(ExplainsKeywords):
    """What all optimizers share: parameter groups, state, and the passes over memory.

    Args:
        parameters: ``model.parameters()``, or a list of groups: dicts of ``parameters``, ``gradients`` and any options
            of that group alone.
        gradients: ``model.gradients()``, in the same order; None where groups are given.
        defaults: the options of every group that does not set its own.

    ``param_groups`` is the list of groups; an option set there holds from the next step on.

    Raises:
        OptionError: when an option is out of its range, or there is nothing to optimize.
        DTypeError: when something else than lists of floating arrays is given: a model, a Parameter, a number.
        ShapeError: when a gradient has not the shape and dtype of its parameter.
        OwnershipError: when parameters and gradients do not match; at a copy or a pickle; and at a call after a
            parameter is gone. It is gone when nothing refers to its layer any more: a layer that was replaced in
            the model but is still held, by a variable or by what was recorded for the backward, goes unnoticed.
    """

    def __init__(self, parameters: Any, gradients: Sequence[Array] | None, **defaults: Any) -> None:
        keep_freed_memory()
        self.defaults = defaults
        self.param_groups: list[ParameterGroup] = []
        self._owners: list[Callable[[], Any]] = []
        self._frozen: list[bool] | None = None
        self._frozen_gradients: list[Array] = []
        self._runs: list[Run] = []
        self._saved: dict[int, tuple[int, dict[str, Array]]] = {}  # step and state by parameter, frozen ones included
        name = type(self).__name__
        if gradients is not None:
            groups = [{"parameters": parameters, "gradients": gradients}]
        else:
            groups = _listed(name, "parameters", parameters)
            if any(not isinstance(group, Mapping) for group in groups):
                raise OwnershipError(
                    f"{name} expected parameters and gradients, got no gradients; {_REMEDY}, both as arrays"
                )
        if not groups:
            raise OptionError(f"{name} expected at least one group of parameters, got none")
        for group in groups:
            self.add_param_group(group)

    always_kept: ClassVar[tuple[str, ...]] = ()
    """The state arrays of every parameter that was updated."""
    kept_on_demand: ClassVar[tuple[str, ...]] = ()
    """Those that a parameter has once an option asked for them, also after the option is off again."""

    @classmethod
    def validate(cls, options: Mapping[str, Any]) -> None:
        """Raise an OptionError when an option is out of its range, or two contradict each other."""
        raise NotImplementedError

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """The state arrays that an update with these options needs for each parameter."""
        raise NotImplementedError

    def update(self, p: Array, g: Array, state: Mapping[str, Array], scratch: Array, run: Run) -> None:
        """One step for a stretch of parameters: writes to p, to the state and to two arrays of scratch, not to g."""
        raise NotImplementedError

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group: a dict of ``parameters``, ``gradients`` and any options of its own."""
        name = type(self).__name__
        unknown = set(group) - {"parameters", "gradients", *self.defaults}
        if unknown or not {"parameters", "gradients"} <= set(group):
            raise OptionError(
                f"{name} expected a group to have 'parameters', 'gradients' and any of {sorted(self.defaults)}, "
                f"got {sorted(group)}"
            )
        parameters, gradients = (_listed(name, role, group[role]) for role in ("parameters", "gradients"))
        owners = _check_arrays(name, parameters, gradients)
        taken = {id(p) for other in self.param_groups for p in other["parameters"]}
        if len(taken | {id(p) for p in parameters}) < len(taken) + len(parameters):
            raise OwnershipError(f"{name} expected every parameter once, got one twice; give each to one group only")
        values = {**self.defaults, **group, "parameters": tuple(parameters), "gradients": tuple(gradients)}
        self.param_groups.append(ParameterGroup(values, self.validate))
        self._owners += owners
        self._frozen = None

    def zero_grad(self) -> None:
        """Fill every gradient with zeros, those of frozen parameters too."""
        for run in self._current_runs():
            run.g.fill(0)
        for g in self._frozen_gradients:
            g.fill(0)

    def step(self) -> None:
        """Move every parameter that is not frozen by one step."""
        for run in self._current_runs():
            names = self.state_names(run.options)
            run.fresh = frozenset(name for name in names if name not in run.state)
            for name in run.fresh:
                run.state[name] = np.zeros_like(run.p)
            run.step += 1
            self._update(run)

    def _update(self, run: Run) -> None:
        """Update a run block by block, so that all passes over a block but the first find it in cache.

        One thread: NumPy gives the interpreter back between any two passes, and a second thread spends what it gains
        on waiting for it.
        """
        with np.errstate(all="ignore"):  # an overflow shows in the parameters, as in PyTorch
            if run.p.ndim != 1:  # not contiguous: as it is, in one piece
                self.update(run.p, run.g, run.state, np.empty((2, *run.p.shape), run.p.dtype), run)
                return
            scratch = np.empty((2, min(run.p.size, _BLOCK)), run.p.dtype)
            for start in range(0, run.p.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                p = run.p[block]
                state = {name: array[block] for name, array in run.state.items()}
                self.update(p, run.g[block], state, scratch[:, : p.size], run)

    # Which parameters go together

    def _current_runs(self) -> list[Run]:
        """The runs, planned anew after a parameter was frozen or unfrozen."""
        owners = [owner() for owner in self._owners]
        try:
            frozen = [not owner.requires_grad for owner in owners]
        except AttributeError:
            raise OwnershipError(
                f"{type(self).__name__} expected the parameters it was made for, but their model is gone or has "
                "replaced a layer; make a new optimizer from model.parameters(), model.gradients()"
            ) from None
        if frozen != self._frozen:
            self._save()
            self._runs, self._frozen = self._plan(frozen), frozen
            self._frozen_gradients = [g for (_, _, g), still in zip(self._arrays(), frozen, strict=True) if still]
        return self._runs

    def _save(self) -> None:
        """Bring the runs' state back to the parameters it belongs to."""
        for run in self._runs:
            for i, place in zip(run.indices, _places(run, self._arrays()), strict=True):
                self._saved[i] = run.step, {name: place(array) for name, array in run.state.items()}

    def _arrays(self) -> list[tuple[ParameterGroup, Array, Array]]:
        return [
            (group, *pair)
            for group in self.param_groups
            for pair in zip(group["parameters"], group["gradients"], strict=True)
        ]

    def _plan(self, frozen: Sequence[bool]) -> list[Run]:
        """Join what can be updated together."""
        runs: list[Run] = []
        arrays = self._arrays()
        chains: list[list[int]] = []
        for i, (group, p, g) in enumerate(arrays):
            if frozen[i]:
                continue
            before = chains[-1][-1] if chains else None
            if (
                before is not None
                and arrays[before][0] is group
                # Only between whole Parameters is there nothing but padding, which may be written.
                and owner_of(arrays[before][1]) is not None
                and owner_of(p) is not None
                and neighbours(arrays[before][1], p)
                and neighbours(arrays[before][2], g)
                and self._age(before) == self._age(i)
            ):
                chains[-1].append(i)
            else:
                chains.append([i])
        for chain in chains:
            group, p, g = arrays[chain[0]]
            if len(chain) > 1:
                p, g = span(p, arrays[chain[-1]][1]), span(g, arrays[chain[-1]][2])
            elif p.flags.c_contiguous and g.flags.c_contiguous:
                p, g = p.reshape(-1), g.reshape(-1)
            step, names = self._age(chain[0])
            run = Run(group, chain, p, g, step)
            run.state = {name: np.zeros_like(p) for name in names}
            for i, place in zip(chain, _places(run, arrays), strict=True):
                for name in names:
                    place(run.state[name])[...] = self._saved[i][1][name]
            runs.append(run)
        return runs

    def _age(self, i: int) -> tuple[int, frozenset[str]]:
        step, state = self._saved.get(i, (0, {}))
        return step, frozenset(state)

    # State, for looking and for saving

    @property
    def state(self) -> list[dict[str, Any]]:
        """For each parameter its ``step`` and its state arrays, under PyTorch's names, empty before the first step."""
        self._current_runs()
        self._save()
        saved = (self._saved.get(i, (0, {})) for i in range(len(self._owners)))
        return [{"step": step, **arrays} if step or arrays else {} for step, arrays in saved]

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state and of every group's options; parameters appear as their numbers."""
        numbers = iter(range(len(self._owners)))
        return {
            "state": {i: copy.deepcopy(state) for i, state in enumerate(self.state) if state},
            "param_groups": [
                {**group.options(), "parameters": [next(numbers) for _ in group["parameters"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state and options that ``state_dict()`` gave, in place of the present ones.

        Raises:
            StateError: listing everything that is not this optimizer's. Nothing is changed then.
        """
        problems: list[str] = []
        groups, states = _entries_of(state_dict)
        if groups is None or states is None:
            problems.append("a mapping of 'state' (a mapping) and 'param_groups' (a list of mappings)")
        options = [] if groups is None else self._checked_options(groups, problems)
        saved = {} if states is None else self._checked_states(states, problems)
        if problems:
            raise StateError(
                f"{type(self).__name__}.load_state_dict expected {'; '.join(problems)}. Nothing was loaded; "
                f"pass what state_dict() of {type(self).__name__} for such a model gave"
            )
        for group, changes in zip(self.param_groups, options, strict=True):
            group.update(changes)
        self._runs, self._frozen, self._saved = [], None, saved

    def _checked_options(self, groups: Sequence[Mapping[str, Any]], problems: list[str]) -> list[dict[str, Any]]:
        """The options of each saved group."""
        numbers = iter(range(len(self._owners)))
        expected = [[next(numbers) for _ in group["parameters"]] for group in self.param_groups]
        got = [group.get("parameters") for group in groups]
        if got != expected:
            problems.append(f"groups of the parameters {expected}, got {got!r:.80}")
            return []
        options = [{name: value for name, value in group.items() if name != "parameters"} for group in groups]
        for i, (group, changes) in enumerate(zip(self.param_groups, options, strict=True)):
            if unknown := [name for name in changes if name not in self.defaults]:
                problems.append(f"group {i} with options of {list(self.defaults)} only, got {unknown}")
            else:
                try:
                    self.validate({**group, **changes})
                except OptionError as error:
                    problems.append(f"options in range in group {i}, where {error}")
        return options

    def _checked_states(
        self, states: Mapping[Any, Any], problems: list[str]
    ) -> dict[int, tuple[int, dict[str, Array]]]:
        """Step and state of each saved parameter, in its dtype."""
        arrays = self._arrays()
        names = (*self.always_kept, *self.kept_on_demand)
        saved: dict[int, tuple[int, dict[str, Array]]] = {}
        for i, state in states.items():
            if not _is_whole(i) or i >= len(arrays) or not isinstance(state, Mapping):
                problems.append(
                    f"a mapping for each of the parameters 0 to {len(arrays) - 1}, got {i!r}: {state!r:.40}"
                )
                continue
            step: Any = state.get("step")
            p = arrays[i][1]
            if not _is_whole(step):
                problems.append(f"'step' of parameter {i} to be a whole number of 0 or more, got {step!r:.40}")
            elif step and (missing := [name for name in self.always_kept if name not in state]):
                problems.append(f"{missing} of parameter {i}, got {list(state)}")
            if unknown := [name for name in state if name not in ("step", *names)]:
                problems.append(f"of parameter {i} only 'step' and {list(names)}, got {unknown}")
            kept = {}
            for name in names:
                if name in state:
                    array = _as_array(state[name])
                    if array is None or array.shape != p.shape or array.dtype.kind != "f":
                        problems.append(
                            f"{name!r} of parameter {i} to be floats of shape {p.shape}, got {kind_of(state[name])}"
                        )
                    else:
                        with np.errstate(over="ignore"):  # to infinity, which shows in the parameters
                            kept[name] = array.astype(p.dtype)
            if _is_whole(step):
                saved[int(i)] = int(step), kept
        return saved

    def __reduce__(self) -> NoReturn:
        raise OwnershipError(
            f"{type(self).__name__} expected not to be copied or pickled: its arrays belong to a model; make a new "
            "optimizer for the other model and hand over the state: load_state_dict(optimizer.state_dict())"
        )

    def __repr__(self) -> str:
        lines = (f"group {i}: {group.options()}" for i, group in enumerate(self.param_groups))
        return f"{type(self).__name__}(" + "; ".join(lines) + ")"


def _entries_of(state_dict: Any) -> tuple[Sequence[Mapping[str, Any]] | None, Mapping[Any, Any] | None]:
    """The groups and the state in a state dict, None in place of what is not there or something else."""
    if not isinstance(state_dict, Mapping):
        return None, None
    groups, states = state_dict.get("param_groups"), state_dict.get("state")
    lists = isinstance(groups, (list, tuple)) and all(isinstance(group, Mapping) for group in groups)
    return groups if lists else None, states if isinstance(states, Mapping) else None


def _is_whole(value: Any) -> bool:
    """Whether this is a whole number of 0 or more."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)


def _as_array(value: Any) -> Array | None:
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # a ragged list, for one
        return None


def _places(run: Run, arrays: Sequence[tuple[ParameterGroup, Array, Array]]) -> list[Callable[[Array], Array]]:
    """For each parameter of a run: from an array laid out like the run to the parameter's part of it."""

    def part(p: Array) -> Callable[[Array], Array]:
        if run.p.ndim != 1:
            return lambda flat: flat
        start = (p.ctypes.data - run.p.ctypes.data) // p.itemsize
        return lambda flat: flat[start : start + p.size].reshape(p.shape)

    return [part(arrays[i][1]) for i in run.indices]


_REMEDY = "pass model.parameters(), model.gradients()"


def _listed(name: str, role: str, arrays: Any) -> list[Any]:
    """What was given as the parameters or the gradients, or a DTypeError where it is no list."""
    if isinstance(arrays, Iterable) and not isinstance(arrays, (Module, Tensor, Mapping)):
        return list(arrays)
    got = f"a {type(arrays).__name__}" if isinstance(arrays, Module) else kind_of(arrays)
    number = isinstance(arrays, (int, float, np.number))
    options = f", and options by their name: learning_rate={arrays!r}" if number else ""
    raise DTypeError(f"{name} expected a list of arrays as {role}, got {got}; {_REMEDY}{options}")


def _check_arrays(name: str, parameters: Sequence[Any], gradients: Sequence[Any]) -> list[Callable[[], Any]]:
    """Raise unless the two lists match; else give, for each parameter, a weak reference to its owner."""
    if not parameters:
        raise OptionError(f"{name} expected a model with parameters, got an empty list of them")
    if len(parameters) != len(gradients):
        raise OwnershipError(
            f"{name} expected as many gradients as parameters, got {len(parameters)} parameters and "
            f"{len(gradients)} gradients; pass model.parameters(), model.gradients() of one model"
        )
    owners: list[Callable[[], Any]] = []
    for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        for array in (p, g):
            if isinstance(array, Tensor):
                raise DTypeError(
                    f"{name} expected arrays at place {i}, got a {type(array).__name__}; {_REMEDY}, which give each "
                    "Parameter's .data and .grad"
                )
            if type(array) is not np.ndarray or array.dtype.kind != "f" or not array.flags.writeable:
                raise DTypeError(f"{name} expected writable arrays of floats at place {i}, got {kind_of(array)}")
        if p.shape != g.shape or p.dtype != g.dtype:
            raise ShapeError(f"{name} expected a gradient like parameter {i}, {kind_of(p)}, got {kind_of(g)}")
        owner = owner_of(p)
        if (owner is not None and owner.grad is not g) or owner_of(g) is not None:
            raise OwnershipError(
                f"{name} expected at place {i} a parameter and its own gradient, got arrays of two; "
                "pass model.parameters(), model.gradients() of one model, in this order"
            )
        owners.append(ref(owner) if owner is not None else lambda: _UNOWNED)
    return owners
