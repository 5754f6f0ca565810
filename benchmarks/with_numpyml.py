"""Worker: ``python -m benchmarks.with_numpyml CASE SECONDS``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import numpyml
from benchmarks.cases import CASES, TOKENS, Case, Language, Perceptron, Sentences, example
from benchmarks.timing import Step, report
from numpyml.generation import generate
from numpyml.nn import activations, layers, losses, model, optimizers
from numpyml.nn.utils import clip_grad_norm_


def perceptron(case: Perceptron, rng: np.random.Generator) -> Step:
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

    return step


def language(case: Language, rng: np.random.Generator) -> Step:
    example("gpt")
    from with_numpyml import GPT

    net = GPT(TOKENS, **case.size)
    ids = rng.integers(0, TOKENS, (case.batch, case.time + 1))
    if case.writes:
        return lambda: writes(net, ids[0, : case.time - case.writes], case.writes, rng)
    tokens, targets = ids[:, :-1], ids[:, 1:].reshape(-1)
    loss_fn = losses.CrossEntropyWithLogits()
    optimizer = optimizers.AdamW(net.parameters(), net.gradients(), learning_rate=1e-3, weight_decay=0.1)

    def step() -> float:
        loss = loss_fn.forward(net.forward(tokens), targets)
        optimizer.zero_grad()
        net.backward(loss_fn.backward())
        clip_grad_norm_(net.gradients(), 1.0)
        optimizer.step()
        return float(loss)

    return step


def writes(net: Any, prompt: Any, new: int, rng: np.random.Generator) -> float:
    with numpyml.no_grad():
        return generate(net.step, prompt, new, 0.8, top_k=50, generator=rng)[-1]


def sentences(case: Sentences, rng: np.random.Generator) -> Step:
    example("minilm")
    from with_numpyml import MiniLM

    net = MiniLM().eval()
    tokens = rng.integers(1000, 30000, (case.batch, case.time))
    padding = np.arange(case.time) >= np.linspace(case.time, case.time * 3 / 4, case.batch)[:, np.newaxis]

    def step() -> float:
        with numpyml.no_grad():
            return net(tokens, padding)[0, 0]

    return step


def make(case: Case) -> Step:
    """A new model, and its step."""
    numpyml.manual_seed(0)
    kinds: dict[type, Any] = {Perceptron: perceptron, Language: language, Sentences: sentences}
    return kinds[type(case)](case, np.random.default_rng(0))


if __name__ == "__main__":
    report(make, CASES[sys.argv[1]], float(sys.argv[2]))
