"""Schedulers and clipping compared with PyTorch, beyond the rows: defaults, fractional epochs, clipped norms."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from conformance import contracts
from conformance.rows import SchedulerRow
from numpyml.nn import optimizers, schedulers, utils


@pytest.mark.parametrize("row", contracts.scheduler_rows(), ids=lambda row: row.name)
def test_defaults_are_pytorchs(row: SchedulerRow) -> None:
    ours, theirs = (inspect.signature(getattr(home, row.name)).parameters for home in (schedulers, lr_scheduler))
    assert [(name, p.default) for name, p in ours.items()] == [
        (name, p.default) for name, p in theirs.items() if name != "last_epoch"
    ]


@settings(deadline=None, max_examples=60)
@given(epochs=st.lists(st.floats(0, 100), min_size=1, max_size=20), factor=st.integers(1, 3), first=st.integers(1, 9))
def test_warm_restarts_at_any_time(epochs: list[float], factor: int, first: int) -> None:
    p = np.ones(2)
    mine, peer = optimizers.SGD([p], [np.ones_like(p)], 0.1), torch.optim.SGD([torch.ones(2)], 0.1)
    ours = schedulers.CosineAnnealingWarmRestarts(mine, first, factor)
    theirs = lr_scheduler.CosineAnnealingWarmRestarts(peer, first, factor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of steps that its optimizer does not take here
        for epoch in epochs:
            ours.step(epoch)
            theirs.step(epoch)
            np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**20),
    size=st.sampled_from([1.0, 1e-20, 1e18, 1e30]),
    dtype=st.sampled_from([np.float32, np.float64]),
    max_norm=st.sampled_from([1.0, 1e-3, 1e3, 0.0]),
    norm_type=st.sampled_from([2.0, 1.0, 3.0, float("inf")]),
)
def test_norms_are_clipped_as_in_pytorch(seed: int, size: float, dtype: Any, max_norm: float, norm_type: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = ((3, 4), (5,), (), *[(0, 2)] * (norm_type != np.inf))  # PyTorch has no maximum of an empty tensor
    gs = [np.asarray(size * rng.standard_normal(shape), dtype) for shape in shapes]
    holders = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gs]
    for holder, g in zip(holders, gs, strict=True):
        holder.grad = torch.tensor(g, dtype=torch.float64)
    norm = utils.clip_grad_norm_(gs, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(holders, max_norm, norm_type)
    np.testing.assert_allclose(norm, expected.item(), rtol=1e-12 if dtype == np.float64 else 1e-6)
    for g, holder in zip(gs, holders, strict=True):
        assert holder.grad is not None
        np.testing.assert_allclose(g, holder.grad, rtol=1e-12 if dtype == np.float64 else 1e-6, atol=1e-44)


@pytest.mark.parametrize(
    ("g", "clip", "limit"),
    [
        ([1.0, np.nan], "clip_grad_norm_", 1.0),
        ([1.0, np.inf], "clip_grad_norm_", 1.0),
        ([-3.0, -0.5, 0.0, 2.0, np.nan, np.inf, -np.inf], "clip_grad_value_", 1.5),
    ],
)
def test_gradients_that_are_not_finite_are_clipped_as_in_pytorch(g: Any, clip: str, limit: float) -> None:
    ours = np.array(g)
    holder = torch.nn.Parameter(torch.zeros(len(g), dtype=torch.float64))
    holder.grad = torch.tensor(ours)
    norm = getattr(utils, clip)([ours], limit)
    assert clip == "clip_grad_value_" or not np.isfinite(norm)
    getattr(torch.nn.utils, clip)([holder], limit)
    np.testing.assert_array_equal(ours, holder.grad)
