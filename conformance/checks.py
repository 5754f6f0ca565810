"""The checks of modules and functions: one plain function for each property, run on every row it fits.

A check takes a drawn case and the note it writes to. What optimizers, bad calls and whole models promise stands in
trajectories.py, rejections.py and programs.py.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np

from conformance.bound import arrays_of
from conformance.cases import FunctionCase, ModuleCase
from conformance.census import Note
from conformance.divergences import OPTIONS_NOT_STATE
from conformance.frameworks import numpyml as framework
from conformance.frameworks import pytorch
from conformance.twin import twin
from numpyml.autograd.derivatives import COMPOSITES

# Modules


def output(case: ModuleCase, note: Note) -> None:
    """The output, by the comparison rule."""
    note.judge(case.problem("explicit"), case.dtype, case.seed, "output")


def input_gradients(case: ModuleCase, note: Note) -> None:
    """The gradient of every floating input, for a random incoming gradient, through the tape."""
    note.judge(case.problem(), case.dtype, case.seed, *(f"gradient of {name}" for name in case.names))


def parameter_gradients(case: ModuleCase, note: Note) -> None:
    """The gradient of every parameter, for a random incoming gradient, from the explicit driver."""
    parameters = framework.parameters(case.make())
    if parameters:
        names = [f"gradient of {name}" for name in parameters]
        note.judge(case.problem("explicit"), case.dtype, case.seed, *names)


def drivers_agree(case: ModuleCase, note: Note) -> None:
    """The explicit and the dynamic driver give the same bits."""
    arrays = arrays_of(case.problem(), case.dtype)
    explicit, dynamic = case.ours(arrays), case.dynamic(arrays)
    for name, value in explicit.items():
        note.same(f"{name}, explicit against dynamic", value, dynamic[name])


def inputs_untouched(case: ModuleCase, note: Note) -> None:
    """Nothing that came in is written to, and no later call changes what an earlier one gave."""
    arrays = arrays_of(case.problem(), case.dtype)
    module, inputs = case.make(None, arrays), case.arrays(arrays)
    gy = arrays["incoming gradient"]
    for driver in (framework.explicit, framework.dynamic):
        before = [x.tobytes() for x in (*inputs, gy)]
        y, gxs = driver(module, inputs, gy)
        kept = [(x, np.array(x)) for x in (y, *gxs) if x is not None]
        driver(module, [np.roll(x, 1) for x in inputs], -gy)
        after = [x.tobytes() for x in (*inputs, gy)]
        for name, old, new in zip([*case.names, "incoming gradient"], before, after, strict=True):
            note.require(old == new, f"{name} was written to")
        for x, copied in kept:
            note.same("an array returned earlier, after a later call", x, copied)


def accumulation(case: ModuleCase, note: Note) -> None:
    """Backward adds to the gradients that are there; zero_grad fills them with zeros in place."""
    arrays = arrays_of(case.problem(), case.dtype)
    inputs, gy = case.arrays(arrays), arrays["incoming gradient"]
    alone = []
    for g in (gy, gy * 3):
        module = case.make(None, arrays)
        framework.explicit(module, inputs, g)
        alone.append({name: np.array(x) for name, x in framework.gradients(module).items()})
    module = case.make(None, arrays)
    held = framework.gradients(module)
    framework.explicit(module, inputs, gy)
    framework.dynamic(module, inputs, gy * 3)
    with np.errstate(all="ignore"):
        for name, g in held.items():
            note.same(f"gradient of {name} after two backwards", g, alone[0][name] + alone[1][name])
    module.zero_grad()
    for name, g in framework.gradients(module).items():
        note.require(g is held[name], f"the gradient of {name} is another array than before")
        note.same(f"gradient of {name} after zero_grad", g, np.zeros_like(g))


def used_twice(case: ModuleCase, note: Note) -> None:
    """One instance, twice in a graph: the gradients of both uses add up."""
    arrays = arrays_of(case.problem(), case.dtype)
    inputs, gy = case.arrays(arrays), arrays["incoming gradient"]
    once, twice = case.make(None, arrays), case.make(None, arrays)
    _, gxs = framework.dynamic(once, inputs, gy)
    tensors: list[Any] = [framework.tensor(x) if x.dtype.kind == "f" else x for x in inputs]
    first, second = twice(*tensors), twice(*tensors)
    (first + second).backward(gy)
    with np.errstate(all="ignore"):
        for name, x, gx in zip(case.names, tensors, gxs, strict=True):
            if gx is not None:
                note.same(f"gradient of {name}", x.grad, gx + gx)
        for name, g in framework.gradients(once).items():
            note.same(f"gradient of {name}", framework.gradients(twice)[name], g + g)


def modes(case: ModuleCase, note: Note) -> None:
    """train() and eval() reach every module inside, as in PyTorch."""
    module = case.make()
    made = case.twin(module, case.dtype)
    for mode in (False, True):
        module.train(mode)
        made.train(mode)
        ours = [inner.training for inner in module.modules()]
        note.require(ours == [inner.training for inner in made.modules()], f"train({mode}) gave {ours}")


def dtype_kept(case: ModuleCase, note: Note) -> None:
    """float32 stays float32 and float64 stays float64, through both drivers."""
    for driver in ("explicit", "dynamic"):
        for name, value in case.ours(arrays_of(case.problem(), case.dtype), driver).items():
            note.require(value.dtype == case.dtype, f"{name} is {value.dtype}, expected {case.dtype} ({driver})")


def state_dict(case: ModuleCase, note: Note) -> None:
    """PyTorch's keys, in its order, and shapes; and each side loads what the other saved."""
    module = case.make()
    made = twin(module, case.dtype)
    ours = module.state_dict()
    theirs = {name: pytorch.array(x) for name, x in made.state_dict().items()}
    for name in list(theirs):
        if (case.row.name, name) in OPTIONS_NOT_STATE:
            note.remarks.add(OPTIONS_NOT_STATE[case.row.name, name])
            del theirs[name]
    note.require(list(ours) == list(theirs), f"state_dict has the keys {list(ours)}, PyTorch's has {list(theirs)}")
    for name, x in ours.items():
        note.same(name, x, theirs[name])
    other = framework.make(case.row, case.options, case.dtype)
    other.load_state_dict(theirs)
    for name, x in other.state_dict().items():
        note.same(f"{name} after load_state_dict", x, theirs[name])


