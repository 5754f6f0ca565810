"""The checks of modules: one plain function for each property. Three of them run on functions, too.

A check takes a drawn case and the note it writes to, and calls the framework through its adapter alone.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np

from conformance import divergences
from conformance.cases.common import GY
from conformance.cases.functions import FunctionCase
from conformance.cases.modules import ModuleCase
from conformance.checks.registry import BOTH, check
from conformance.comparison.answers import Answer, buffer, every, gradient, is_gradient, is_output
from conformance.comparison.answers import output as answer_of_output
from conformance.errors import Mismatch
from conformance.frameworks import make_module, offers, pytorch, under_test
from conformance.records import OptionNotState
from conformance.results.census import Note
from conformance.rows import FunctionRow, ModuleRow
from conformance.twins.twin import twin
from numpyml.nested import leaves, map_leaves


def drivers() -> list[str]:
    """The drivers of the framework under test."""
    return ["explicit", "dynamic"] if offers(under_test(), "dynamic") else ["explicit"]


@check(rows=FunctionRow, covers=True, ignores=GY)
@check(rows=ModuleRow, examples=80, covers=True, ignores=GY)
def output(case: ModuleCase | FunctionCase, note: Note) -> None:
    """The output, each of several, by the comparison rule."""
    answers = note.judge(case.problem(backward=False), case.dtype, case.seed, is_output)
    all_there(map(answer_of_output, range(case.outputs)), answers)


@check(rows=ModuleRow, examples=80, covers=True)
def input_gradients(case: ModuleCase, note: Note) -> None:
    """The gradient of every floating input, for a random incoming gradient, from the dynamic driver if there is one.
    Where no input is floating, everything that this driver returns."""
    gradients = [gradient(name) for name, x in zip(case.names, case.inputs, strict=True) if x.floating]
    answers = note.judge(case.problem(), case.dtype, case.seed, gradients.__contains__ if gradients else every)
    if under_test().NAME == "numpyml":
        all_there(gradients, answers)
    note.not_offered += not set(gradients) <= set(answers)


@check(rows=ModuleRow, examples=56, covers=True)
def parameter_gradients(case: ModuleCase, note: Note) -> None:
    """The gradient of every parameter, for a random incoming gradient, from the explicit driver."""
    case.make()  # one that is not offered has not passed, though PyTorch's may have no parameters
    gradients = [gradient(name) for name, _ in case.peer(np.float64).named_parameters()]
    if gradients:
        answers = note.judge(case.problem("explicit"), case.dtype, case.seed, gradients.__contains__)
        all_there(gradients, answers)


def all_there(expected: Iterable[Answer], answers: Container[Answer]) -> None:
    if lacking := [answer for answer in expected if answer not in answers]:
        raise Mismatch(f"{lacking[0]}: there is none, PyTorch has one")


@check(rows=FunctionRow, examples=12, sensitivity=BOTH)
@check(rows=ModuleRow, examples=16, sensitivity=BOTH)
def resolution(case: ModuleCase | FunctionCase, note: Note) -> None:
    """Sensitivity, the smallest planted error that is detected: of errors of 1, 2, 4, ... units in the last place of a
    single element, one of 64 must be detected where the problem is well conditioned."""
    case.ours(case.exact)  # what is not offered is not measured
    note.plant(case.problem(), case.dtype, case.seed)


@check(rows=ModuleRow, needs=("dynamic",))
def drivers_agree(case: ModuleCase, note: Note) -> None:
    """The explicit and the dynamic driver give the same bits."""
    arrays = case.exact
    explicit, dynamic = case.ours(arrays), case.ours(arrays, "dynamic")
    for answer in dynamic:  # a loss gives the gradient of its outputs alone
        if answer not in explicit and answer != gradient("targets"):
            raise Mismatch(f"{answer}: there is none from the explicit driver")
    for answer, value in explicit.items():
        note.same(f"{answer}, explicit against dynamic", value, dynamic[answer])


@check(rows=ModuleRow)
def inputs_untouched(case: ModuleCase, note: Note) -> None:
    """No argument is written to, and no later call changes what an earlier one returned."""
    arrays, further = case.exact, case.further(case.dtype)
    module, inputs, gys = case.make(None, arrays), case.arrays(arrays), case.gradients_of(arrays)
    watched = {name: x for name, x in further.items() if isinstance(x, np.ndarray)}
    watched |= dict(zip(case.names, leaves(inputs), strict=True))
    watched |= dict(zip((name for name in arrays if name.startswith(GY)), leaves(gys), strict=True))
    before = {name: x.tobytes() for name, x in watched.items()}
    for driver in drivers():
        results = leaves(list(case.drive(module, inputs, gys, driver, further=further)))
        copies = [np.array(x) for x in results]
        others = map_leaves(lambda x: np.roll(x, 1), inputs), map_leaves(np.negative, gys)
        case.drive(module, *others, driver, further=further)
        for name, x in watched.items():
            note.require(x.tobytes() == before[name], f"{name} was written to")
        for x, copied in zip(results, copies, strict=True):
            note.same("an array returned earlier, after a later call", x, copied)


@check(rows=ModuleRow, needs=("zero_grad",))
def accumulation(case: ModuleCase, note: Note) -> None:
    """Backward adds to the gradients that are there; zero_grad fills them with zeros."""
    framework, arrays = under_test(), case.exact
    inputs, gys = case.arrays(arrays), case.gradients_of(arrays)
    thrice = map_leaves(lambda gy: gy * 3, gys)
    single = []
    for incoming in (gys, thrice):
        module = case.make(None, arrays)
        case.drive(module, inputs, incoming)
        single.append({name: np.array(x) for name, x in framework.gradients(module).items()})
    module = case.make(None, arrays)
    before = framework.gradients(module)
    case.drive(module, inputs, gys)
    case.drive(module, inputs, thrice)
    with np.errstate(all="ignore"):
        for name, g in framework.gradients(module).items():
            note.same(f"{gradient(name)} after two backwards", g, single[0][name] + single[1][name])
    framework.zero_grad(module)
    for name, g in framework.gradients(module).items():
        if framework.NAME == "numpyml":  # an optimizer keeps references to the arrays
            note.require(g is before[name], f"the {gradient(name)} is another array than before")
        note.same(f"{gradient(name)} after zero_grad", g, np.zeros_like(g))


@check(rows=ModuleRow, needs=("dynamic", "used_twice"))
def used_twice(case: ModuleCase, note: Note) -> None:
    """One instance, twice in a graph: the gradients of both uses add up."""
    if case.row.composed:
        note.judge(case.twice(), case.dtype, case.seed, is_gradient)
        return
    once, twice = case.ours(case.exact, "dynamic"), case.twice().ours(case.exact)
    with np.errstate(all="ignore"):
        for answer, g in once.items():
            if is_gradient(answer):
                note.same(str(answer), twice[answer], g + g)


@check(rows=ModuleRow, needs=("freeze",), examples=32)
def frozen(case: ModuleCase, note: Note) -> None:
    """A frozen parameter gets no gradient; the others and the inputs get the same bits as without it."""
    framework, arrays = under_test(), case.exact
    names = list(framework.parameters(case.make()))
    if not names:
        return
    chosen = [names[case.seed % len(names)]] if case.seed % 3 else names  # one, or all
    others = len(chosen) < len(names) or any(x.floating for x in case.inputs)  # else the tape records nothing
    for driver in drivers() if others else ["explicit"]:
        module = case.make(None, arrays)
        for name in chosen:
            framework.freeze(module, name)
        answers = case.run(module, arrays, driver, framework)
        for answer, value in case.ours(arrays, driver).items():
            idle = is_gradient(answer) and answer.of in chosen
            note.same(f"{answer}, {chosen} frozen ({driver})", answers[answer], np.zeros_like(value) if idle else value)


@check(rows=ModuleRow, needs=("train", "modes"), examples=12)
def modes(case: ModuleCase, note: Note) -> None:
    """train() and eval() reach every module inside, as in PyTorch."""
    module, peer = case.make(), case.twin()
    for mode in (False, True):
        under_test().train(module, mode)
        peer.train(mode)
        ours = under_test().modes(module)
        note.require(ours == [inner.training for inner in peer.modules()], f"train({mode}) gave {ours}")


@check(rows=ModuleRow)
def dtype_kept(case: ModuleCase, note: Note) -> None:
    """float32 stays float32 and float64 stays float64, through both drivers."""
    for driver in drivers():
        for answer, value in case.ours(case.exact, driver).items():
            note.require(value.dtype == case.dtype, f"{answer} is {value.dtype}, expected {case.dtype} ({driver})")


@check(rows=ModuleRow, needs=("state_dict", "load_state_dict"))
def state_dict(case: ModuleCase, note: Note) -> None:
    """PyTorch's keys, in its order, and shapes; each side loads what the other saved; a call changes no parameter."""
    framework = under_test()
    module = case.make()
    peer = twin(module, case.dtype) if framework.NAME == "numpyml" else case.twin()
    _same_state(case, note, module, peer, "")
    other = make_module(framework, case.row.torch, case.options, case.dtype)
    state, held = _torch_state(case, note, peer), framework.parameters(other)
    framework.load_state_dict(other, state)
    for name, data in framework.parameters(other).items():
        if framework.NAME == "numpyml":  # an optimizer keeps references to the arrays
            note.require(data is held[name], f"{name} is another array than before load_state_dict")
        note.require(not any(np.shares_memory(data, x) for x in state.values()), f"{name} is what was loaded, uncopied")
    _same_state(case, note, other, peer, " after load_state_dict")
    inputs = case.arrays(case.exact)
    case.drive(module, inputs, case.gradients_of(case.exact))
    pytorch.call(peer.train(case.training), inputs, case.further(case.dtype))
    if not case.row.written:  # else see output, by the comparison rule
        _same_state(case, note, module, peer, " after a call", case.buffers())


