"""A model and its optimizer in numpyml and in PyTorch: the same calls on both, and everything compared after each.

A program has ``our_layers(dtype)`` and ``their_layers(dtype)``, the layers in the order of the forward, and
``our_optimizer(groups)`` and ``their_optimizer(groups)``. A :class:`Pair` runs it; each of its methods is a call of the
history. Compared are the result of the call, every parameter and gradient, the optimizer's step counts, state arrays
and options, ``requires_grad`` of every parameter and the mode of every module. What was saved, and the model and
optimizer that a copy was made of, must keep their bits.

Both sides have the same numbers before every call. A call that computes nothing must give the same bits. An output or
gradient may differ by K · (movement + rounding), a parameter or state array after a step by K · half a unit of its
scale, and in float64 either by STEPWISE of its scale, if that is more: as in ``lockstep``.

For float32 the reference is PyTorch in float64, and K times the error of PyTorch's float32 is also allowed.

PyTorch is driven as numpyml documents itself: what is saved and loaded is copied, a copy of a model has its gradients,
an optimizer leaves a frozen parameter as it is, and what is refused changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from conformance.comparison.histories import STEPWISE
from conformance.comparison.rule import K
from conformance.programs.compared import Compared, Different
from conformance.programs.sidebyside import array, distance, scale
from conformance.programs.sides import OPTIONS
from numpyml import Tensor, no_grad
from numpyml.errors import CallOrderError, NumpymlError
from numpyml.nn import Parameter


class Pair(Compared):
    """Both sides of a program; each method is a call on both."""

    # The calls of models

    def forward(self, driver: str, rows: int, recorded: bool = True, needed: bool = True) -> None:
        """A forward on arrays or Tensors; on Tensors, ``needed`` says whether the gradient of x is."""
        self.begin(f"forward on {driver}")
        rng = np.random.default_rng([self.program.SEED, self.count])
        x, gy = (rng.standard_normal((rows, self.program.WIDTH)).astype(np.float32) for _ in range(2))
        x, gy = x.astype(self.dtype), gy.astype(self.dtype)
        moves = self.movement(x, gy)
        needed = needed or driver == "arrays"
        x_ours = x if driver == "arrays" else Tensor(x, requires_grad=needed)
        net = self.ours.net
        run = net.forward if driver == "arrays" else net
        if recorded:
            y = run(x_ours)
        else:
            with no_grad():
                y = run(x_ours)
        xs = [side.tensor(x, needed) for side in self.theirs]
        with torch.set_grad_enabled(recorded):
            ys = [side.net(inputs) for side, inputs in zip(self.theirs, xs, strict=True)]
        made = SimpleNamespace(
            x=x_ours, y=y, gy=gy, xs=xs, ys=ys, moves=moves, driver=driver, recorded=bool(ys[0].requires_grad)
        )
        if driver == "arrays":
            self.record, self.rows = made if recorded else None, rows
        else:
            self.pending.append(made)
            self.same("whether the output is recorded", bool(y.requires_grad or y.node is not None), made.recorded)
        bound = self.bound(moves["output"], array(ys[0]), x)
        self.compare(f"forward on {driver}", None, [("output", array(y), array(ys[0]), bound)])

    def backward(self, input_gradient: bool = True) -> None:
        """The backward of the last forward on arrays."""
        self.begin(f"backward(input_gradient={input_gradient})")
        made = self.record
        assert made is not None
        self.record = None
        gx = self.ours.net.backward(made.gy, input_gradient=input_gradient)
        for side, y in zip(self.theirs, made.ys, strict=True):
            y.backward(side.tensor(made.gy))
        if not input_gradient:
            self.same("the gradient of x", gx, None)
            self.compare(self.call, self.gradient_bounds([made]))
            return
        expected = array(made.xs[0].grad)
        bound = self.bound(made.moves["gradient of x"], expected)
        self.compare(self.call, self.gradient_bounds([made]), [("gradient of x", gx, expected, bound)])

    def backward_twice(self) -> None:
        """A backward that follows no forward on arrays, or a second one: it is refused."""
        self.begin("backward without a forward")
        gy = np.ones((self.rows, self.program.WIDTH), self.dtype)
        self.refused(lambda: self.ours.net.backward(gy), "a backward without a forward", CallOrderError)
        self.compare(self.call)

    def backward_on_tensors(self, index: int) -> None:
        """The backward of one of the calls on Tensors that wait for it."""
        self.begin("backward on Tensors")
        made = self.pending.pop(index % len(self.pending))
        if not made.recorded:
            self.refused(lambda: made.y.backward(made.gy), "an output that is not recorded", CallOrderError)
            self.compare(self.call)
            return
        made.y.backward(made.gy)
        for side, y in zip(self.theirs, made.ys, strict=True):
            y.backward(side.tensor(made.gy))
        self.compare(self.call, self.gradient_bounds([made]), self.inputs([made]))

    def backward_together(self) -> None:
        """One backward of all calls on Tensors that wait for it."""
        self.begin("one backward of all calls")
        calls, self.pending = [made for made in self.pending if made.recorded], []
        if calls:
            sum((made.y * made.gy).sum() for made in calls).backward()
            for i, side in enumerate(self.theirs):
                sum((made.ys[i] * side.tensor(made.gy)).sum() for made in calls).backward()
        self.compare(self.call, self.gradient_bounds(calls), self.inputs(calls))

    # The calls of optimizers

    def step(self) -> None:
        self.begin("step")
        before = self.ours.numbers()
        self.ours.optimizer.step()
        for side in self.theirs:
            side.step()
        half = float(np.finfo(self.dtype).eps) / 2
        expected, bounds = self.theirs[0].numbers(), dict[str, float]()
        peers = [peer.numbers() for peer in self.theirs[1:]]
        trainable = {name for name, p in self.ours.named if p.requires_grad}
        for name, x in expected.items():
            if name.startswith("gradient of ") or name.rpartition(" of ")[2] not in trainable & set(self.ours.names()):
                continue  # nothing may have changed
            size = scale(x, before.get(name, np.zeros(1)))
            bounds[name] = K * (max((distance(peer[name], x) for peer in peers), default=0.0) + half * size)
            bounds[name] = bounds[name] if self.single else max(bounds[name], STEPWISE * size)
        self.forget()
        self.compare("step", bounds)

    def zero_grad(self, of: str) -> None:
        """zero_grad of the model or the optimizer."""
        self.begin(f"zero_grad of the {of}")
        (self.ours.net if of == "model" else self.ours.optimizer).zero_grad()
        for side in self.theirs:
            (side.net if of == "model" else side.optimizer).zero_grad(set_to_none=False)
        self.compare(self.call)

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters, by index, with options of its own."""
        self.begin("add_param_group")
        for side in (self.ours, *self.theirs):
            side.groups.append(dict(group))
            side.optimizer.add_param_group(side.group(group))
        self.compare(self.call)

    def set_option(self, group: int, name: str, value: Any) -> None:
        """Set an option of a group, between two steps."""
        self.begin(f"set {name}")
        self.ours.optimizer.param_groups[group % len(self.ours.groups)][name] = value
        for side in self.theirs:
            side.optimizer.param_groups[group % len(side.groups)][OPTIONS.get(name, name)] = value
        self.compare(self.call)

    def refused_group(self, why: str) -> None:
        """A group that is refused: a parameter twice, an option out of range or unknown, no gradients."""
        self.begin(f"a refused group ({why})")
        extra = Parameter(np.zeros(2), dtype=self.dtype)
        group: dict[str, Any] = {"parameters": [extra.data], "gradients": [extra.grad]}
        if why == "twice":
            group = self.ours.group({"indices": [self.ours.groups[0]["indices"][-1]]})
            group["parameters"] = [extra.data, *group["parameters"]]
            group["gradients"] = [extra.grad, *group["gradients"]]
        elif why == "option":
            group["learning_rate"] = -1.0
        elif why == "unknown":
            group["rate"] = 0.1
        else:
            del group["gradients"]
        self.refused(lambda: self.ours.optimizer.add_param_group(group), "the group")
        self.compare(self.call)

    # The calls that freeze and change modes

    def freeze(self, index: int, frozen: bool = True) -> None:
        """Freeze or thaw one parameter."""
        self.begin("freeze a parameter" if frozen else "thaw a parameter")
        for side in (self.ours, *self.theirs):
            side.named[index][1].requires_grad = not frozen
        self.compare(self.call)

    def freeze_layer(self, index: int, frozen: bool = True) -> None:
        """Freeze or thaw the parameters of one layer."""
        self.begin("freeze a layer" if frozen else "thaw a layer")
        for side in (self.ours, *self.theirs):
            self.layer(side, index).requires_grad_(not frozen)
        self.compare(self.call)

    def mode(self, training: bool, index: int | None = None) -> None:
        """train or eval, of the model or one layer."""
        self.begin("train" if training else "eval")
        for side in (self.ours, *self.theirs):
            module = side.net if index is None else self.layer(side, index)
            module.train() if training else module.eval()
        self.compare(self.call)

    # The calls that save, load and copy

    def save(self) -> None:
        self.begin("save")
        ours = self.ours.saved()
        slot = SimpleNamespace(ours=ours, kept=copy.deepcopy(ours), theirs=[side.saved() for side in self.theirs])
        slot.groups = copy.deepcopy(self.ours.groups)
        self.same("entries of the state dict", list(ours[0]), list(slot.theirs[0][0]))
        self.slots.append(slot)
        self.compare(self.call)

    def load(self, index: int, new: bool = False) -> None:
        """Load what was saved, into the same objects or into new ones. Other groups than the saved are refused."""
        slot = self.slots[index]
        self.begin("load into new objects" if new else "load")
        if new:
            self.make(slot.groups)
        net, optimizer = slot.ours
        self.ours.net.load_state_dict(net)
        fits = [g["indices"] for g in slot.groups] == [g["indices"] for g in self.ours.groups]
        if fits:
            self.ours.optimizer.load_state_dict(optimizer)
        else:
            self.refused(lambda: self.ours.optimizer.load_state_dict(optimizer), "a state dict of other groups")
        for side, (theirs, state) in zip(self.theirs, copy.deepcopy(slot.theirs), strict=True):
            side.net.load_state_dict(theirs)
            if fits:
                side.optimizer.load_state_dict(state)
        self.forget()
        self.compare(self.call)

    def spoil(self, index: int) -> None:
        """Write into what was saved: what was loaded from it before must not change."""
        self.begin("write into what was saved")
        slot = self.slots.pop(index)
        net, optimizer = slot.ours
        for x in [*net.values(), *(x for state in optimizer["state"].values() for x in state.values())]:
            if isinstance(x, np.ndarray):
                x[...] = 7.0
        for group in optimizer["param_groups"]:
            group["learning_rate"] = 7.0
        self.compare(self.call)

    def refused_state(self, why: str) -> None:
        """A state dict of other values whose last entry is missing, unknown or misshapen: nothing is written."""
        self.begin(f"a refused state dict ({why})")
        state = {name: x + 1 for name, x in self.ours.net.state_dict().items()}
        last = list(state)[-1]
        if why == "missing":
            del state[last]
        elif why == "unknown":
            state["unknown"] = np.zeros(2)
        else:
            state[last] = np.zeros((*state[last].shape, 2))
        self.refused(lambda: self.ours.net.load_state_dict(state), "the state dict")
        self.compare(self.call)

    def refused_optimizer_state(self, why: str) -> None:
        """An optimizer's state dict of other values with one error at its end: nothing is written."""
        self.begin(f"a refused state dict of the optimizer ({why})")
        state = self.ours.optimizer.state_dict()
        for own in state["state"].values():
            own.update({name: x + 1 for name, x in own.items()})
        groups = state["param_groups"]
        for group in groups:
            group["learning_rate"] = group["learning_rate"] + 0.5
        arrays = [(own, name) for own in state["state"].values() for name in own if name != "step"]
        if why == "groups":
            groups.append({**groups[-1], "parameters": []})
        elif why == "unknown":
            groups[-1]["rate"] = 0.1
        elif why == "shape" and arrays:
            own, name = arrays[-1]
            own[name] = np.zeros((*own[name].shape, 2))
        else:
            groups[-1]["learning_rate"] = -1.0
        self.refused(lambda: self.ours.optimizer.load_state_dict(state), "the state dict")
        self.compare(self.call)

    def copy(self) -> None:
        """Go on with a deepcopy of the model and an optimizer that loads the state of the first."""
        self.begin("deepcopy")
        before = self.ours
        self.others.append((before, before.numbers(), before.flags()))
        self.ours = before.copied(copy.deepcopy(before.net), before.optimizer.state_dict())
        self.theirs = [
            side.copied(copy.deepcopy(side.net), copy.deepcopy(side.optimizer.state_dict())) for side in self.theirs
        ]
        self.forget()
        for side in self.theirs:  # as documented: with its gradients
            for (_, p), (_, old) in zip(side.named, before.named, strict=True):
                p.grad = torch.from_numpy(array(old.grad)).to(p.dtype)
        self.compare(self.call)


def drive(program: Any, dtype: str, tell: Callable[[Pair], None] = lambda pair: None) -> Pair:
    """Run a history until its end, or until numbers are about to overflow."""
    pair = Pair(program, dtype)
    for name, *arguments in program.HISTORY:
        if pair.ended:
            break
        try:
            getattr(pair, name)(*arguments)
        except NumpymlError as error:
            pair.fail(f"numpyml raised {type(error).__name__}: {error}")
        tell(pair)
    return pair


def show(program: Any, dtype: str) -> int:
    """Print the calls of a history, and the first difference; 1 if there is one, else 0."""

    def tell(pair: Pair) -> None:
        print(f"{pair.count:5} {pair.call}")

    try:
        pair = drive(program, dtype, tell)
    except Different as difference:
        print(f"\nThey differ.\n{difference}")
        return 1
    print(f"\nThey agree: {pair.compared:,} numbers compared.")
    return 0
