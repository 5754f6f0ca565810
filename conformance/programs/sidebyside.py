"""The same program in numpyml and in PyTorch, trained side by side and compared at every step.

A program has ``ours(dtype)`` and ``theirs(dtype)``, which return a model, a loss and an optimizer; ``our_step`` and
``their_step``, one forward and backward pass; and ``batches()``. The scale of an array is its largest magnitude.

    lockstep   Both sides start every step from the same parameters and optimizer state. Loss, outputs and gradients
               may differ by K · (movement + rounding). Movement is the change of PyTorch's answers when parameters,
               inputs and the tensors saved for the backward pass change by one unit in the last place; rounding is half
               such a unit of the largest number in the call. Then both optimizers use the same gradients; parameters
               and state may differ by K · half a unit of their scale before and after. In float64 either may be
               STEPWISE of the scale, if that is more.
    free       Each side is trained on its own. In float64 the losses may differ by TRAINING, relatively, and K times
               the deviation of PyTorch from itself when its parameters and saved tensors change by one unit in the last
               place at every step. The comparison ends when that deviation reaches STEPWISE of the largest loss so far
               (in float32, half its digits): gradients that consist of rounding, divided by the root of their squares,
               make the rest unpredictable.

For float32 the reference is PyTorch in float64, and K times the error of PyTorch's float32 is also allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from conformance.comparison.histories import STEPWISE, TRAINING
from conformance.comparison.rule import K

torch.set_num_threads(1)  # the arrays are small
DRAWS = 2
RUNAWAY = 1e6  # a larger loss ends the run: it is about to overflow

Array = np.ndarray[Any, Any]
Arrays = dict[Any, Array]  # by name, the optimizer's by (parameter, name)
Step = Callable[..., Any]  # of a model, a loss and a batch, to the loss and the output
Comparison = tuple[int, str, Any, Any, float]  # step, name, ours, PyTorch's, largest difference allowed


def array(x: Any) -> Array:
    """A copy of the numbers of either framework's Tensor."""
    if isinstance(x, torch.Tensor):
        return x.detach().numpy().copy()
    return np.array(x if isinstance(x, (np.ndarray, np.generic)) else x.data)


def distance(a: Any, b: Any) -> float:
    """The largest |a - b|; infinite if the shapes differ, or one element is NaN and its counterpart is not."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return np.inf
    with np.errstate(all="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(np.subtract(a, b, dtype=np.float64)))
    return float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0))


def scale(*arrays: Any) -> float:
    """The largest finite magnitude in the arrays."""
    return max(float(np.max(np.abs(x), where=np.isfinite(x), initial=0)) for x in arrays)


def perturbed(x: Any, dtype: Any, rng: np.random.Generator) -> Array:
    """Every number of an array moved by one unit in its last place, up or down."""
    x = np.asarray(x, dtype)
    return np.nextafter(x, np.where(rng.integers(0, 2, x.shape), np.inf, -np.inf).astype(dtype)) * (x != 0)


def perturbed_tensor(x: Any, dtype: Any, rng: np.random.Generator) -> Any:
    """Every number of a tensor moved by about one unit in its last place, up or down; integers stay."""
    if not x.is_floating_point():
        return x
    signs = 2.0 * rng.integers(0, 2, tuple(x.shape)) - 1
    return x * torch.as_tensor(1 + np.finfo(dtype).eps * signs, dtype=x.dtype)


def gradients(step: Step, side: SimpleNamespace, x: Any, t: Any) -> Arrays:
    """Loss, output and the gradient of each parameter, by name."""
    value, y = step(side.net, side.loss, x, t)
    answers = {"loss": array(value), "output": array(y)}
    for name, p in side.named:
        if p.requires_grad:
            answers[f"gradient of {name}"] = np.zeros(tuple(p.shape)) if p.grad is None else array(p.grad)
    return answers


def parameters(side: SimpleNamespace) -> Arrays:
    """Copies of all parameters, by name."""
    return {name: array(p) for name, p in side.named}


def state(side: SimpleNamespace) -> Arrays:
    """The optimizer's state arrays, by parameter and PyTorch's name."""
    states = side.optimizer.state
    if not isinstance(states, list):
        states = [states.get(p, {}) for _, p in side.named]
    arrays: Arrays = {}
    for (name, _), own in zip(side.named, states, strict=True):
        arrays |= {(name, key): array(x) for key, x in own.items() if key != "step" and x is not None}
    return arrays


def our_side(program: Any, dtype: Any) -> SimpleNamespace:
    net, loss, optimizer = program.ours(np.dtype(dtype))
    return SimpleNamespace(net=net, loss=loss, optimizer=optimizer, named=list(net.named_parameters()))


def their_side(program: Any, dtype: Any, values: Arrays) -> SimpleNamespace:
    net, loss, optimizer = program.theirs(getattr(torch, np.dtype(dtype).name))
    side = SimpleNamespace(net=net, loss=loss, optimizer=optimizer, named=list(net.named_parameters()))
    side.dtype = np.dtype(dtype)
    for _, p in side.named:
        p.grad = torch.zeros_like(p) if p.requires_grad else None  # as in numpyml: zeros where no backward writes
    load(side, values)
    return side


def load(side: SimpleNamespace, values: Arrays, grads: Any = (), states: Any = ()) -> None:
    """Write arrays into PyTorch's parameters, gradients and optimizer state."""
    with torch.no_grad():
        for name, p in side.named:
            p.copy_(torch.from_numpy(values[name]))
            if f"gradient of {name}" in grads:
                p.grad = torch.from_numpy(grads[f"gradient of {name}"].astype(side.dtype))
            for key, x in side.optimizer.state.get(p, {}).items():
                if (name, key) in states:
                    x.copy_(torch.from_numpy(states[name, key]))


