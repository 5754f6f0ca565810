"""What is compared after every call of a history, and by which bounds; see pair.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from conformance.comparison.histories import STEPWISE
from conformance.comparison.rule import K
from conformance.programs.sidebyside import DRAWS, RUNAWAY, Array, array, described, distance, scale
from conformance.programs.sides import OurModel, Ours, Side, TheirModel, Theirs, same_bits
from numpyml.errors import NumpymlError
from numpyml.nn import model


class Different(AssertionError):
    """The two frameworks differ after a call."""


class Compared:
    """Both sides of a program, the calls so far, and the comparison after each of them."""

    def __init__(self, program: Any, dtype: str) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self.count, self.call, self.compared, self.worst = 0, "", 0, 0.0
        self.models, self.rows = 0, 1
        self.pending: list[SimpleNamespace] = []  # recorded on Tensors, the oldest first
        self.record: SimpleNamespace | None = None  # the forward on arrays that a backward may follow
        self.slots: list[SimpleNamespace] = []  # what was saved
        self.others: list[tuple[Ours, Any, Any]] = []  # what was copied, and its numbers and flags
        self.make(program.GROUPS)
        self.compare("the new model")

    @property
    def single(self) -> bool:
        return self.dtype == np.float32

    def make(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """New models and optimizers."""
        precisions = (torch.float64, torch.float32) if self.single else (torch.float64,)
        ours, theirs = (OurModel, TheirModel) if self.program.OWN_FORWARD else (model.Sequential, _sequential)
        self.ours = Ours(ours(self.program.our_layers(self.dtype)), self.program.our_optimizer, groups)
        self.theirs = [
            Theirs(theirs(self.program.their_layers(dtype)), self.program.their_optimizer, groups)
            for dtype in precisions
        ]
        rng = np.random.default_rng([self.program.SEED, self.models])
        for _, p in self.ours.named:
            p.data[...] = (rng.standard_normal(p.shape) / np.sqrt(p.shape[-1])).astype(np.float32)
        self.models += 1
        self.forget()
        self.write()

    def forget(self) -> None:
        """No backward may follow the calls so far."""
        self.pending, self.record = [], None

    def write(self) -> None:
        numbers = self.ours.numbers()
        for side in self.theirs:
            side.write(numbers)

    def layer(self, side: Side, index: int) -> Any:
        """A layer of a side, by its position."""
        return (side.net.parts if self.program.OWN_FORWARD else side.net)[index]

    # The comparison

    def fail(self, what: str) -> None:
        raise Different(f"call {self.count}, {self.call}: {what}")

    def same(self, what: str, ours: Any, theirs: Any) -> None:
        """Hold something that is not computed to PyTorch's."""
        if ours != theirs:
            self.fail(f"{what}: numpyml {ours}, PyTorch {theirs}")
        self.compared += 1

    def near(self, name: str, ours: Any, theirs: Any, bound: float) -> None:
        """Hold an array to PyTorch's."""
        apart = distance(ours, theirs)
        if not apart <= bound:
            self.fail(described(self.count, name, ours, theirs, bound).partition(", ")[2])
        self.compared += np.size(ours)
        if apart:
            self.worst = max(self.worst, apart / bound)

    def compare(self, call: str, bounds: Mapping[str, float] | None = None, results: Sequence[Any] = ()) -> None:
        """Compare the results of a call, each with its bound, and everything there is; all else keeps its bits."""
        self.call, ours, wide = call, self.ours, self.theirs[0]
        for result in results:
            self.near(*result)
        self.same("flags", ours.flags(), wide.flags())
        self.same("number of groups", len(ours.optimizer.param_groups), len(wide.optimizer.param_groups))
        for i, (own, expected) in enumerate(zip(ours.options(), wide.options(), strict=True)):
            shared = [name for name in expected if name in own and name != "parameters"]
            self.same(f"options of group {i}", *({name: group[name] for name in shared} for group in (own, expected)))
            self.same(f"size of group {i}", len(own["parameters"]), len(expected["params"]))
        steps, own_steps = wide.steps(), ours.steps()
        self.same("step counts", {name: own_steps.get(name, 0) for name in steps}, steps)
        numbers, theirs = ours.numbers(), wide.numbers()
        self.same("arrays", sorted(numbers), sorted(theirs))
        for name, x in theirs.items():
            self.near(name, numbers[name], x, (bounds or {}).get(name, 0.0))
        for i, slot in enumerate(self.slots):
            if not same_bits(slot.ours, slot.kept):
                self.fail(f"what was saved in slot {i} has changed")
        for other, before, flags in self.others:
            if not same_bits(other.numbers(), before) or other.flags() != flags:
                self.fail("the model or the optimizer that was copied has changed")
        self.write()

    def begin(self, call: str) -> None:
        self.count, self.call = self.count + 1, call

    def refused(self, run: Callable[[], Any], what: str, error: type[NumpymlError] = NumpymlError) -> None:
        """A call that numpyml must refuse."""
        try:
            run()
        except error:
            return
        self.fail(f"{what} was not refused")

    @property
    def ended(self) -> bool:
        """Whether the numbers are about to overflow: nothing more is asked."""
        return not all((np.abs(x) < RUNAWAY).all() for x in self.ours.numbers().values())

    def movement(self, x: Array, gy: Array) -> dict[str, float]:
        """How far PyTorch's answers move by roundings; in float32, at least by the error of PyTorch's float32."""
        wide, *peers = self.theirs
        straight = wide.answers(x, gy, self.dtype)
        others = [peer.answers(x, gy, self.dtype) for peer in peers]
        for draw in range(DRAWS):
            rng = np.random.default_rng([self.count, draw])
            others.append(wide.answers(x, gy, self.dtype, rng))
        self.largest = scale(*straight.values(), *self.ours.numbers().values(), x, gy)
        return {name: max(distance(other[name], value) for other in others) for name, value in straight.items()}

    def bound(self, movement: float, *expected: Array) -> float:
        half = float(np.finfo(self.dtype).eps) / 2
        allowed = K * (movement + half * max(self.largest, scale(*expected)))
        return allowed if self.single else max(allowed, STEPWISE * scale(expected[0]))

    def gradient_bounds(self, calls: Sequence[SimpleNamespace]) -> dict[str, float]:
        """The bounds of the gradients that the backwards of these calls have added to."""
        numbers, names = self.theirs[0].numbers(), {name for call in calls for name in call.moves} - {"output"}
        return {
            name: self.bound(sum(call.moves.get(name, 0.0) for call in calls), numbers[name])
            for name in names
            if name in numbers
        }

    def inputs(self, calls: Sequence[SimpleNamespace]) -> list[tuple[str, Any, Array, float]]:
        """The gradients of the inputs of calls on Tensors."""
        results = []
        for made in calls:
            expected = made.xs[0].grad
            if expected is None:
                self.same("gradient of x", made.x.grad, None)
            else:
                bound = self.bound(made.moves["gradient of x"], array(expected))
                results.append(("gradient of x", np.asarray(made.x.grad), array(expected), bound))
        return results


def _sequential(parts: Sequence[Any]) -> Any:
    return torch.nn.Sequential(*parts)
