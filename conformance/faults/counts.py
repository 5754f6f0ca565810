"""Faults of high counts alone: indices beyond 8 and 16 bits, third parameter groups, steps after the thousandth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.nn import layers, losses, optimizers, schedulers
from numpyml.nn.layers import position


def _narrow(dtype: Any) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        def _indices(self: Any, targets: Any, classes: int) -> Any:
            t, ignored = right(self, targets, classes)
            return t.astype(dtype).astype(np.intp) % classes, ignored

        return _indices

    return wrong


def _narrow_ids(dtype: Any) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        def compute(self: Any, ids: Any) -> Any:
            return right(self, ids.astype(dtype).astype(np.intp) % self.num_embeddings)

        return compute

    return wrong


def _two_groups(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        if not any(run.entries[0].group is group for group in self.param_groups[2:]):
            right(self, p, g, state, scratch, run)

    return update


def _of_third_groups(changed: Callable[[Any, Any], dict[str, Any]]) -> Callable[[Any], Any]:
    """Other options in the groups after the second, from these and those of the second."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            options = run.options
            if any(group.values_in_use is options for group in self.param_groups[2:]):
                run.options = changed(options, self.param_groups[1].values_in_use)
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _counting(count: Callable[[int], int]) -> Callable[[Any], Any]:
    """Another step count in the bias corrections."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            step, run.step = run.step, count(run.step)
            right(self, p, g, state, scratch, run)
            run.step = step

        return update

    return wrong


def _loaded(bits: int) -> Callable[[Any], Any]:
    """Step counts of so many bits in what is loaded."""

    def wrong(right: Any) -> Any:
        def load_state_dict(self: Any, saved: Any) -> None:
            states = {i: {**one, "step": one["step"] & (1 << bits) - 1} for i, one in saved["state"].items()}
            right(self, {**saved, "state": states})

        return load_state_dict

    return wrong


def _rate(step: Callable[[int], int]) -> Callable[[Any], Any]:
    """The rate of another step."""
    return lambda right: lambda self, base, now, t: right(self, base, now, step(t))


def _first_embeddings(right: Any) -> Any:
    def pullback(self: Any, *arguments: Any) -> None:
        before = self.weight.grad[256:].copy()
        right(self, *arguments)
        self.weight.grad[256:] = before

    return pullback


def _positions_of(dtype: Any) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        def vector_positions(*arguments: Any) -> Any:
            p = right(*arguments)
            p = np.arange(p.stop)[p] if isinstance(p, slice) else p
            return np.abs(p.astype(dtype).astype(np.intp))

        return vector_positions

    return wrong


FAULTS = [
    Fault(
        "classes as int8",
        "CrossEntropyWithLogits",
        "large",
        losses.CrossEntropyWithLogits,
        "_indices",
        _narrow(np.int8),
    ),
    Fault(
        "classes as uint8",
        "CrossEntropyWithLogits",
        "large",
        losses.CrossEntropyWithLogits,
        "_indices",
        _narrow(np.uint8),
    ),
    Fault(
        "classes as uint16",
        "CrossEntropyWithLogits",
        "large",
        losses.CrossEntropyWithLogits,
        "_indices",
        _narrow(np.uint16),
    ),
    Fault("token ids as int8", "Embedding", "large", layers.Embedding, "compute", _narrow_ids(np.int8)),
    Fault("token ids as uint8", "Embedding", "large", layers.Embedding, "compute", _narrow_ids(np.uint8)),
    Fault("token ids as uint16", "Embedding", "large", layers.Embedding, "compute", _narrow_ids(np.uint16)),
    Fault("third group skipped", "SGD", "trajectory", optimizers.SGD, "update", _two_groups),
    Fault(
        "third group has the options of the second",
        "SGD",
        "trajectory",
        optimizers.SGD,
        "update",
        _of_third_groups(lambda own, second: second),
    ),
    Fault(
        "no weight decay in a third group",
        "AdamW",
        "trajectory",
        optimizers.Adam,
        "update",
        _of_third_groups(lambda own, second: {**own, "weight_decay": 0}),
    ),
    Fault(
        "rate of a third group 1e-9 off",
        "Adam",
        "trajectory",
        optimizers.Adam,
        "update",
        _of_third_groups(lambda own, second: {**own, "learning_rate": own["learning_rate"] * (1 + 1e-9)}),
    ),
    Fault(
        "step count wraps at 1,000",
        "Adam",
        "high_step_counts",
        optimizers.Adam,
        "update",
        _counting(lambda step: (step - 1) % 1_000 + 1),
    ),
    Fault(
        "bias corrections end at 4,000 steps",
        "AdamW",
        "high_step_counts",
        optimizers.Adam,
        "update",
        _counting(lambda step: min(step, 4_000)),
    ),
    Fault(
        "loaded step count of 16 bits", "Adam", "high_step_counts", optimizers.Optimizer, "load_state_dict", _loaded(16)
    ),
    Fault(
        "loaded step count of 31 bits",
        "AdamW",
        "high_step_counts",
        optimizers.Optimizer,
        "load_state_dict",
        _loaded(31),
    ),
    Fault(
        "schedule starts anew after 1,000 steps",
        "ExponentialLR",
        "long_schedule",
        schedulers.ExponentialLR,
        "rate",
        _rate(lambda t: t % 1_000),
    ),
    Fault(
        "no decay from step 1,001 on",
        "StepLR",
        "long_schedule",
        schedulers.StepLR,
        "rate",
        _rate(lambda t: t * (t < 1_001)),
    ),
    Fault(
        "gradient of the first 256 embeddings alone",
        "Embedding",
        "large",
        layers.Embedding,
        "pullback",
        _first_embeddings,
    ),
    Fault(
        "positions as int8", "LearnedPositionalEncoding", "large", position, "vector_positions", _positions_of(np.int8)
    ),
]
