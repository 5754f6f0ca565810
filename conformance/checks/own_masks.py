"""The checks of a component's own dropout masks, recorded while it runs: everywhere else, masks are injected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance.cases.common import GY
from conformance.cases.modules import ModuleCase, module_cases
from conformance.checks.modules import all_there, drivers
from conformance.checks.registry import check
from conformance.comparison.answers import gradient, output
from conformance.frameworks import under_test
from conformance.results.census import Note
from conformance.rows import ModuleRow
from conformance.strategies.arrays import growing
from conformance.strategies.coverage import Draw, Strategy
from numpyml.typing import Array


def drops(row: ModuleRow) -> bool:
    return row.drops


@st.composite
def dropping_cases(draw: Draw, row: ModuleRow, growth: float = 0) -> ModuleCase:
    """Cases in training in which something is dropped; with ``growth``, of long arrays without any other masks."""
    if growth:
        with growing(growth):
            case = draw(module_cases(row))
        case.call = {}
    else:
        case = draw(module_cases(row))
    case.training = True
    assume(any(case.rates) and all(x.values.size for x in case.inputs))
    return case


def small(row: ModuleRow, _: Any) -> Strategy[ModuleCase]:
    return dropping_cases(row)


def long(row: ModuleRow, _: Any) -> Strategy[ModuleCase]:
    return dropping_cases(row, 1)


NEEDS = ("train", "seed", "recorded_masks")


@check(rows=ModuleRow, where=drops, cases=small, needs=NEEDS, examples=40)
def own_masks(case: ModuleCase, note: Note) -> None:
    """Under masks of its own, which PyTorch replays: outputs and all gradients by the comparison rule. Every module
    that drops elements draws one mask a call, and none in evaluation."""
    framework, arrays = under_test(), case.exact
    driver = drivers()[case.seed % len(drivers())]
    framework.seed(case.seed)
    module = case.make(None, arrays, inject=False)
    recorded = framework.recorded_masks(module)
    answers = case.run(module, arrays, driver, framework)
    masks = list(_one_each(case, note, recorded))
    problem = case.replaying(masks).problem(driver)
    note.judge(replace(problem, ours=lambda _: answers), case.dtype, case.seed)
    names = [name for name in arrays if not name.startswith(GY)]
    all_there([*map(output, range(case.outputs)), *map(gradient, names)], answers)
    framework.train(module, False)
    framework.forward(module, *case.arrays(arrays), **case.further(case.dtype))
    note.require(sum(map(len, recorded)) <= len(masks), "a mask is drawn in evaluation")


def _one_each(case: ModuleCase, note: Note, recorded: Sequence[list[Array]]) -> Iterator[Array]:
    """The mask of each module; of one that drops nothing, any."""
    note.require(len(recorded) == len(case.rates), f"{len(recorded)} modules drop elements, {len(case.rates)} do here")
    for i, (p, drawn) in enumerate(zip(case.rates, recorded, strict=True)):
        number = len(drawn) if p else 1
        note.require(number == 1, f"module {i} of those that drop elements draws {number} masks in a call, expected 1")
        yield drawn[0] if drawn else np.ones(())


CALLS = 2
SURE = 30.0  # a false alarm has the probability e^−30 at most


@check(rows=ModuleRow, where=drops, cases=long, needs=NEEDS, examples=40)
def mask_independence(case: ModuleCase, note: Note) -> None:
    """Masks of its own, as they are drawn in two calls: the rate is right, no elements of a mask correlate at any
    distance, so along no axis, and no two masks do, of different modules or calls."""
    framework = under_test()
    arrays = case.arrays({name: x.values.astype(case.dtype) for name, x in case.named_inputs.items()})
    framework.seed(case.seed)
    module = case.make(inject=False)
    recorded = framework.recorded_masks(module)
    for _ in range(CALLS):
        framework.forward(module, *arrays)
    known: list[tuple[str, float, Array]] = []
    for i, (p, drawn) in enumerate(zip(case.rates, recorded, strict=True)):
        for call, mask in enumerate(drawn):
            if 0 < p < 1 and mask.size:
                bits = ((mask != 0) - (1 - p)).ravel() / np.sqrt(p * (1 - p))
                known.append((f"module {i} in call {call}, {mask.shape}, p = {p}", p, bits))
    for what, p, bits in known:
        _uncorrelated(note, what, p, bits)
        limit = _limit(bits.size, 1, max(p / (1 - p), (1 - p) / p) ** 0.5)
        note.require(
            abs(bits.mean()) <= limit, f"rate of the mask of {what}: {bits.mean():.2g} standard deviations off"
        )
    for (what, p, x), (other, q, y) in combinations(known, 2):
        n = min(x.size, y.size)
        together, limit = np.dot(x[:n], y[:n]) / n, _limit(n, len(known) ** 2, _largest(p, q))
        note.require(abs(together) <= limit, f"masks of {what} and of {other} correlate: {together:.2g}")


def _largest(p: float, q: float) -> float:
    """The largest product of two standardized bits."""
    return float(np.prod([max(r / (1 - r), (1 - r) / r) ** 0.5 for r in (p, q)]))


def _limit(n: Any, tests: int, largest: float) -> Any:
    """What the mean of n independent numbers, of mean 0, variance 1 and at most this size, exceeds in any of so many
    tests with the probability e^−SURE, by Bernstein's inequality."""
    a = (SURE + np.log(2 * tests)) / n
    return a * largest / 3 + np.sqrt((a * largest / 3) ** 2 + 2 * a)


def _uncorrelated(note: Note, what: str, p: float, bits: Array) -> None:
    """No elements at any distance in memory order correlate, by the Fourier transform of the autocorrelation."""
    n = bits.size
    spectrum = np.fft.rfft(bits, 2 * n)
    pairs = np.arange(n - 1, 0, -1)
    together = np.fft.irfft(np.abs(spectrum) ** 2)[1:n] / pairs
    # The pairs at one distance are two families of disjoint, so of independent ones.
    excess = np.abs(together) - _limit(pairs / 2, 2 * n, _largest(p, p))
    if n > 1:
        at = int(excess.argmax())
        message = f"elements of the mask of {what} that are {at + 1} apart correlate: {together[at]:.2g}"
        note.require(excess[at] <= 0, message)
