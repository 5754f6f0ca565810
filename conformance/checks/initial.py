"""The check of functions that write initial values."""

from __future__ import annotations

import numpy as np

from conformance.cases.initial import InitialCase
from conformance.checks.randomness import DRAWN, no_more_repeats, same_distribution
from conformance.checks.registry import check
from conformance.frameworks import pytorch
from conformance.results.census import Note
from conformance.rows import InitialRow

MORE, ROUNDS = 12_000, 1_000  # of an array alone, if no more rounds than these give as many


@check(rows=InitialRow, numpyml_only=True, examples=16, covers=True)
def initial_distribution(case: InitialCase, note: Note) -> None:
    """Values of PyTorch's distribution, written in place in the array's precision; the same for the same seed alone."""
    from numpyml import manual_seed

    manual_seed(case.seed)
    pytorch.seed(case.seed % 2**31)
    array = np.full(case.shape, np.nan, case.dtype)
    note.require(case.ours(array) is array, "the array returned is not the one passed in")
    note.require(np.isfinite(array).all(), "not every element was written")
    for how, generator in (("manual_seed", None), ("a generator", np.random.default_rng(case.seed))):
        manual_seed(case.seed)
        note.same(f"values of a second run, by {how}", case.ours(np.zeros_like(array), generator), array)
    if array.size:
        rounds = max(-(-DRAWN // array.size), min(-(-MORE // array.size), ROUNDS))
        theirs = np.concatenate([case.torch().ravel() for _ in range(rounds)])
        if np.ptp(theirs):
            manual_seed((case.seed + 1) % 2**32)
            note.require(not np.array_equal(case.ours(np.zeros_like(array)), array), "another seed gives the same")
        ours = np.concatenate([np.array(case.ours(array)).ravel() for _ in range(rounds)])
        same_distribution(note, "values", ours, theirs)
        no_more_repeats(note, "values", [ours], [theirs])
