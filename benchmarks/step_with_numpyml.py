"""Worker: ``python -m benchmarks.step_with_numpyml CASE SECONDS``."""

from __future__ import annotations

import sys

import numpy as np

import numpyml
from benchmarks.cases import CASES
from benchmarks.timing import report
from numpyml.nn import activations, layers, losses, model, optimizers


def main(name: str, seconds: float) -> None:
    case = CASES[name]
    numpyml.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.batch, case.widths[0])).astype(np.float32)
    binary = case.loss == "bce"
    y = rng.integers(0, case.widths[-1], case.batch) if not binary else rng.integers(0, 2, (case.batch, 1))
    targets = y.astype(np.float32) if binary else y
    stack = []
    for n_in, n_out in zip(case.widths, case.widths[1:], strict=False):
        stack += [layers.Dense(n_in, n_out), activations.ReLU()]
    net = model.Sequential(stack[:-1])
    loss_fn = losses.BinaryCrossEntropyWithLogits() if binary else losses.CrossEntropyWithLogits()
    optimizer = getattr(optimizers, case.optimizer)(net.parameters(), net.gradients(), learning_rate=1e-3)

    def step() -> float:
        loss = loss_fn.forward(net.forward(x), targets)
        optimizer.zero_grad()
        net.backward(loss_fn.backward(), input_gradient=False)
        optimizer.step()
        return float(loss)

    report(step, seconds)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
