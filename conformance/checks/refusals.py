"""Invalid calls, each valid but for one thing: what PyTorch refuses, the framework refuses by an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from conformance import divergences
from conformance.cases.functions import FunctionCase
from conformance.cases.initial import InitialCase
from conformance.cases.modules import ModuleCase
from conformance.cases.optimizers import OptimizerCase
from conformance.checks.optimizers import accepted
from conformance.checks.registry import ESSENTIAL, check
from conformance.errors import Mismatch
from conformance.frameworks import make_module, offers, pytorch, under_test
from conformance.records import CAUSAL_HINT, Accepted, Refused
from conformance.results.census import Note
from conformance.rows import FunctionRow, InitialRow, ModuleRow, OptimizerRow
from conformance.twins.twin import torch_names, torch_optimizer
from numpyml.nested import flatten, leaves, map_leaves, unflatten
from numpyml.typing import Array

OPTIONS: dict[str, Any] = {
    "None": None,
    "a word": "nonsense",
    "-1": -1,
    "a fraction": 1.5,
    "NaN": np.nan,
    "infinity": np.inf,
    "a list": [1, 2],
}


NUMPY = "NumPy"
VALID_GRADIENT = "incoming gradient as it should be"
HINTS = ("is_causal", "src_is_causal", "tgt_is_causal", "memory_is_causal")


def misshapen(x: Array) -> dict[str, Array]:
    """An array in other shapes, some of which could be broadcast to its own."""
    ways = {"with an axis more": x[None]}
    if x.ndim:
        ways["with an axis less"] = np.asarray(x.sum(axis=0)).astype(x.dtype)
        ways["longer on the last axis"] = np.concatenate([x, x, np.ones((*x.shape[:-1], 1), x.dtype)], -1)
        ways["longer on the first axis"] = np.concatenate([x, x[:1], np.ones((1, *x.shape[1:]), x.dtype)], 0)
    return ways


def invalid_inputs(case: ModuleCase, inputs: list[Array]) -> Iterator[tuple[str, list[Array]]]:
    """Each input in turn, made invalid in each way."""
    hinted = CAUSAL_HINT if any(case.call.get(name) is True for name in HINTS) else ""
    flat = leaves(inputs)
    for i, (name, x) in enumerate(zip(case.names, flat, strict=True)):
        role = "target" if name == "targets" else "input"
        other = np.float64 if x.dtype == np.float32 else np.float32
        ways = misshapen(x) | {"as complex": x.astype(np.complex128), "as booleans": x.astype(bool)}
        if x.dtype.kind == "f":
            ways |= {"as integers": np.zeros(x.shape, np.int64), "in another precision": x.astype(other)}
        else:
            wide = x.astype(np.int64)  # no 8-bit integer is out of range, no unsigned one below 0
            ways |= {"out of range": wide + 1000, "negative": wide - 50, "as fractions": x + 0.5}
        if name == "targets" and x.dtype.kind == "f":
            ways |= {"above 1": x + 2, "below 0": x - 2}
        for way, y in ways.items():
            yield f"{role} {way}{hinted}", unflatten(case.nesting, [y if j == i else z for j, z in enumerate(flat)])


def invalid_gradients(gys: list[Array]) -> Iterator[tuple[str, list[Array]]]:
    """Each incoming gradient in turn, in another shape than its output."""
    flat, nesting = flatten(gys)
    for i, gy in enumerate(flat):
        for way, y in misshapen(gy).items():
            yield f"incoming gradient {way}", unflatten(nesting, [y if j == i else z for j, z in enumerate(flat)])


def invalid_states(state: Mapping[str, Array], name: str) -> Iterator[tuple[str, dict[str, Array]]]:
    """A state dict with an entry too many; and, of a name in it, without that entry, or with another shape there."""
    yield "state with an entry more", {**state, "nobody's": np.ones(1, np.float32)}
    if name:
        yield "state with an entry less", {key: x for key, x in state.items() if key != name}
        for way, x in misshapen(state[name]).items():
            yield f"state with an entry {way}", {**state, name: x}


def invalid_options(options: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each option in turn, made invalid in each way; of a pair, each of the two as well."""
    for name, right in options.items():
        for word, value in OPTIONS.items():
            yield f"option {name}: {word}", {name: value}
        for i in range(len(right)) if isinstance(right, tuple) else ():
            for word, value in {**OPTIONS, "1": 1.0}.items():
                yield f"option {name}[{i}]: {word}", {name: (*right[:i], value, *right[i + 1 :])}


