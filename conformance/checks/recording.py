"""The checks of calls that record nothing, of evaluation after training, and of two threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from conformance.cases.common import GY
from conformance.cases.functions import FunctionCase, large_function_cases
from conformance.cases.modules import ModuleCase, large_cases
from conformance.checks.modules import all_there, drivers
from conformance.checks.randomness import drawn_alone
from conformance.checks.registry import check
from conformance.checks.turns import at_once, in_thread
from conformance.comparison.answers import Answer, gradient, is_gradient
from conformance.errors import Mismatch
from conformance.frameworks import make_module, offers, under_test
from conformance.results.census import Note
from conformance.rows import FunctionRow, ModuleRow
from numpyml.nested import leaves, map_leaves
from numpyml.typing import Array

Answers = Mapping[Answer, Array]


def _drivers(case: ModuleCase | FunctionCase) -> list[str]:
    return drivers() if isinstance(case, ModuleCase) else [""]


def _answers(case: ModuleCase | FunctionCase, driver: str, arrays: Mapping[str, Array] | None = None) -> Answers:
    """Outputs and gradients, of a new module."""
    arrays = case.exact if arrays is None else arrays
    return case.ours(arrays, driver) if isinstance(case, ModuleCase) else case.ours(arrays)


def _refusals() -> tuple[type[Exception], ...]:
    framework = under_test()
    return framework.REJECTIONS if offers(framework, "REJECTIONS") else (RuntimeError,)


def _outputs(answers: Answers) -> dict[Answer, Array]:
    """What a call computes, and writes, without a backward."""
    return {answer: y for answer, y in answers.items() if not is_gradient(answer)}


def _unrecorded(case: ModuleCase | FunctionCase, driver: str, arrays: Mapping[str, Array]) -> Answers:
    """What a call without a record computes."""
    framework = under_test()
    with framework.no_grad():
        if isinstance(case, ModuleCase):
            return case.run(case.make(None, arrays), arrays, driver, framework, backward=False)
        return _outputs(case.ours(arrays))


@check(rows=FunctionRow, needs=("no_grad",), examples=8)
@check(rows=ModuleRow, needs=("no_grad",), examples=32, fewer_composed=False)
def without_record(case: ModuleCase | FunctionCase, note: Note) -> None:
    """The output without a record is that of the recorded call, in numpyml to the bit. A later call keeps it."""
    for driver in _drivers(case):
        expected = _outputs(_answers(case, driver))
        _same_outputs(case, note, driver, expected, bits=under_test().NAME == "numpyml")
        if isinstance(case, ModuleCase):
            _kept(case, note, driver)


def _kept(case: ModuleCase, note: Note, driver: str) -> None:
    """A later call without a record does not change what an earlier one returned."""
    framework, arrays = under_test(), case.exact
    module, inputs, gys = case.make(None, arrays), case.arrays(arrays), case.gradients_of(arrays)
    with framework.no_grad():
        ys = leaves(case.drive(module, inputs, gys, driver, backward=False)[0])
        before = [np.array(y) for y in ys]
        case.drive(module, map_leaves(lambda x: np.roll(x, 1), inputs), gys, driver, backward=False)
    for i, (y, copied) in enumerate(zip(ys, before, strict=True)):
        note.same(f"output[{i}] without a record, after a later call ({driver})", y, copied)


def _has_large(row: ModuleRow | FunctionRow) -> bool:
    return bool(row.large)


@check(
    rows=FunctionRow, where=_has_large, cases=lambda row, _: large_function_cases(row), needs=("no_grad",), examples=2
)
@check(rows=ModuleRow, where=_has_large, cases=lambda row, _: large_cases(row), needs=("no_grad",), examples=2)
def large_without_record(case: ModuleCase | FunctionCase, note: Note) -> None:
    """The output of large arrays without a record is that of the recorded call to the bit; where it is computed in
    other blocks, by the comparison rule."""
    driver = _drivers(case)[0]
    _same_outputs(case, note, driver, _outputs(_answers(case, driver)), bits=False)


def _same_outputs(case: ModuleCase | FunctionCase, note: Note, driver: str, expected: Answers, bits: bool) -> None:
    """The outputs without a record: the bits of the recorded ones, or by the comparison rule."""
    answers = _unrecorded(case, driver, case.exact)
    note.require(answers.keys() == expected.keys(), f"{[*answers]} without a record, expected {[*expected]}")
    try:
        for answer, y in expected.items():
            note.same(f"{answer} without a record" + f" ({driver})" * bool(driver), answers[answer], y)
    except Mismatch:
        if bits:
            raise
        ours = replace(case.problem(backward=False), ours=lambda arrays: _unrecorded(case, driver, arrays))
        note.judge(ours, case.dtype, case.seed, expected.__contains__)


@check(rows=FunctionRow, needs=("no_grad",), examples=2)
@check(rows=ModuleRow, needs=("no_grad", "zero_grad"), examples=8)
def recording(case: ModuleCase | FunctionCase, note: Note) -> None:
    """Inside ``no_grad`` nothing is recorded, so that no backward follows, also after an inner one ended, or was left
    by an exception; outside it, everything is again. A thread does not change what another one records."""
    no_grad, driver = under_test().no_grad, _drivers(case)[case.seed % len(_drivers(case))]
    expected = _answers(case, driver)
    in_thread(lambda: _recording_inside_and_outside(case, note, driver, expected))
    with _InAnotherThread(no_grad):
        _all_recorded(case, note, driver, expected, "while another thread is inside no_grad")
    if isinstance(case, ModuleCase):
        _refused(case, note)


def _recording_inside_and_outside(case: ModuleCase | FunctionCase, note: Note, driver: str, expected: Answers) -> None:
    """In a thread of its own: if the state is wrong at the end, it is that of no other check."""
    no_grad = under_test().no_grad
    with no_grad():
        _nothing_recorded(case, note, driver, "inside no_grad")
        with no_grad():
            pass
        _nothing_recorded(case, note, driver, "inside no_grad, after an inner one")
        with suppress(_Interruption), no_grad():
            raise _Interruption
        _nothing_recorded(case, note, driver, "inside no_grad, after an exception in an inner one")
        in_thread(lambda: _all_recorded(case, note, driver, expected, "in a thread begun inside no_grad"))
        _nothing_recorded(case, note, driver, "inside no_grad, after another thread recorded")
    _all_recorded(case, note, driver, expected, "after no_grad")
    with suppress(_Interruption), no_grad():
        raise _Interruption
    _all_recorded(case, note, driver, expected, "after an exception inside no_grad")


class _Interruption(Exception):
    """What leaves a block."""


class _InAnotherThread:
    """A context manager: another thread is inside one."""

    def __init__(self, manager: Callable[[], Any]) -> None:
        self.manager, self.inside, self.over = manager, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._wait)

    def _wait(self) -> None:
        try:
            with self.manager():
                self.inside.set()
                self.over.wait()
        finally:
            self.inside.set()

    def __enter__(self) -> None:
        self.thread.start()
        self.inside.wait()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def _nothing_recorded(case: ModuleCase | FunctionCase, note: Note, driver: str, when: str) -> None:
    """A backward is refused, or gives zeros."""
    with suppress(*_refusals()):
        for answer, gx in _answers(case, driver).items():
            note.require(not is_gradient(answer) or not gx.any(), f"{answer} {when}: expected none, got {gx}")


def _all_recorded(case: ModuleCase | FunctionCase, note: Note, driver: str, expected: Answers, when: str) -> None:
    try:
        answers = _answers(case, driver)
    except _refusals() as error:
        raise Mismatch(f"{when}: expected a record, but backward was refused: {error}") from error
    for answer, value in expected.items():
        note.same(f"{answer} {when}", answers[answer], value)


def _refused(case: ModuleCase, note: Note) -> None:
    """A backward that follows a forward inside ``no_grad`` gives no gradient and changes none."""
    framework, arrays = under_test(), case.exact
    module, gys = case.make(None, arrays), case.gradients_of(arrays)
    inputs, further = case.arrays(arrays), case.further(case.dtype)
    case.drive(module, inputs, gys)
    before = {name: np.array(g) for name, g in framework.gradients(module).items()}
    with framework.no_grad():
        framework.forward(module, *inputs, **further)
    gxs: Any = []
    with suppress(*_refusals()):
        gxs = framework.backward(module, *gys)
    kept = [gx for gx in leaves(list(gxs)) if gx is not None and np.any(gx)]
    note.require(not kept, "backward after a forward inside no_grad: expected a refusal, got a gradient")
    for name, g in framework.gradients(module).items():
        note.same(f"{gradient(name)} after a backward without a record", g, before[name])


@check(rows=ModuleRow, where=drawn_alone, needs=("train", "seed", "no_grad"))
def random_state(case: ModuleCase, note: Note) -> None:
    """From one seed, a call in training draws the same masks with a record and without, and leaves the generator the
    same; one in evaluation draws nothing."""
    framework = under_test()

    def drawn(how: str) -> list[Array]:
        """The outputs of a call in training, without a record or after evaluation, and masks that are drawn next."""
        framework.seed(case.seed)
        module = make_module(framework, case.row.torch, case.options, case.dtype)
        inputs, further = case.arrays(case.exact), case.further(case.dtype)
        if how == "after evaluation":
            before = {name: np.array(x) for name, x in framework.parameters(module).items()}
            framework.train(module, False)
            framework.forward(module, *inputs, **further)
            for name, x in framework.parameters(module).items():  # max_norm writes to the weight in evaluation, too
                x[...] = before[name]
        framework.train(module, True)
        with framework.no_grad() if how == "without a record" else nullcontext():
            ys = leaves(framework.forward(module, *inputs, **further))
        masks = framework.masks(module, (16,), case.dtype) if offers(framework, "masks") else []
        return [*map(np.array, ys), *(mask for _, mask in masks)]

    expected = drawn("")
    for how in ("without a record", "after evaluation"):
        for y, value in zip(drawn(how), expected, strict=True):
            note.same(f"output or later mask of one seed, {how}", y, value)


@check(rows=ModuleRow, needs=("train", "zero_grad"))
def evaluation(case: ModuleCase, note: Note) -> None:
    """After forward and backward in training, evaluation gives the bits of a new module with the same parameters and
    buffers, which never was trained; so does training after evaluation."""
    framework, arrays = under_test(), case.exact
    trained = case.make(None, arrays)
    framework.train(trained, True)
    inputs, gys = case.arrays(arrays), case.gradients_of(arrays)
    for driver in drivers():
        case.drive(trained, map_leaves(lambda x: np.roll(x, 1), inputs), gys, driver)
    for mode in (False, True):
        for driver in drivers():
            new = _copied(case, trained, arrays)
            for module in (trained, new):
                framework.train(module, mode)
                framework.zero_grad(module)
            answers, expected = (case.run(module, arrays, driver, framework) for module in (trained, new))
            all_there(expected, answers)
            for answer, value in expected.items():
                what = "training after evaluation" if mode else "evaluation after training"
                note.same(f"{answer}, {what} ({driver})", answers[answer], value)


def _copied(case: ModuleCase, module: Any, arrays: Mapping[str, Array]) -> Any:
    """A new module with the same parameters and buffers."""
    framework = under_test()
    new = case.make(None, arrays)
    if offers(framework, "state_dict", "load_state_dict"):
        framework.load_state_dict(new, {name: np.array(x) for name, x in framework.state_dict(module).items()})
    else:
        for name, data in framework.parameters(new).items():
            data[...] = framework.parameters(module)[name]
    return new


@check(rows=FunctionRow, needs=("no_grad",), examples=2)
@check(rows=ModuleRow, needs=("no_grad",), examples=4)
def threads(case: ModuleCase | FunctionCase, note: Note) -> None:
    """Two threads at once give the bits of one after the other: outputs and all gradients with a module for each; with
    one module for both, outputs without a record, and the gradients of the inputs from the dynamic driver."""
    arrays = case.exact
    halves = {name: x * x.dtype.type(-0.5 if name.startswith(GY) else 0.5) for name, x in arrays.items()}
    if isinstance(case, FunctionCase):
        alone = case.ours(arrays), case.ours(halves)
        _same(note, _together(lambda: case.ours(arrays), lambda: case.ours(halves)), *alone)
        return
    framework = under_test()
    parameters = {name: arrays[name] for name in framework.parameters(case.make())}
    for driver in [drivers()[case.seed % len(drivers())]]:
        alone = case.ours(arrays, driver), case.ours(halves, driver)
        own = _in_threads(case, driver, [case.make(None, arrays), case.make(None, halves)], arrays, halves)
        _same(note, own, *alone)
        if not case.row.written:
            shared, others = case.make(None, arrays), {**halves, **parameters}
            together = _in_threads(case, driver, [shared] * 2, arrays, others, backward=driver == "dynamic")
            for answers in together:  # both threads add to the gradients of the parameters
                for name in parameters:
                    answers.pop(gradient(name), None)
            _same(note, together, case.ours(arrays, driver), case.ours(others, driver))


def _in_threads(
    case: ModuleCase, driver: str, modules: list[Any], *arrays: Mapping[str, Array], backward: bool = True
) -> list[dict[Answer, Array]]:
    """The answers of two modules to two sets of arrays, at once."""
    framework = under_test()

    def run(module: Any, numbers: Mapping[str, Array]) -> dict[Answer, Array]:
        with nullcontext() if backward else framework.no_grad():
            return case.run(module, numbers, driver, framework, backward)

    return _together(*(partial(run, *pair) for pair in zip(modules, arrays, strict=True)))


def _together(*calls: Callable[[], dict[Answer, Array]]) -> list[dict[Answer, Array]]:
    """What these calls, which succeed one after the other, answer at once."""
    try:
        return at_once(*calls)
    except Exception as error:
        raise Mismatch(f"raises while another thread runs: {type(error).__name__}: {error}") from error


def _same(note: Note, together: list[dict[Answer, Array]], *alone: Answers) -> None:
    for answers, expected in zip(together, alone, strict=True):
        note.require(answers.keys() <= expected.keys(), f"{[*answers]} in two threads, expected {[*expected]}")
        for answer, value in answers.items():
            note.same(f"{answer}, while another thread runs", value, expected[answer])