def data(batch: Sequence[Array], dtype: Any) -> list[Array]:
    """The batch in one precision; class indices stay integers."""
    return [x.astype(dtype) if x.dtype.kind == "f" else x for x in batch]


def tensors(batch: Sequence[Array]) -> list[Any]:
    return [torch.from_numpy(np.array(x)) for x in batch]


def lockstep(program: Any, dtype: Any, steps: int) -> Iterator[Comparison]:
    """Yield the comparisons of steps that each start from the same numbers."""
    dtype, batches = np.dtype(dtype), program.batches()
    half = np.finfo(dtype).eps / 2
    single = dtype == np.float32
    ours = our_side(program, dtype)
    values = parameters(ours)
    wide = their_side(program, np.float64, values)
    peers = [their_side(program, dtype, values)] if single else []
    for step in range(1, steps + 1):
        batch = data(batches[step % len(batches)], dtype)
        before, old = parameters(ours), state(ours)
        got = gradients(program.our_step, ours, *batch)
        expected = gradients(program.their_step, wide, *tensors(data(batch, np.float64)))
        allowed = dict.fromkeys(expected, 0.0)
        for draw in range(DRAWS + 1):
            rng = np.random.default_rng([step, draw])
            others = [gradients(program.their_step, peer, *tensors(batch)) for peer in peers if not draw]
            if draw:
                load(wide, {name: perturbed(x, dtype, rng) for name, x in before.items()})
                inputs = tensors(data([perturbed(batch[0], dtype, rng), batch[1]], np.float64))
                with torch.autograd.graph.saved_tensors_hooks(
                    lambda x, rng=rng: perturbed_tensor(x, dtype, rng), lambda x: x
                ):
                    others.append(gradients(program.their_step, wide, *inputs))
            for other in others:
                allowed = {name: max(x, distance(other[name], expected[name])) for name, x in allowed.items()}
        largest = scale(*expected.values(), *before.values(), *batch)
        for name in {**got, **expected}:
            x = expected.get(name, np.nan)
            bound = K * (allowed.get(name, 0) + half * largest)
            yield step, name, got.get(name, np.nan), x, bound if single else max(bound, STEPWISE * scale(x))
        if not abs(expected["loss"]) < RUNAWAY:
            return
        ours.optimizer.step()
        for side in (wide, *peers):
            load(side, before, got, old)
            side.optimizer.step()
        values, states = parameters(ours), state(ours)
        got, expected = {**values, **states}, {**parameters(wide), **state(wide)}
        others = [{**parameters(peer), **state(peer)} for peer in peers]
        for key in {**got, **expected}:
            x = expected.get(key, np.nan)
            size = scale(x, {**before, **old}.get(key, np.zeros(1)))
            bound = K * (max((distance(y[key], x) for y in others if key in y), default=0) + half * size)
            name = key if isinstance(key, str) else f"{key[1]} of {key[0]}"
            yield step, name, got.get(key, np.nan), x, bound if single else max(bound, STEPWISE * size)
        for side in (wide, *peers):
            load(side, values, (), states)