# Bad options of the parts inside a container are the parts' own.
@check(rows=ModuleRow, where=lambda row: not row.container, needs=(*ESSENTIAL, "REJECTIONS"), examples=16)
def rejections(case: ModuleCase, note: Note) -> None:
    """Both sides accept or both refuse an invalid call, incoming gradient, option or state dict, but for the documented
    differences."""
    framework = under_test()
    module, peer = case.make(), case.twin()
    inputs = case.arrays(
        {name: x.values.astype(case.dtype) for name, x in zip(case.names, case.inputs, strict=True) if x.floating}
    )
    further = case.further(case.dtype)
    for what, arrays in invalid_inputs(case, inputs):
        same_refusal(
            case.row.name,
            note,
            what,
            lambda xs=arrays: framework.forward(module, *xs, **further),
            lambda xs=arrays: pytorch.call(peer, xs, further),
        )
    for name in case.row.options:
        for word, value in OPTIONS.items():
            changed = {**case.options, name: value}

            def run(side: Any, options: dict[str, Any] = changed) -> Any:
                return make_module(side, case.row.torch, options, case.dtype)

            same_refusal(
                case.row.name, note, f"option {name}: {word}",
                lambda make=run: framework.forward(make(framework), *inputs, **further),
                lambda make=run: pytorch.call(make(pytorch), inputs, further),
            )  # fmt: skip
    _invalid_gradients(case, note, module, peer, inputs)
    if offers(framework, "state_dict", "load_state_dict"):
        _invalid_states(case, note, module, peer)


def _invalid_gradients(case: ModuleCase, note: Note, module: Any, peer: Any, inputs: list[Array]) -> None:
    """An incoming gradient of another shape than the output is refused as in PyTorch, by each driver; one of the
    output's is not."""
    framework, further = under_test(), case.further(case.dtype)

    def explicit(gys: list[Array]) -> None:
        framework.forward(module, *inputs, **further)
        framework.backward(module, *gys)

    def dynamic(gys: list[Array]) -> None:
        framework.dynamic(module, inputs, *gys, **further)

    def theirs(gys: list[Array]) -> None:
        tensors = map_leaves(lambda x: pytorch.tensor(x, requires_grad=True), inputs)
        tracked = [x for x in (*leaves(tensors), *peer.parameters()) if x.requires_grad]
        pytorch.gradients(leaves(pytorch.call(peer, tensors, further)), tracked, leaves(gys))

    right = case.gradients_of(case.exact)
    drivers: dict[str, Callable[[list[Array]], None]] = {"": explicit}
    if len(leaves(right)) == 1 and offers(
        framework, "dynamic"
    ):  # who has several outputs calls a tape for each of them
        drivers[", dynamic driver"] = dynamic
    for driver, ours in drivers.items():
        same_refusal(
            case.row.name, note, VALID_GRADIENT + driver, lambda run=ours: run(right), lambda: theirs(right), valid=True
        )
    for what, gys in invalid_gradients(right):
        for driver, ours in drivers.items():
            same_refusal(case.row.name, note, what + driver, lambda run=ours, g=gys: run(g), lambda g=gys: theirs(g))