@check(rows=ModuleRow, needs=("state_dict",), examples=16)
def buffers(case: ModuleCase, note: Note) -> None:
    """State that is no parameter, such as running statistics, by PyTorch's names after each of three calls: floats by
    the comparison rule, integers to the bit."""
    kinds = {name: x.dtype.kind for name, x in case.buffers().items()}
    if floats := [name for name, kind in kinds.items() if kind == "f"]:
        answers = note.judge(case.buffer_history(floats), case.dtype, case.seed)
        all_there([buffer(name, 1) for name in floats], answers)
    if integers := [name for name, kind in kinds.items() if kind != "f"]:
        history, arrays = case.buffer_history(integers), case.exact
        ours, theirs = history.ours(arrays), history.torch(arrays)
        all_there(theirs, ours)
        for answer, expected in theirs.items():
            note.same(str(answer), ours[answer], expected)


def _torch_state(case: ModuleCase, note: Note, peer: Any) -> dict[str, Any]:
    theirs = {name: pytorch.array(x) for name, x in peer.state_dict().items()}
    for name in list(theirs):
        if reason := divergences.reason(case.row.name, OptionNotState, name):
            note.remarks.add(reason)
            del theirs[name]
    return theirs


def _same_state(case: ModuleCase, note: Note, module: Any, peer: Any, when: str, excluded: Container[str] = ()) -> None:
    """The same keys, and the same bits; buffers that another check compares are left out."""
    ours, theirs = under_test().state_dict(module), _torch_state(case, note, peer)
    note.require(
        list(ours) == list(theirs), f"state_dict{when} has the keys {list(ours)}, PyTorch's has {list(theirs)}"
    )
    for name, x in ours.items():
        if name not in excluded:
            note.same(f"{name}{when}", x, theirs[name])


