"""The benchmark cases: whole training steps, and inference with trained models."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol


class Case(Protocol):
    """A model, its data, and the target ratio of numpyml's time to PyTorch's."""

    name: str
    target: float
    ways: tuple[str, ...]  # PyTorch's implementations to try

    @property
    def title(self) -> str:
        """The name in the table."""

    @property
    def flops(self) -> float:
        """Floating-point operations of the matrix products, in training with those of the gradients."""

    @property
    def small(self) -> Case:
        """A small version, run once before memory is measured, so that all code is loaded."""


OPTIMIZERS = ("fused", "foreach", "single")


@dataclass(frozen=True)
class Perceptron:
    """A training step of dense layers with ReLU between them."""

    name: str
    widths: tuple[int, ...]
    batch: int
    loss: str  # "bce" or "cross-entropy"
    optimizer: str  # "SGD" or "Adam"
    target: float
    ways: tuple[str, ...] = OPTIMIZERS

    @property
    def title(self) -> str:
        """``784-256-10 ×64 Adam``."""
        return f"{'-'.join(map(str, self.widths))} ×{self.batch} {self.optimizer}"

    @property
    def flops(self) -> float:
        products = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2 * self.batch * (2 * sum(products) + sum(products[1:]))

    @property
    def small(self) -> Perceptron:
        return replace(self, widths=(2, *(2 for _ in self.widths[2:]), self.widths[-1]), batch=2)


TOKENS = 512


@dataclass(frozen=True)
class Language:
    """The GPT of examples/gpt: a training step with gradient clipping, or the sampling of ``writes`` tokens."""

    name: str
    width: int
    heads: int
    time: int
    batch: int
    target: float
    ways: tuple[str, ...] = OPTIMIZERS
    writes: int = 0
    depth: int = 4

    @property
    def title(self) -> str:
        """``GPT 128 wide ×16×64 AdamW``."""
        job = f"writes {self.writes} tokens" if self.writes else f"×{self.batch}×{self.time} AdamW"
        return f"GPT {self.width} wide {job}"

    @property
    def size(self) -> dict[str, int]:
        """The arguments of the example's models."""
        return {"width": self.width, "heads": self.heads, "depth": self.depth, "time": self.time}

    @property
    def flops(self) -> float:
        prompt = self.time - self.writes
        positions = self.batch * (self.time - 1 if self.writes else self.time)
        reads = self.writes or self.batch * self.time  # positions with logits
        seen = (self.time + prompt) / 2 if self.writes else self.time
        per_position = 2 * self.depth * (12 * self.width**2 + 2 * seen * self.width)
        forward = positions * per_position + 2 * reads * self.width * TOKENS
        return forward if self.writes else 3 * forward

    @property
    def small(self) -> Language:
        return replace(self, width=2 * self.heads, time=8, batch=2, writes=min(self.writes, 2), depth=1)


@dataclass(frozen=True)
class Sentences:
    """The MiniLM of examples/minilm: one batch of texts, the shortest three quarters as long as the longest."""

    name: str
    batch: int
    time: int
    target: float
    ways: tuple[str, ...] = ("fast path", "fast path nested", "layer by layer")

    @property
    def title(self) -> str:
        """``MiniLM ×32×128``."""
        return f"MiniLM ×{self.batch}×{self.time}"

    @property
    def flops(self) -> float:
        return 2 * 6 * self.batch * self.time * (12 * 384**2 + 2 * self.time * 384)

    @property
    def small(self) -> Sentences:
        return replace(self, batch=2, time=8)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Perceptron("readme", (2, 25, 10, 1), 32, "bce", "SGD", 0.35),
        Perceptron("small", (64, 128, 10), 64, "cross-entropy", "Adam", 0.5),
        Perceptron("medium", (784, 256, 10), 64, "cross-entropy", "Adam", 1.0),
        Perceptron("medium-wide-batch", (784, 256, 10), 256, "cross-entropy", "Adam", 1.0),
        Perceptron("large", (784, 1024, 1024, 10), 128, "cross-entropy", "Adam", 1.0),
        Perceptron("large-wide-batch", (784, 1024, 1024, 10), 1024, "cross-entropy", "Adam", 0.9),
        Language("gpt", 128, 4, 64, 16, 1.0),
        Language("gpt-wide", 256, 8, 128, 8, 1.0),
        Language("gpt-writes", 128, 4, 64, 1, 0.7, ("cache grown", "cache in place"), writes=60),
        Sentences("minilm-1-short", 1, 16, 1.0),
        Sentences("minilm-1", 1, 128, 1.0),
        Sentences("minilm-32-short", 32, 16, 1.0),
        Sentences("minilm-32", 32, 128, 1.0),
    )
}


@dataclass(frozen=True)
class Setting:
    """The settings of a framework."""

    threads: int
    way: str = ""  # of PyTorch: the implementation of its optimizer or its Transformer

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{threads}, {self.way}" if self.way else threads


def example(task: str) -> None:
    """Make the modules of an example importable; they import each other as scripts do."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / task))
