"""The comparison of long runs: trajectories of optimizers and losses of training. See rule.py."""

from __future__ import annotations

import numpy as np

from conformance.comparison.answers import Answer
from conformance.comparison.rule import K, Verdict
from conformance.comparison.ulps import distance, shown
from numpyml.typing import Array

STEPWISE = 1e-12  # float64, identical gradients, each step: relative to the largest number in the array
TRAINING = 1e-10  # float64, each side with its own gradients, each step: relative to the loss
RECENT = 10  # steps over which the largest number of an array is its scale: all of it may cross zero at once


def _earlier(x: Array, steps: int) -> Array:
    """The history delayed by a number of steps."""
    return np.concatenate([x[:1].repeat(min(steps, len(x)), 0), x])[: len(x)]


def off_scale(answer: Answer, got: Array, expected: Array, movement: Array | float = 0.0) -> Verdict:
    """Compare two float64 histories, steps along axis 0.

    Each element may differ by STEPWISE times the scale of its array or by K times what roundings move it.
    """
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
            f"allowed is {STEPWISE:g} of the array's scale, or {K:g} x what roundings move it"
        )
    return verdict