@check(rows=ModuleRow, needs=("copies",))
def copies(case: ModuleCase, note: Note) -> None:
    """A deepcopy and a pickle compute the same bits, and share no memory with the original."""
    framework = under_test()
    arrays = case.exact
    inputs, further = case.arrays(arrays), case.further(case.dtype)
    module = make_module(framework, case.row.torch, case.options, case.dtype)
    framework.train(module, False)
    case.drive(module, inputs, case.gradients_of(arrays))
    others = framework.copies(module)
    ys = leaves(framework.forward(module, *inputs, **further))
    for how, other in others.items():
        for y, again in zip(ys, leaves(framework.forward(other, *inputs, **further)), strict=True):
            note.same(f"output of a {how}", again, y)
        for what in (framework.parameters, framework.gradients):
            for (name, x), own in zip(what(other).items(), what(module).values(), strict=True):
                note.require(not np.shares_memory(x, own), f"{name} of a {how} shares memory: {what.__name__}")


MASKED = 256
RANDOM = (0.05, 0.95)  # rates of which two such masks are never the same by chance


@check(rows=ModuleRow, needs=("seed", "train"))
def same_seed(case: ModuleCase, note: Note) -> None:
    """Two runs of one seed give the same bits, including initial values and masks; another seed gives others."""
    framework = under_test()
    arrays = case.exact
    runs: list[dict[str, Any]] = []
    for seed in (case.seed, case.seed, (case.seed + 1) % 2**32):
        framework.seed(seed)
        module = make_module(framework, case.row.torch, case.options, case.dtype)
        framework.train(module, case.training)
        ys = leaves(framework.forward(module, *case.arrays(arrays), **case.further(case.dtype)))
        outputs = {f"output {i}": np.array(y) for i, y in enumerate(ys)}
        # of an output with few numbers, two masks are the same by chance
        further = framework.masks(module, (MASKED,), case.dtype) if offers(framework, "masks") else []
        masks = {f"mask {i}": mask for i, (_, mask) in enumerate(further)}
        runs.append(outputs | masks | dict(framework.parameters(module)))
    first, again, other = runs
    for name, value in first.items():
        note.same(f"{name} of a second run", value, again[name])
    drawn = [f"mask {i}" for i, (p, _) in enumerate(further) if RANDOM[0] <= p <= RANDOM[1]]
    for names in ([name for name in drawn_by_pytorch(case) if name in first], drawn):
        if names:
            differ = any(not np.array_equal(first[name], other[name]) for name in names)
            note.require(differ, f"another seed gives the same {', '.join(names)}")


def drawn_by_pytorch(case: ModuleCase) -> list[str]:
    """The parameters that start from random numbers in PyTorch."""
    runs = []
    for seed in (0, 1):
        pytorch.seed(seed)
        peer = make_module(pytorch, case.row.torch, case.options, case.dtype)
        runs.append({name: pytorch.array(x) for name, x in peer.named_parameters()})
    return [name for name, x in runs[0].items() if not np.array_equal(x, runs[1][name])]
