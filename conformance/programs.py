"""Whole models: random sequences of known parts, a random loss and optimizer, trained on both sides for 200 steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.bound import Array, off_course
from conformance.census import Note
from conformance.contracts import optimizer_rows
from conformance.errors import Mismatch
from conformance.frameworks import pytorch
from conformance.rows import OptimizerRow
from conformance.strategies import Draw, seeds
from conformance.twin import torch_optimizer, twin
from numpyml.nn import activations, layers, losses, model

STEPS = 200
LOSSES = ("MeanSquaredError", "Huber", "BinaryCrossEntropyWithLogits", "CrossEntropyWithLogits")


class Program:
    """A model, a loss, an optimizer and data."""

    def __init__(self, widths: Sequence[int], parts: Sequence[str], loss: str, row: OptimizerRow, seed: int) -> None:
        self.widths, self.parts, self.loss, self.row, self.seed = widths, parts, loss, row, seed

    def model(self, dtype: Any) -> Any:
        """The same initial values in every precision, made in float64 and cast."""
        inside: list[Any] = []
        for n, m, part in zip(self.widths, self.widths[1:], [*self.parts, ""], strict=False):
            inside += [layers.Dense(n, m, dtype=dtype), *_part(part)]
        made = model.Sequential(inside)
        rng = np.random.default_rng(self.seed)
        for data in made.parameters():
            fan = data.shape[-1]
            data[...] = (rng.standard_normal(data.shape) / np.sqrt(fan)).astype(np.float32)
        return made

    def data(self, dtype: Any) -> tuple[Array, Array]:
        rng = np.random.default_rng([self.seed, 1])
        n, classes = 24, self.widths[-1]
        x = rng.standard_normal((n, self.widths[0])).astype(np.float32).astype(dtype)
        if self.loss == "CrossEntropyWithLogits":
            return x, rng.integers(0, classes, n)
        t = rng.standard_normal((n, classes))
        hard = (t > 0) if self.loss == "BinaryCrossEntropyWithLogits" else t
        return x, hard.astype(np.float32).astype(dtype)

    def options(self) -> dict[str, Any]:
        return {"learning_rate": 0.01, **({"momentum": 0.9} if self.row.name == "SGD" else {})}

    def batches(self, x: Array, t: Array) -> list[tuple[Array, Array]]:
        return [(x[i : i + 8], t[i : i + 8]) for i in (0, 8, 16)]

    def ours(self, dtype: Any) -> Array:
        """The loss at every step."""
        made, loss = self.model(dtype), getattr(losses, self.loss)()
        stepper = self.row.ours(made.parameters(), made.gradients(), **self.options())
        batches, curve = self.batches(*self.data(dtype)), []
        for step in range(STEPS):
            x, t = batches[step % len(batches)]
            stepper.zero_grad()
            curve.append(loss.forward(made.forward(x), t))
            made.backward(loss.backward(), input_gradient=False)
            stepper.step()
        return np.array(curve, np.float64)

    def torch(self, dtype: Any) -> Array:
        made, loss = twin(self.model(dtype), dtype), twin(getattr(losses, self.loss)(), dtype)
        stepper = torch_optimizer(self.row, [{"params": list(made.parameters())}], self.options())
        batches, curve = [tuple(map(pytorch.tensor, b)) for b in self.batches(*self.data(dtype))], []
        for step in range(STEPS):
            x, t = batches[step % len(batches)]
            stepper.zero_grad()
            y = loss(made(x), t)
            y.backward()
            stepper.step()
            curve.append(y.item())
        return np.array(curve, np.float64)

    def __repr__(self) -> str:
        return f"{self.model(np.float32)!r}\n    {self.loss}, {self.row.name}({self.options()}), seed = {self.seed}"


def _part(name: str) -> list[Any]:
    known: dict[str, Any] = {"ReLU": activations.ReLU, "Sigmoid": activations.Sigmoid, "Flatten": layers.Flatten}
    return [known[name]()] if name else []


@st.composite
def programs(draw: Draw) -> Program:
    """A random program."""
    widths = draw(st.lists(st.integers(2, 12), min_size=2, max_size=4))
    parts = [draw(st.sampled_from(["ReLU", "Sigmoid", "Flatten"])) for _ in widths[2:]]
    return Program(widths, parts, draw(st.sampled_from(LOSSES)), draw(st.sampled_from(optimizer_rows())), draw(seeds))


def training_float64(case: Program, note: Note) -> None:
    """The loss of all 200 steps agrees to 1e-10, relatively."""
    _held(note, off_course("float64 training", case.ours(np.float64), case.torch(np.float64)))


def training_float32(case: Program, note: Note) -> None:
    """In float32 the loss strays from PyTorch's float64 curve no further than K times what PyTorch's float32 does."""
    ours, theirs, wide = case.ours(np.float32), case.torch(np.float32), case.torch(np.float64)
    _held(note, off_course("float32 training", ours, theirs, wide))


def _held(note: Note, verdict: Any) -> None:
    if verdict.failure:
        raise Mismatch(verdict.failure)
    note.record(verdict.compared, verdict.error)


PROGRAM_CHECKS = [training_float64, training_float32]
