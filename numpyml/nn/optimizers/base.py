"""The base of all optimizers: parameter groups, steps, and state for saving."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from numpyml.autograd.tape import recording
from numpyml.errors import OptionError, OwnershipError, StateError, kind_of
from numpyml.memory import keep_freed_memory
from numpyml.names import ExplainsKeywords
from numpyml.nn.optimizers import flat, plain
from numpyml.nn.optimizers.groups import REMEDY, Entry, ParameterGroup, State, array_list, check_arrays
from numpyml.nn.optimizers.options import Check, declared
from numpyml.options import array_or_none, require
from numpyml.typing import Array


class Optimizer(ExplainsKeywords):
    """The base of all optimizers: parameter groups, steps, and state for saving.

    Args:
        parameters: ``model.parameters()``, or a list of groups: dicts of ``parameters``, ``gradients`` and any options
            of that group alone.
        gradients: ``model.gradients()``, in the same order; None where groups are given.
        defaults: the options of every group that does not set its own. Only what the constructor of the subclass
            declares is taken, so that it can pass ``locals()``.

    ``param_groups`` is the list of groups; an option set there holds from the next step on.

    A subclass has a constructor that declares the options, and ``update``. The base calls it in one of two ways:

    ``elementwise = False``: ``update(p, g, state, options)``, once for each parameter, with arrays of its own shape.
    ``state`` has the number of this ``step``, from 1 on, and the arrays that ``state_arrays`` names.

    ``elementwise = True``: ``update(p, g, state, scratch, run)``, for blocks of a flat array in which many parameters
    lie one after the other: fewer calls, and less traffic to memory. ``scratch`` has two arrays like ``p`` to work
    in; ``run`` has the ``options``, the ``step``, and ``new_state``, the names of arrays that are used for the first
    time.

    Raises:
        OptionError: when an option is out of its range, or there is nothing to optimize.
        DTypeError: when something else than lists of floating arrays is given: a model, a Parameter, a number.
        ShapeError: when a gradient has not the shape and dtype of its parameter.
        OwnershipError: when parameters and gradients do not match; at a copy or a pickle; and at a call after a
            parameter is gone. It is gone when nothing refers to its layer any more: a layer that was replaced in
            the model but is still held, by a variable or by what was recorded for the backward, goes unnoticed.
    """

    elementwise: ClassVar[bool] = False
    """Whether an update of one element reads no other."""
    state_arrays: ClassVar[tuple[str, ...]] = ()
    """The state arrays of every parameter that was updated."""
    optional_state_arrays: ClassVar[tuple[str, ...]] = ()
    """State arrays that only some options need; a parameter keeps them when the option is off again."""
    _checks: ClassVar[Mapping[str, Check]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls._checks = {**cls._checks, **declared(cls.__init__)}

    def __init__(self, parameters: Any, gradients: Sequence[Array] | None, defaults: Mapping[str, Any]) -> None:
        keep_freed_memory()
        self.defaults = {name: defaults[name] for name in self._checks if name in defaults}
        self.param_groups: list[ParameterGroup] = []
        self._owners: list[Callable[[], Any]] = []
        self._frozen: list[bool] | None = None
        self._frozen_gradients: list[Array] = []
        self._runs: Sequence[flat.Run | plain.Single] = []
        self._states: dict[int, State] = {}  # by parameter, frozen ones included; those of runs are brought up to date
        name = type(self).__name__
        if gradients is not None:
            groups = [{"parameters": parameters, "gradients": gradients}]
        else:
            groups = array_list(name, "parameters", parameters)
            if any(not isinstance(group, Mapping) for group in groups):
                raise OwnershipError(
                    f"{name} expected parameters and gradients, got no gradients; {REMEDY}, both as arrays"
                )
        if not groups:
            raise OptionError(f"{name} expected at least one group of parameters, got none; {REMEDY}")
        for group in groups:
            self.add_param_group(group)

    @classmethod
    def validate(cls, options: Mapping[str, Any]) -> None:
        """Raise an OptionError when an option is out of its range; extend it where options depend on each other."""
        for name, check in cls._checks.items():
            if name in options:
                check(cls.__name__, name, options[name])

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The state arrays that an update with these options needs for each parameter."""
        return self.state_arrays

    def initial_state(self, p: Array, options: Mapping[str, Any]) -> dict[str, Array]:
        """The state arrays of a parameter before its first update. Elementwise optimizers always begin with zeros."""
        return {name: np.zeros_like(p) for name in self.state_names(options)}

    def update(self, p: Array, g: Array, state: Any, *arguments: Any, **options: Any) -> None:
        """One step of a parameter, or of a block of many: writes to p, state and scratch in place, not to g."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no update; write update(self, p, g, state, options), or where it is "
            "elementwise update(self, p, g, state, scratch, run), which changes p and its state in place"
        )

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group: a dict of ``parameters``, ``gradients`` and any options of its own."""
        name = type(self).__name__
        required = ("parameters", "gradients")
        got = [kind_of(group)]
        if isinstance(group, Mapping):
            got = [f"an unknown {key!r}" for key in group if key not in (*required, *self.defaults)]
            got += [f"no {key!r}" for key in required if key not in group]
        if got:
            raise OptionError(
                f"{name} expected a group to have 'parameters', 'gradients' and any of {sorted(self.defaults)}, "
                f"got {', '.join(got)}; pass a dict of model.parameters(), model.gradients() and options"
            )
        parameters, gradients = (array_list(name, role, group[role]) for role in required)
        owners = check_arrays(name, parameters, gradients)
        others = {id(p) for other in self.param_groups for p in other["parameters"]}
        if len(others | {id(p) for p in parameters}) < len(others) + len(parameters):
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

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that is not frozen.

        Args:
            closure: a function that computes the gradients and returns the loss. It is called first, with calls
                recorded also inside ``no_grad()``, and its loss is returned.
        """
        loss = None
        if closure is not None:
            expected = "a function that computes the gradients and returns the loss, or None"
            require(callable(closure), self, "closure", closure, expected)
            self._current_runs()  # raises before the closure changes a gradient
            with recording():
                loss = closure()
        with np.errstate(all="ignore"):  # an overflow shows in the parameters, as in PyTorch
            for run in self._current_runs():
                run.advance(self)
        return loss

    def _current_runs(self) -> Sequence[flat.Run | plain.Single]:
        """The driver's plan, made again after a parameter was frozen or unfrozen."""
        try:
            frozen = [not owner().requires_grad for owner in self._owners]
        except AttributeError:  # of None
            raise OwnershipError(
                f"{type(self).__name__} expected the parameters it was made for, but their model is gone or has "
                "replaced a layer; make a new optimizer from model.parameters(), model.gradients()"
            ) from None
        if frozen != self._frozen:
            self._save()
            entries = self._entries()
            trainable = [entry for entry in entries if not frozen[entry.index]]
            plan = flat.plan if self.elementwise else plain.plan
            self._runs, self._frozen = plan(trainable, self._states), frozen
            self._frozen_gradients = [entry.g for entry in entries if frozen[entry.index]]
        return self._runs

    def _save(self) -> None:
        """Write the runs' state back to the parameters it belongs to."""
        for run in self._runs:
            self._states.update(run.states())

    def _entries(self) -> list[Entry]:
        arrays = (
            (group, *pair)
            for group in self.param_groups
            for pair in zip(group["parameters"], group["gradients"], strict=True)
        )
        return [Entry(i, *entry) for i, entry in enumerate(arrays)]

    # State, for inspection and for saving

    @property
    def state(self) -> list[dict[str, Any]]:
        """For each parameter its ``step`` and its state arrays, under PyTorch's names, empty before the first step."""
        self._current_runs()
        self._save()
        states = (self._states.get(i, (0, {})) for i in range(len(self._owners)))
        return [{"step": step, **arrays} if step or arrays else {} for step, arrays in states]

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state and of every group's options; parameters appear as their indices."""
        pairs = zip(self.param_groups, self._indices(), strict=True)
        return {
            "state": {i: copy.deepcopy(state) for i, state in enumerate(self.state) if state},
            "param_groups": [{**group.options(), "parameters": indices} for group, indices in pairs],
        }

    def _indices(self) -> list[list[int]]:
        """The indices of the parameters of each group."""
        indices = iter(range(len(self._owners)))
        return [[next(indices) for _ in group["parameters"]] for group in self.param_groups]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Replace state and options by those of a ``state_dict()``.

        Raises:
            StateError: listing everything that is not this optimizer's. Nothing is changed then.
        """
        problems: list[str] = []
        groups, states = _contents(state_dict)
        if groups is None or states is None:
            problems.append(
                "a mapping of 'state' (a mapping) and 'param_groups' (a list of mappings), got " + kind_of(state_dict)
            )
        options = [] if groups is None else self._checked_options(groups, problems)
        checked = {} if states is None else self._checked_states(states, problems)
        if problems:
            raise StateError(
                f"{type(self).__name__}.load_state_dict expected {'; '.join(problems)}. Nothing was loaded; "
                f"pass the state_dict() of {type(self).__name__} for such a model"
            )
        for group, changes in zip(self.param_groups, options, strict=True):
            group.update(changes)
        self._runs, self._frozen, self._states = [], None, checked

    def _checked_options(self, groups: Sequence[Mapping[str, Any]], problems: list[str]) -> list[dict[str, Any]]:
        """The options of each saved group."""
        expected = self._indices()
        got = [group.get("parameters") for group in groups]
        if not all(isinstance(indices, list) and all(map(_is_count, indices)) for indices in got) or got != expected:
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

    def _checked_states(self, states: Mapping[Any, Any], problems: list[str]) -> dict[int, State]:
        """Step count and state arrays of each saved parameter, in its dtype."""
        entries = self._entries()
        checked: dict[int, State] = {}
        for i, state in states.items():
            if not _is_count(i) or i >= len(entries) or not isinstance(state, Mapping):
                problems.append(
                    f"a mapping for each of the parameters 0 to {len(entries) - 1}, got {i!r}: {state!r:.40}"
                )
                continue
            step: Any = state.get("step")
            shapes = self._state_shapes(entries[i])
            if not _is_count(step):
                problems.append(f"'step' of parameter {i} to be an integer of 0 or more, got {step!r:.40}")
            elif step and (missing := [name for name in self.state_arrays if name not in state]):
                problems.append(f"{missing} of parameter {i}, got {list(state)}")
            if unknown := [name for name in state if name not in ("step", *shapes)]:
                problems.append(f"of parameter {i} only 'step' and {list(shapes)}, got {unknown}")
            arrays = {}
            for name, shape in shapes.items():
                if name in state:
                    array = array_or_none(state[name])
                    if array is None or array.shape != shape or array.dtype.kind != "f":
                        problems.append(
                            f"{name!r} of parameter {i} to be floats of shape {shape}, got {kind_of(state[name])}"
                        )
                    else:
                        with np.errstate(over="ignore"):  # to infinity, which shows in the parameters
                            arrays[name] = array.astype(entries[i].p.dtype)
            if _is_count(step):
                checked[int(i)] = int(step), arrays
        return checked

    def _state_shapes(self, entry: Entry) -> dict[str, tuple[int, ...]]:
        """The shapes of all state arrays that a parameter may have."""
        shapes = dict.fromkeys((*self.state_arrays, *self.optional_state_arrays), entry.p.shape)
        own = {} if self.elementwise else self.initial_state(entry.p, entry.group.values_in_use)
        return {**shapes, **{name: array.shape for name, array in own.items()}}

    def __reduce__(self) -> NoReturn:
        raise OwnershipError(
            f"{type(self).__name__} expected not to be copied or pickled: its arrays belong to a model; make a new "
            "optimizer for the other model and hand over the state: load_state_dict(optimizer.state_dict())"
        )

    def __repr__(self) -> str:
        lines = (f"group {i}: {group.options()}" for i, group in enumerate(self.param_groups))
        return f"{type(self).__name__}(" + "; ".join(lines) + ")"


def regularized(p: Array, g: Array, s: Array, change: Array, options: Mapping[str, Any]) -> Array:
    """The gradient, negated to maximize, plus the weight decay: in the scratch array s, unless it is g itself."""
    if options["maximize"]:
        g = np.negative(g, out=s)
    decay = 0 if options.get("decoupled_weight_decay") else options["weight_decay"]
    if decay:
        np.multiply(p, decay, out=change)
        g = np.add(g, change, out=s)
    return g


def _contents(state_dict: Any) -> tuple[Sequence[Mapping[str, Any]] | None, Mapping[Any, Any] | None]:
    """The groups and the state in a state dict, None for what is missing or of another type."""
    if not isinstance(state_dict, Mapping):
        return None, None
    groups, states = state_dict.get("param_groups"), state_dict.get("state")
    lists = isinstance(groups, (list, tuple)) and all(isinstance(group, Mapping) for group in groups)
    return groups if lists else None, states if isinstance(states, Mapping) else None


def _is_count(value: Any) -> bool:
    """Whether this is an integer of 0 or more, of 64 bits."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= int(value) < 1 << 63
