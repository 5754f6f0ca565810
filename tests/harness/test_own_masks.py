"""The masks of a component's own: the rows that have some, and PyTorch's replay of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conformance import contracts
from conformance.checks.own_masks import _limit, _uncorrelated
from conformance.errors import Mismatch
from conformance.frameworks import make_module, pytorch
from conformance.results.census import Note
from conformance.twins.replay import Replayed


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch, about unusual options
@settings(max_examples=1, deadline=None, phases=[Phase.generate])
@given(st.data())
def test_rows_that_drop_elements_say_so(data: st.DataObject) -> None:
    """A row whose PyTorch class applies dropout has the checks of own masks."""
    for row in contracts.module_rows():
        if row.container or row.loss:
            continue
        options = {name: data.draw(strategy) for name, strategy in row.options.items()}
        assert row.drops == bool(pytorch.dropout_modules(make_module(pytorch, row.torch, options, np.float32))), (
            row.name
        )


@pytest.mark.parametrize("need_weights", [True, False])
def test_pytorch_drops_what_a_mask_drops(need_weights: bool) -> None:
    """In attention, whose dropout is inside of one function, with and without weights."""
    attention = torch.nn.MultiheadAttention(4, 2, 0.5)
    x = torch.randn(3, 2, 4)
    with Replayed(np.zeros((2, 2, 3, 3))):
        y, _ = attention(x, x, x, need_weights=need_weights)
    assert torch.equal(y, attention.out_proj.bias.expand(3, 2, 4))


def test_mask_of_another_shape_is_an_error() -> None:
    with Replayed(np.ones((2, 1))), pytest.raises(Mismatch, match=r"shape \(2, 1\), PyTorch's in \(2, 3\)"):
        torch.nn.functional.dropout(torch.ones(2, 3))


@pytest.mark.parametrize("period", [1, 2, 63, 64, 1000])
def test_any_period_of_a_mask_is_detected(period: int) -> None:
    bits = np.resize(np.random.default_rng(0).choice([-1.0, 1.0], period), 4000)
    with pytest.raises(Mismatch, match="apart correlate"):
        _uncorrelated(Note("Dropout", "mask_independence"), "a module", 0.5, bits)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_limit_of_a_mean_holds_with_the_tails_of_rare_events(p: float) -> None:
    """Bernstein's bound is above the mean that an independent mask exceeds once in a million draws."""
    n, largest = 200, max(p / (1 - p), (1 - p) / p) ** 0.5
    draws = np.random.default_rng(0).binomial(n, 1 - p, 1_000_000)
    means = (draws / n - (1 - p)) / np.sqrt(p * (1 - p))
    assert np.abs(means).max() < _limit(n, 1, largest)
