"""Invalid calls, each with one thing wrong: what PyTorch refuses, the framework refuses by an error of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from conformance import divergences
from conformance.cases.functions import FunctionCase
from conformance.cases.initial import InitialCase
from conformance.cases.modules import ModuleCase
from conformance.cases.optimizers import OptimizerCase
from conformance.cases.schedulers import SchedulerCase
from conformance.checks.registry import check
from conformance.errors import Mismatch
from conformance.frameworks import make_module, offers, pytorch, under_test
from conformance.records import CAUSAL_HINT, Accepted, Refused
from conformance.results.census import Note
from conformance.rows import FunctionRow, InitialRow, ModuleRow, OptimizerRow, SchedulerRow
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
VALID_GRADIENT = "valid incoming gradient"
HINTS = ("is_causal", "src_is_causal", "tgt_is_causal", "memory_is_causal")


def accepted(case: OptimizerCase | SchedulerCase, note: Note) -> bool:
    """Whether PyTorch accepts the options of a case; where it refuses them, so must the framework."""
    reason, *of_group = case.refusals
    try:
        case.make(under_test())
    except getattr(under_test(), "REJECTIONS", ()) as refusal:
        if not any(case.refusals):
            raise Mismatch(f"PyTorch accepts these options, they are refused: {refusal}") from refusal
        documented = divergences.reason(note.row, Refused, "option of a group")
        if any(of_group) and documented:  # PyTorch validates those late or never
            note.remarks.add(documented)
        note.record(1)
        return False
    if reason and not offers(under_test(), "REJECTIONS"):
        return False  # the framework makes no promise about them
    if reason:
        raise Mismatch(f"PyTorch refuses these options ({reason}), they are accepted")
    return True


def other_shapes(x: Array) -> dict[str, Array]:
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
        ways = other_shapes(x) | {"as complex": x.astype(np.complex128), "as booleans": x.astype(bool)}
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
        for way, y in other_shapes(gy).items():
            yield f"incoming gradient {way}", unflatten(nesting, [y if j == i else z for j, z in enumerate(flat)])


def invalid_states(state: Mapping[str, Array], name: str) -> Iterator[tuple[str, dict[str, Array]]]:
    """A state dict with an entry too many; and, of a name in it, without that entry, or with another shape there."""
    yield "state with an entry more", {**state, "unknown": np.ones(1, np.float32)}
    if name:
        yield "state with an entry less", {key: x for key, x in state.items() if key != name}
        for way, x in other_shapes(state[name]).items():
            yield f"state with an entry {way}", {**state, name: x}


def invalid_options(options: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each option in turn, made invalid in each way; of a tuple, each element as well."""
    for name, right in options.items():
        for word, value in OPTIONS.items():
            yield f"option {name}: {word}", {name: value}
        for i in range(len(right)) if isinstance(right, tuple) else ():
            for word, value in {**OPTIONS, "1": 1.0}.items():
                yield f"option {name}[{i}]: {word}", {name: (*right[:i], value, *right[i + 1 :])}


# Bad options of the parts inside a container are the parts' own.
@check(rows=ModuleRow, where=lambda row: not row.container, needs=("REJECTIONS",), examples=16)
def rejections(case: ModuleCase, note: Note) -> None:
    """Both sides accept or both refuse an invalid call, incoming gradient, option or state dict, except for the
    documented differences."""
    framework, further = under_test(), case.further(case.dtype)
    inputs = case.arrays({name: x.values.astype(case.dtype) for name, x in case.named_inputs.items() if x.floating})

    def ours(module: Any, xs: list[Any]) -> Any:
        return framework.forward(module, *xs, **further)

    def theirs(peer: Any, xs: list[Any]) -> Any:
        return pytorch.call(peer, xs, further)

    def with_options(side: Any, call: Callable[[Any, list[Any]], Any], options: Mapping[str, Any]) -> Any:
        return call(make_module(side, case.row.torch, options, case.dtype), inputs)

    module, peer = case.make(), case.twin()
    for what, xs in invalid_inputs(case, inputs):
        same_refusal(note, what, partial(ours, module, xs), partial(theirs, peer, xs))
    for name in case.row.options:
        for word, value in OPTIONS.items():
            options = {**case.options, name: value}
            both = partial(with_options, framework, ours, options), partial(with_options, pytorch, theirs, options)
            same_refusal(note, f"option {name}: {word}", *both)
    _invalid_gradients(case, note, module, peer, inputs)
    if offers(framework, "state_dict", "load_state_dict"):
        _invalid_states(case, note, module, peer)


