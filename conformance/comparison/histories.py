"""What long runs are held to: the trajectories of optimizers, and the losses of training runs. See rule.py."""

from __future__ import annotations

import numpy as np

from conformance.comparison.answers import Answer
from conformance.comparison.rule import K, Verdict
from conformance.comparison.ulps import distance, shown
from numpyml.typing import Array

STEPWISE = 1e-12  # float64, identical gradients: of the largest number in the array, at every step
TRAINING = 1e-10  # float64, each side on its own gradients: of the loss, at every step
RECENT = 10  # an array's scale is its largest number in so many steps: all of it may cross zero at once


def _earlier(x: Array, steps: int) -> Array:
    """The history so many steps earlier."""
    return np.concatenate([x[:1].repeat(min(steps, len(x)), 0), x])[: len(x)]


def off_scale(answer: Answer, got: Array, expected: Array, movement: Array | float = 0.0) -> Verdict:
    """Two float64 histories, axis 0 the steps: every element within STEPWISE of its array's scale, or, where the
    problem is ill-conditioned, within K times what roundings alone move it."""
    if got.shape != expected.shape:
        return Verdict(answer, failure=f"{answer}: shape {got.shape}, expected {expected.shape}")
    with np.errstate(all="ignore"):
        error = distance(got, expected)
        finite = np.where(np.isfinite(expected), np.abs(expected), 0)
        scale = np.max(finite, tuple(range(1, got.ndim)), keepdims=True, initial=0)
        scale = np.max([scale, *(_earlier(scale, n) for n in range(1, RECENT))], axis=0)
        ratio = np.where(error == 0, 0, error / np.maximum(STEPWISE * scale, K * movement))
    verdict = Verdict(answer, got.size, float(np.max(ratio, initial=0)))
    if verdict.error > 1 or np.isnan(ratio).any():
        at = tuple(int(i) for i in np.unravel_index(np.nanargmax(ratio), ratio.shape))
        verdict.failure = (
            f"{answer}, step {at[0] + 1}, element {list(at[1:])}: "
            f"got {shown(got[at])}, expected {shown(expected[at])}: off by {float(error[at]):.3g}, "
            f"allowed are {STEPWISE:g} of the array's scale, or {K:g} x what roundings alone move it"
        )
    return verdict
