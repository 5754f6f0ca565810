"""What is timed: one whole training step, from the forward to the updated parameters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One model, one batch, and the share of PyTorch's time that the step may take."""

    name: str
    widths: tuple[int, ...]
    batch: int
    loss: str  # "bce" or "cross-entropy"
    optimizer: str  # "SGD" or "Adam"
    target: float

    @property
    def title(self) -> str:
        """``784-256-10 ×64 Adam``."""
        return f"{'-'.join(map(str, self.widths))} ×{self.batch} {self.optimizer}"

    @property
    def flops(self) -> float:
        """Of the matrix products in one step: forward, gradients of weights, gradients of all layers but the data."""
        products = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2 * self.batch * (2 * sum(products) + sum(products[1:]))


CASES = {
    case.name: case
    for case in (
        Case("readme", (2, 25, 10, 1), 32, "bce", "SGD", 0.35),
        Case("small", (64, 128, 10), 64, "cross-entropy", "Adam", 0.5),
        Case("medium", (784, 256, 10), 64, "cross-entropy", "Adam", 1.0),
        Case("medium-wide-batch", (784, 256, 10), 256, "cross-entropy", "Adam", 1.0),
        Case("large", (784, 1024, 1024, 10), 128, "cross-entropy", "Adam", 1.0),
        Case("large-wide-batch", (784, 1024, 1024, 10), 1024, "cross-entropy", "Adam", 0.9),
    )
}


@dataclass(frozen=True)
class Setting:
    """How a framework is set up."""

    threads: int
    implementation: str = ""  # how PyTorch's optimizer walks over the parameters: "fused", "foreach" or "single"

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{threads}, {self.implementation}" if self.implementation else threads