def _invalid_gradients(case: ModuleCase, note: Note, module: Any, peer: Any, inputs: list[Any]) -> None:
    """An incoming gradient of another shape than the output is refused as in PyTorch, by each driver; one of the
    output's is not."""
    framework, further = under_test(), case.further(case.dtype)

    def theirs(gys: list[Any]) -> None:
        tensors = map_leaves(lambda x: pytorch.tensor(x, requires_grad=True), inputs)
        tracked = [x for x in (*leaves(tensors), *peer.parameters()) if x.requires_grad]
        pytorch.gradients(leaves(pytorch.call(peer, tensors, further)), tracked, leaves(gys))

    def ours(gys: list[Any], driver: str) -> None:
        case.drive(module, inputs, gys, driver, further=further)

    valid = case.gradients_of(case.exact)
    drivers = {"": "explicit"}
    if len(leaves(valid)) == 1 and offers(framework, "dynamic"):  # several outputs: the tape is called for each
        drivers[", dynamic driver"] = "dynamic"
    for what, gys in [(VALID_GRADIENT, valid), *invalid_gradients(valid)]:
        for words, driver in drivers.items():
            both = partial(ours, gys, driver), partial(theirs, gys)
            same_refusal(note, what + words, *both, valid=what == VALID_GRADIENT)


def _invalid_states(case: ModuleCase, note: Note, module: Any, peer: Any) -> None:
    """A state dict that is not the module's is refused as in PyTorch; its own is not."""
    framework = under_test()
    ours = {name: np.array(x) for name, x in framework.state_dict(module).items()}
    theirs = {name: pytorch.array(x) for name, x in peer.state_dict().items()}
    name = list(ours)[case.seed % len(ours)] if ours else ""
    load = partial(framework.load_state_dict, module)

    def load_peer(state: Mapping[str, Array]) -> None:
        peer.load_state_dict({key: pytorch.tensor(x) for key, x in state.items()})

    same_refusal(note, "valid state", partial(load, ours), partial(load_peer, theirs), valid=True)
    for (what, state), (_, peers) in zip(invalid_states(ours, name), invalid_states(theirs, name), strict=True):
        same_refusal(note, what, partial(load, state), partial(load_peer, peers))


@check(rows=OptimizerRow, needs=("state", "REJECTIONS"), examples=8)
def optimizer_rejections(case: OptimizerCase, note: Note) -> None:
    """An invalid option is refused as in PyTorch, by the optimizer or its first step; so is one of a group, which is
    held to what PyTorch asks of the whole optimizer where that is documented."""
    if not accepted(case, note):
        return
    as_whole = divergences.reason(note.row, Refused, "option of a group")

    def ours(changed: OptimizerCase) -> None:
        changed.ours(changed.exact)

    def theirs(changed: OptimizerCase) -> None:
        changed.torch(changed.exact)

    for what, wrong in invalid_options(case.options):
        whole = case.one_step({**case.options, **wrong}, {})
        group = case.one_step(case.options, wrong)
        same_refusal(note, what, partial(ours, whole), partial(theirs, whole))
        same_refusal(note, f"{what}, of a group", partial(ours, group), partial(theirs, whole if as_whole else group))


@check(rows=SchedulerRow, needs=("REJECTIONS",), examples=8)
def scheduler_rejections(case: SchedulerCase, note: Note) -> None:
    """An invalid option that PyTorch refuses, at construction or at a step, is refused by an error of its own."""
    if accepted(case, note):
        for what, wrong in invalid_options(case.options):
            changed = case.with_options(wrong)
            same_refusal(note, what, partial(changed.run, under_test()), partial(changed.run, pytorch))


@check(rows=InitialRow, numpyml_only=True, examples=8)
def initial_rejections(case: InitialCase, note: Note) -> None:
    """An invalid option, or an array of too few axes or of integers, is refused as in PyTorch."""

    def ours(array: Array, options: Mapping[str, Any]) -> Any:
        return case.row.ours(np.array(array), **options)

    def theirs(array: Array, options: Mapping[str, Any]) -> Any:
        return pytorch.attribute(case.row.torch)(pytorch.tensor(array), **options)

    matrix = np.zeros((3, 2), case.dtype)
    for what, wrong in invalid_options(case.options):
        options = {**case.options, **wrong}
        same_refusal(note, what, partial(ours, matrix, options), partial(theirs, matrix, options))
    arrays = {f"array of {axes} axes": np.zeros((3,) * axes, case.dtype) for axes in range(3)}
    for what, array in {**arrays, "array of integers": matrix.astype(np.int64)}.items():
        same_refusal(note, what, partial(ours, array, case.options), partial(theirs, array, case.options))