def _invalid_states(case: ModuleCase, note: Note, module: Any, peer: Any) -> None:
    """A state dict that is not the module's is refused as in PyTorch; its own is not."""
    framework = under_test()
    ours = {name: np.array(x) for name, x in framework.state_dict(module).items()}
    theirs = {name: pytorch.array(x) for name, x in peer.state_dict().items()}
    name = list(ours)[case.seed % len(ours)] if ours else ""

    def load(state: Mapping[str, Array]) -> None:
        framework.load_state_dict(module, state)

    def load_peer(state: Mapping[str, Array]) -> None:
        peer.load_state_dict({key: pytorch.tensor(x) for key, x in state.items()})

    same_refusal(
        case.row.name, note, "state as it should be", lambda: load(ours), lambda: load_peer(theirs), valid=True
    )
    for (what, state), (_, peers) in zip(invalid_states(ours, name), invalid_states(theirs, name), strict=True):
        same_refusal(case.row.name, note, what, lambda s=state: load(s), lambda s=peers: load_peer(s))


@check(rows=OptimizerRow, needs=("optimizer", "step", "REJECTIONS"), examples=8)
def optimizer_rejections(case: OptimizerCase, note: Note) -> None:
    """An invalid option is refused as in PyTorch, by the optimizer or its first step; so is one of a group, which is
    held to what PyTorch asks of the whole optimizer where that is documented."""
    if not accepted(case, note):
        return
    framework, name = under_test(), case.row.name
    as_whole = divergences.reason(name, Refused, "option of a group")

    def ours(options: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        groups = [{"params": [np.ones(n, case.dtype)], "grads": [np.ones(n, case.dtype)]} for n in (2, 3)]
        groups[1] |= torch_names(own)
        framework.step(framework.optimizer(case.row.torch, groups, torch_names(options)))

    def theirs(options: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        parameters = [pytorch.tensor(np.ones(n, case.dtype), True) for n in (2, 3)]
        groups: list[dict[str, Any]] = [{"params": [p]} for p in parameters]
        groups[1] |= own
        stepper = torch_optimizer(case.row, groups, options)
        for p in parameters:
            p.grad = p.detach().clone()
        stepper.step()

    for what, wrong in invalid_options(case.options):
        whole = {**case.options, **wrong}
        same_refusal(name, note, what, lambda o=whole: ours(o, {}), lambda o=whole: theirs(o, {}))
        peers = (whole, {}) if as_whole else (case.options, wrong)
        same_refusal(
            name, note, f"{what}, of a group", lambda w=wrong: ours(case.options, w), lambda p=peers: theirs(*p)
        )  # fmt: skip


@check(rows=InitialRow, numpyml_only=True, examples=8)
def initial_rejections(case: InitialCase, note: Note) -> None:
    """An invalid option, or an array of too few axes or of integers, is refused as in PyTorch."""

    def ours(array: Array, options: Mapping[str, Any]) -> Any:
        return case.row.ours(np.array(array), **options)

    def theirs(array: Array, options: Mapping[str, Any]) -> Any:
        return pytorch.attribute(case.row.torch)(pytorch.tensor(array), **options)

    right = np.zeros((3, 2), case.dtype)
    calls: dict[str, tuple[Array, Mapping[str, Any]]] = {
        what: (right, {**case.options, **wrong}) for what, wrong in invalid_options(case.options)
    }
    calls |= {f"array of {axes} axes": (np.zeros((3,) * axes, case.dtype), case.options) for axes in range(3)}
    calls["array of integers"] = np.zeros((3, 2), np.int64), case.options
    for what, (array, options) in calls.items():
        same_refusal(
            case.row.name, note, what,
            lambda x=array, o=options: ours(x, o), lambda x=array, o=options: theirs(x, o),
        )  # fmt: skip


@check(rows=FunctionRow, needs=("NAMESPACE", "differentiate", "REJECTIONS"), examples=8)
def function_rejections(case: FunctionCase, note: Note) -> None:
    """An operand of another shape, or an invalid option, is refused where NumPy's own function refuses it, by an error
    of its own or NumPy's; what NumPy accepts has a backward. An incoming gradient is refused as by PyTorch."""
    framework, name, function = under_test(), case.row.name, case.row.call
    arrays = case.exact

    def ours(xs: list[Array], options: Mapping[str, Any], ys: Any) -> Any:
        taken: list[Any] = []

        def called(*operands: Any) -> Any:
            taken.append(function(framework.NAMESPACE, *operands, **options))
            return taken[0]

        try:
            framework.differentiate(called, xs, [np.ones_like(y) for y in leaves(ys)])
        except Exception:
            if ys is not None or not taken:  # else NumPy refuses what was taken, and there is no gradient to begin from
                raise
        return taken[0]

    for what, xs, options in invalid_calls(case, [arrays[operand] for operand in case.call.operands]):
        numpys = partial(function, np, *xs, **options)
        ys, _ = _outcome(numpys)
        same_refusal(name, note, what, partial(ours, xs, options, ys), numpys, peers=NUMPY)
    right = {key: x for key, x in arrays.items() if key not in case.call.operands}

    def back(side: Callable[[dict[str, Array]], Any], gys: list[Array]) -> None:
        side({**arrays, **dict(zip(right, gys, strict=True))})

    for what, gys in [(VALID_GRADIENT, list(right.values())), *invalid_gradients(list(right.values()))]:
        ours_back, torchs = partial(back, case.ours, gys), partial(back, case.torch, gys)
        same_refusal(name, note, what, ours_back, torchs, valid=what == VALID_GRADIENT)


def invalid_calls(case: FunctionCase, xs: list[Array]) -> Iterator[tuple[str, list[Array], dict[str, Any]]]:
    """Each operand in turn in another shape, then each option in turn invalid."""
    options = dict(case.call.options)
    for i, x in enumerate(xs):
        for way, y in misshapen(x).items():
            yield f"operand {way}", [y if j == i else z for j, z in enumerate(xs)], options
    for what, wrong in invalid_options(options):
        yield what, xs, {**options, **wrong}


Call = Callable[..., Any]  # of nothing; what a lambda keeps of its loop is an argument to the type checker


def same_refusal(
    name: str, note: Note, what: str, ours: Call, theirs: Call, valid: bool = False, peers: str = "PyTorch"
) -> None:
    """Whether one call of a component is refused on both sides or on neither; a valid one on neither, since who refuses
    every call would refuse the invalid ones, too. Where NumPy is the peer, its own error will do."""
    framework = under_test()
    mine, refusal = _outcome(ours)
    if isinstance(refusal, NotImplementedError) and framework.NAME != "numpyml":
        note.not_offered += 1
        return
    peer, reason = _outcome(theirs)
    if valid and reason is not None:
        raise Mismatch(f"{what}: {peers} refuses it: {reason}")
    numpys = peers == NUMPY and (type(refusal), str(refusal)) == (type(reason), str(reason))
    if refusal is not None and not numpys and not isinstance(refusal, framework.REJECTIONS):
        raise Mismatch(f"{what}: {type(refusal).__name__} instead of an error of its own: {refusal}")
    if refusal is None and reason is not None:
        difference = divergences.reason(name, Accepted, what)
        if not difference:
            raise Mismatch(f"{what}: {peers} refuses it ({reason}), it is accepted")
        note.remarks.add(difference)
    if refusal is not None and reason is None:
        difference = "" if valid else divergences.reason(name, Refused, what)
        if not difference:
            raise Mismatch(f"{what}: {peers} accepts it, it is refused: {refusal}")
        note.remarks.add(difference)
    if refusal is None and reason is None and peer is not None:
        for y, other in zip(leaves(mine), leaves(peer), strict=True):
            if np.shape(y) != np.shape(other) and not divergences.reason(name, Accepted, what):
                raise Mismatch(f"{what}: shape {np.shape(y)}, {peers}'s is {np.shape(other)}")
    note.record(1)


def _outcome(call: Any) -> tuple[Any, Exception | None]:
    import warnings

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # PyTorch warns of what it then does
        try:
            return call(), None
        except Exception as error:  # noqa: BLE001  # which one it is, is what the check asks
            return None, error
