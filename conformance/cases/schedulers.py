"""A drawn schedule of a scheduler's row: options, the optimizer's groups, and the metrics of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.cases.common import Case, refusal
from conformance.frameworks import make_scheduler, pytorch, under_test
from conformance.rows import SchedulerRow
from conformance.strategies.arrays import seeds
from conformance.strategies.coverage import Coverage, Draw, among, options_inside, pick
from numpyml.typing import Array

STEPS = 60
METRICS = (1.0, 0.99, 0.5, 1.2, 2.0, np.nan)
OPTIMIZERS = ("optim.SGD", "optim.Adam")  # one with momentum, one with betas


class SchedulerCase(Case):
    """Options of a schedule, and an optimizer with so many groups, each with an initial rate of its own."""

    row: SchedulerRow

    def __init__(
        self, row: SchedulerRow, options: Mapping[str, Any], optimizer: str, groups: int, steps: int, seed: int
    ) -> None:
        super().__init__(row, options, np.float64, seed)
        self.optimizer, self.groups, self.steps = optimizer, groups, steps

    @cached_property
    def refusals(self) -> list[ValueError | None]:
        """PyTorch's reason to refuse these options."""
        return [refusal(lambda: self.make(pytorch))]

    def make(self, framework: Any) -> tuple[Any, Any]:
        """The framework's optimizer and its schedule."""
        groups = [{"params": [np.ones(2)], "grads": [np.ones(2)], "lr": 0.1 * 3**i} for i in range(self.groups)]
        optimizer = framework.optimizer(self.optimizer, groups, {})
        options = self.options if framework is pytorch else self.passed(self.options)
        return optimizer, make_scheduler(framework, self.row.torch, optimizer, options)

    def with_options(self, changes: Mapping[str, Any]) -> SchedulerCase:
        """The same case with other values of some options."""
        options = {**self.options, **changes}
        return SchedulerCase(self.row, options, self.optimizer, self.groups, self.steps, self.seed)

    def ours(self, restart_at: int = -1) -> dict[str, Array]:
        """The rates at every step by the framework under test; at one step all is saved and restored into new ones."""
        return self.run(under_test(), restart_at)

    def torch(self) -> dict[str, Array]:
        """PyTorch's rates at every step."""
        return self.run(pytorch)

    def run(self, framework: Any, restart_at: int = -1) -> dict[str, Array]:
        """The rates at every step, those of step 0 included."""
        optimizer, scheduler = self.make(framework)
        metrics = np.random.default_rng(self.seed).choice(METRICS, self.steps)
        history: dict[str, list[Any]] = {}
        for step in range(self.steps + 1):
            if step == restart_at:
                saved = framework.save(optimizer), framework.save(scheduler)
                optimizer, scheduler = self.make(framework)
                framework.restore(optimizer, saved[0])
                framework.restore(scheduler, saved[1])
            for i, rates in enumerate(framework.rates(optimizer)):
                for name, value in rates.items():
                    history.setdefault(f"{name} of group {i}", []).append(value)
            if step < self.steps:
                framework.scheduler_step(scheduler, float(metrics[step]) if self.row.metric else None)
        return {name: np.array(values, np.float64) for name, values in history.items()}

    def coverage(self) -> Coverage:
        coverage = Coverage()
        coverage.options(options_inside(self.row.options), self.options)
        self.add_left_out(coverage)
        if any(self.refusals):  # there was no step
            coverage.reached = set()
        return coverage

    def details(self) -> list[str]:
        return [f"of {self.optimizer} with {self.groups} groups, {self.steps} steps"]


@st.composite
def scheduler_cases(draw: Draw, row: SchedulerRow) -> SchedulerCase:
    """All options combined, with optimizers that have momentum or betas, of one group, two or four."""
    options = {name: draw(strategy) for name, strategy in options_inside(row.options).items()}
    optimizer = pick(draw, "optimizer", among(*OPTIMIZERS))
    groups = pick(draw, "groups", among(2, 1, 4))
    return SchedulerCase(row, options, optimizer, groups, draw(st.integers(1, STEPS)), draw(seeds))