@check(rows=FunctionRow, needs=("REJECTIONS",), examples=8)
def function_rejections(case: FunctionCase, note: Note) -> None:
    """An operand of another shape, or an invalid option, is refused where NumPy's own function refuses it, by an error
    of its own or NumPy's; what NumPy accepts has a backward. An incoming gradient is refused as by PyTorch."""
    framework, function, arrays = under_test(), case.row.call, case.exact

    def ours(xs: list[Array], options: Mapping[str, Any], ys: Any) -> Any:
        results: list[Any] = []

        def call(*operands: Any) -> Any:
            results.append(function(framework.NAMESPACE, *operands, **options))
            return results[0]

        try:
            framework.differentiate(call, xs, [np.ones_like(y) for y in leaves(ys)])
        except Exception:
            if ys is not None or not results:  # else NumPy alone refuses, and there is no incoming gradient
                raise
        return results[0]

    for what, xs, options in invalid_calls(case, [arrays[operand] for operand in case.call.operands]):
        theirs = partial(function, np, *xs, **options)
        ys, _ = _outcome(theirs)
        same_refusal(note, what, partial(ours, xs, options, ys), theirs, peers=NUMPY)
    valid = {name: x for name, x in arrays.items() if name not in case.call.operands}

    def back(side: Callable[[dict[str, Array]], Any], gys: list[Array]) -> None:
        side({**arrays, **dict(zip(valid, gys, strict=True))})

    for what, gys in [(VALID_GRADIENT, list(valid.values())), *invalid_gradients(list(valid.values()))]:
        both = partial(back, case.ours, gys), partial(back, case.torch, gys)
        same_refusal(note, what, *both, valid=what == VALID_GRADIENT)


def invalid_calls(case: FunctionCase, xs: list[Array]) -> Iterator[tuple[str, list[Array], dict[str, Any]]]:
    """Each operand in turn in another shape, then each option in turn invalid."""
    options = dict(case.call.options)
    for i, x in enumerate(xs):
        for way, y in other_shapes(x).items():
            yield f"operand {way}", [y if j == i else z for j, z in enumerate(xs)], options
    for what, wrong in invalid_options(options):
        yield what, xs, {**options, **wrong}


def same_refusal(
    note: Note,
    what: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    valid: bool = False,
    peers: str = "PyTorch",
) -> None:
    """Whether a call is refused on both sides or on neither; a valid one on neither, since a framework that refuses
    every call would refuse the invalid ones, too. Where NumPy is the peer, its own error will do."""
    framework = under_test()
    mine, refusal = _outcome(ours)
    if isinstance(refusal, NotImplementedError) and framework.NAME != "numpyml":
        note.not_offered += 1
        return None
    peer, reason = _outcome(theirs)
    if valid and reason is not None:
        return note.fail(f"{what}: {peers} refuses it: {reason}")
    numpys = peers == NUMPY and (type(refusal), str(refusal)) == (type(reason), str(reason))
    if refusal is not None and not numpys and not isinstance(refusal, framework.REJECTIONS):
        return note.fail(f"{what}: {type(refusal).__name__} instead of an error of its own: {refusal}")
    laxer = divergences.reason(note.row, Accepted, what)
    stricter = "" if valid else divergences.reason(note.row, Refused, what)
    if refusal is None and reason is not None:
        if not laxer:
            return note.fail(f"{what}: {peers} refuses it ({reason}), it is accepted")
        note.remarks.add(laxer)
    elif refusal is not None and reason is None:
        if not stricter:
            return note.fail(f"{what}: {peers} accepts it, it is refused: {refusal}")
        note.remarks.add(stricter)
    elif refusal is None and peer is not None and not laxer:
        for y, other in zip(leaves(mine), leaves(peer), strict=True):
            if np.shape(y) != np.shape(other):
                return note.fail(f"{what}: shape {np.shape(y)}, {peers}'s is {np.shape(other)}")
    note.record(1)
    return None


def _outcome(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call returns, or the error that it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # PyTorch warns of what it then does
        try:
            return call(), None
        except Exception as error:  # noqa: BLE001  # which one it is, is what the check asks
            return None, error
