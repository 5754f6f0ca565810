"""Gain of a DataLoader's thread: milliseconds per training step by the number of prefetched batches.

``python -m benchmarks.loading``: batches of arrays in memory, and batches with a delay, as from files.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from numpyml.data import ArrayDataset, DataLoader
from numpyml.nn import activations, layers, losses, model, optimizers

ROUNDS, STEPS = 5, 30
SIZES = ((64, 64, 32), (784, 256, 256))  # columns, hidden, rows of a batch
WAITS = (0.0, 0.002)  # seconds a batch
AHEAD = (0, 1, 2)


class Waiting(ArrayDataset):
    """Arrays whose batches take a fixed time."""

    def __init__(self, seconds: float, *arrays: Any) -> None:
        super().__init__(*arrays)
        self.seconds = seconds

    def batch(self, rows: Any) -> Any:
        if self.seconds:
            time.sleep(self.seconds)
        return super().batch(rows)


def seconds_a_step(dataset: ArrayDataset, columns: int, hidden: int, rows: int, ahead: int) -> float:
    """The best of several epochs."""
    net = model.Sequential(layers.Dense(columns, hidden), activations.ReLU(), layers.Dense(hidden, 10))
    loss_fn = losses.CrossEntropyWithLogits()
    optim = optimizers.Adam(net.parameters(), net.gradients())
    loader = DataLoader(dataset, rows, shuffle=True, prefetch=ahead)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for x, y in loader:
            loss_fn.forward(net.forward(x), y)
            optim.zero_grad()
            net.backward(loss_fn.backward(), input_gradient=False)
            optim.step()
        times.append((time.perf_counter() - began) / len(loader))
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"{'model':>14} {'batch':>6} {'waits':>7}  " + "  ".join(f"prefetch={n}" for n in AHEAD) + "   ms a step")
    for columns, hidden, rows in SIZES:
        x, y = rng.standard_normal((rows * STEPS, columns), np.float32), rng.integers(0, 10, rows * STEPS)
        for wait in WAITS:
            times = [seconds_a_step(Waiting(wait, x, y), columns, hidden, rows, n) for n in AHEAD]
            shown = "  ".join(f"{1000 * t:>10.2f}" for t in times)
            print(f"{f'{columns}-{hidden}-10':>14} {rows:>6} {1000 * wait:>4.0f} ms  {shown}")


if __name__ == "__main__":
    main()