def curve(
    step: Step, side: SimpleNamespace, batches: Sequence[Any], steps: int, rng: np.random.Generator | None = None
) -> Array:
    """The loss at every step, until it exceeds RUNAWAY."""
    losses = []
    save = (lambda x: x) if rng is None else (lambda x: perturbed_tensor(x, side.dtype, rng))
    for i in range(1, steps + 1):
        with torch.autograd.graph.saved_tensors_hooks(save, lambda x: x):
            value, _ = step(side.net, side.loss, *batches[i % len(batches)])
        losses.append(float(array(value)))
        if not abs(losses[-1]) < RUNAWAY:
            break
        side.optimizer.step()
        if rng is not None:
            load(side, {name: perturbed(x, side.dtype, rng) for name, x in parameters(side).items()})
    return np.array(losses)


def free(program: Any, dtype: Any, steps: int) -> Iterator[Comparison]:
    """Yield the comparisons of losses, each side trained on its own."""
    dtype, wide = np.dtype(dtype), np.dtype(np.float64)
    inputs = [data(batch, dtype) for batch in program.batches()]
    ours = our_side(program, dtype)
    values = parameters(ours)
    mine = curve(program.our_step, ours, inputs, steps)

    def theirs(kind: Any, rng: np.random.Generator | None = None) -> Array:
        return curve(
            program.their_step,
            their_side(program, kind, values),
            [tensors(data(x, kind)) for x in inputs],
            steps,
            rng,
        )

    expected = theirs(wide)
    others = [theirs(dtype, np.random.default_rng(draw)) for draw in range(DRAWS)]
    if dtype != wide:
        others.append(theirs(dtype))
    shortest = min(map(len, (expected, *others)))
    finite = np.all([np.abs(x[:shortest]) < RUNAWAY for x in (expected, *others)], axis=0)
    n = min(len(mine), shortest if finite.all() else int(np.argmin(finite)))
    if not n:
        return
    scale = np.maximum.accumulate(np.abs(expected[:n]))
    deviation = np.maximum.accumulate(np.max([np.abs(x[:n] - expected[:n]) for x in others], axis=0))
    lost = deviation > (STEPWISE if dtype == wide else np.sqrt(np.finfo(dtype).eps)) * scale
    n = int(np.argmax(lost)) if lost.any() else n
    if dtype != wide:
        deviation[:n] = deviation[n - 1] if n else 0
    for i in range(n):
        rounding = np.finfo(dtype).eps / 2 * scale[i]
        bound = K * (deviation[i] + rounding) + (TRAINING * abs(expected[i]) if dtype == wide else 0)
        yield i + 1, "loss", mine[i], expected[i], bound


def described(step: int, name: str, ours: Any, theirs: Any, bound: float) -> str:
    """Describe the element with the largest difference."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return f"step {step}, {name}: numpyml has shape {ours.shape}, PyTorch {theirs.shape}"
    with np.errstate(all="ignore"):
        apart = np.nan_to_num(np.abs(ours - theirs), nan=np.inf)
    at = np.unravel_index(np.argmax(np.where(ours == theirs, 0, apart)), ours.shape)
    element = f"{name}[{', '.join(map(str, map(int, at)))}]" if at else name
    return (
        f"step {step}, {element}: numpyml {ours[at]:.17g}, PyTorch {theirs[at]:.17g}; "
        f"off by {distance(ours, theirs):.3g}, allowed is {bound:.3g}"
    )


def show(program: Any, how: Callable[..., Iterator[Comparison]], dtype: Any, steps: int) -> int:
    """Print the losses of both sides and the first difference that is not allowed; 1 if there is one, else 0."""
    print(f"{'step':>5}{'loss in numpyml':>26}{'loss in PyTorch':>26}")
    compared = 0
    for step, name, ours, theirs, bound in how(program, dtype, steps):
        compared += np.size(ours)
        if name == "loss":
            print(f"{step:5}{float(ours):26.17g}{float(theirs):26.17g}")
        if not distance(ours, theirs) <= bound:
            print(f"\nThey differ.\n{described(step, name, ours, theirs, bound)}")
            return 1
    print(f"\nThey agree: {compared:,} numbers compared.")
    return 0