def copies(case: ModuleCase, note: Note) -> None:
    """A deepcopy and a pickle compute the same bits, and share no memory with the original."""
    arrays = arrays_of(case.problem(), case.dtype)
    inputs, gy = case.arrays(arrays), arrays["incoming gradient"]
    module = framework.make(case.row, case.options, case.dtype).eval()
    y, _ = framework.explicit(module, inputs, gy)
    for how, other in (("deepcopy", copy.deepcopy(module)), ("pickle", pickle.loads(pickle.dumps(module)))):
        note.same(f"output of a {how}", framework.explicit(other, inputs, gy)[0], y)
        for name, data in framework.parameters(other).items():
            note.require(not np.shares_memory(data, framework.parameters(module)[name]), f"{name} shares memory")


def same_seed(case: ModuleCase, note: Note) -> None:
    """Two runs of one seed give the same bits: initial values, masks and all."""
    from numpyml import manual_seed

    arrays = arrays_of(case.problem(), case.dtype)
    runs: list[dict[str, Any]] = []
    for _ in range(2):
        manual_seed(case.seed)
        module = framework.make(case.row, case.options, case.dtype).train(case.training)
        y, _ = framework.explicit(module, case.arrays(arrays), arrays["incoming gradient"])
        runs.append({"output": np.array(y), **framework.parameters(module)})
    for name, value in runs[0].items():
        note.same(f"{name} of a second run", value, runs[1][name])


MODULE_CHECKS = [
    output, input_gradients, parameter_gradients, drivers_agree, inputs_untouched, accumulation, used_twice, modes,
    dtype_kept, state_dict, copies, same_seed,
]  # fmt: skip

# Functions


def function_output(case: FunctionCase, note: Note) -> None:
    """The value of the function, by the comparison rule."""
    note.judge(case.problem(), case.dtype, case.seed, "output")


def function_gradients(case: FunctionCase, note: Note) -> None:
    """The gradient of every operand, for a random incoming gradient."""
    note.judge(case.problem(), case.dtype, case.seed, "gradient")


def function_promises(case: FunctionCase, note: Note) -> None:
    """Tensors give NumPy's own bits, nothing is written to, the precision stays, and two backwards add up.

    A composite, which is written in other functions, may sum in another order: it is held to the rule, not to the bits.
    """
    arrays = arrays_of(case.problem(), case.dtype)
    operands = case.arrays(arrays)
    before = [x.tobytes() for x in operands]
    plain = case.apply(operands)
    recorded = case.ours(arrays)
    composite = case.row.function in COMPOSITES
    for i, y in enumerate(plain if isinstance(plain, (list, tuple)) else [plain]):
        if not composite:
            note.same(f"output {i}, on Tensors against arrays", recorded[f"output {i}"], np.asarray(y))
    note.require([x.tobytes() for x in operands] == before, "an operand was written to")
    for name, value in recorded.items():
        note.require(value.dtype == case.dtype, f"{name} is {value.dtype}, expected {case.dtype}")
    if composite or len(recorded) - len(operands) > 1:
        note.judge(case.problem(times=2), case.dtype, case.seed, "gradient")
        return
    again = case.ours(arrays, times=2)
    for name in case.call.operands:
        once = recorded[f"gradient of {name}"]
        note.same(f"gradient of {name} after two backwards", again[f"gradient of {name}"], once + once)


FUNCTION_CHECKS = [function_output, function_gradients, function_promises]
