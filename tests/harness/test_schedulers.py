"""Learning-rate schedules and clipping beside PyTorch's: the same rates, to the last bit, at every step."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from numpyml.nn import optimizers, schedulers, utils

STEPS = 60
factors = st.sampled_from([0.1, 0.5, 0.9, 1.0, 1.5])
rates = st.sampled_from([0.1, 1.0, 3e-4])
OPTIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "StepLR": st.fixed_dictionaries({"step_size": st.integers(1, 9)}, optional={"gamma": factors}),
    "MultiStepLR": st.fixed_dictionaries(
        {"milestones": st.lists(st.integers(0, STEPS), max_size=5)}, optional={"gamma": factors}
    ),
    "ExponentialLR": st.fixed_dictionaries({"gamma": factors}),
    "LinearLR": st.fixed_dictionaries(
        {},
        optional={
            "start_factor": st.sampled_from([0.01, 0.5, 1.0]),
            "end_factor": st.sampled_from([0.0, 0.3, 1.0]),
            "total_iters": st.integers(1, STEPS + 5),
        },
    ),
    "CosineAnnealingLR": st.fixed_dictionaries(
        {"T_max": st.integers(1, STEPS)}, optional={"eta_min": st.sampled_from([0.0, 1e-5])}
    ),
    "CosineAnnealingWarmRestarts": st.fixed_dictionaries(
        {"T_0": st.integers(1, 20)}, optional={"T_mult": st.integers(1, 3), "eta_min": st.sampled_from([0.0, 1e-5])}
    ),
    "OneCycleLR": st.fixed_dictionaries(
        {"max_lr": rates, "total_steps": st.integers(STEPS + 1, 3 * STEPS)},
        optional={
            "pct_start": st.sampled_from([0.1, 0.3, 0.5]),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "cycle_momentum": st.booleans(),
            "base_momentum": st.sampled_from([0.85, 0.5]),
            "max_momentum": st.sampled_from([0.95, 0.99]),
            "div_factor": st.sampled_from([25.0, 4.0]),
            "final_div_factor": st.sampled_from([1e4, 10.0]),
            "three_phase": st.booleans(),
        },
    ),
    "LambdaLR": st.sampled_from(
        [{"lr_lambda": lambda t: 0.9**t}, {"lr_lambda": [lambda t: 1 / (t + 1), lambda t: 2.0]}]
    ),
}


def pair(kind: str) -> tuple[Any, Any]:
    """Our optimizer and PyTorch's, two groups each, of different rates."""
    arrays = [np.ones(2), np.ones(3)]
    ours = [
        {"parameters": [p], "gradients": [np.ones_like(p)], "learning_rate": 0.1 * 3**i} for i, p in enumerate(arrays)
    ]
    theirs = [{"params": [torch.ones(len(p))], "lr": 0.1 * 3**i} for i, p in enumerate(arrays)]
    return getattr(optimizers, kind)(ours), getattr(torch.optim, kind)(theirs)


def read(optimizer: Any, *names: str) -> list[Any]:
    """The rate and the momentum of every group."""
    return [[g[name] for name in names if name in g] for g in optimizer.param_groups]


def both(optimizer: Any, peer: Any) -> tuple[Any, Any]:
    return read(optimizer, "learning_rate", "momentum", "betas"), read(peer, "lr", "momentum", "betas")


def follow(ours: Any, theirs: Any, steps: int) -> None:
    for _ in range(steps):
        mine, expected = both(ours.optimizer, theirs.optimizer)
        for group in expected:
            group[0] = 0.0 if -1e-16 < group[0] < 0 else group[0]  # PyTorch's LinearLR ends below 0 by a rounding
        assert mine == expected
        ours.optimizer.step()
        ours.step()
        theirs.step()


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of steps that its optimizer does not take here
        yield


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_rates_are_pytorchs_at_every_step(name: str, optimizer: str, data: Any) -> None:
    options, resumed = data.draw(OPTIONS[name]), data.draw(st.integers(0, STEPS // 2))
    mine, peer = pair(optimizer)
    ours, theirs = getattr(schedulers, name)(mine, **options), getattr(lr_scheduler, name)(peer, **options)
    follow(ours, theirs, resumed)
    state, rates = ours.state_dict(), [dict(g) for g in read_groups(mine)]
    again, _ = pair(optimizer)
    ours = getattr(schedulers, name)(again, **options)
    ours.load_state_dict(state)
    for group, values in zip(again.param_groups, rates, strict=True):
        for option, value in values.items():
            group[option] = value
    follow(ours, theirs, STEPS - resumed)


def read_groups(optimizer: Any) -> list[dict[str, Any]]:
    return [{n: v for n, v in g.items() if n not in ("parameters", "gradients")} for g in optimizer.param_groups]


@settings(deadline=None, max_examples=60)
@given(
    first=st.sampled_from(["LinearLR", "ExponentialLR", "StepLR"]),
    second=st.sampled_from(["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LambdaLR"]),
    milestone=st.integers(1, STEPS),
    data=st.data(),
)
def test_one_schedule_after_another(first: str, second: str, milestone: int, data: Any) -> None:
    chosen = [data.draw(OPTIONS[name]) for name in (first, second)]
    mine, peer = pair("SGD")
    made = []
    for module, optimizer in ((schedulers, mine), (lr_scheduler, peer)):
        parts = [getattr(module, name)(optimizer, **o) for name, o in zip((first, second), chosen, strict=True)]
        made.append(module.SequentialLR(optimizer, parts, [milestone]))  # type: ignore[attr-defined]
    follow(*made, STEPS)


@settings(deadline=None, max_examples=60)
@given(epochs=st.lists(st.floats(0, 100), min_size=1, max_size=20), factor=st.integers(1, 3), first=st.integers(1, 9))
def test_warm_restarts_at_any_time(epochs: list[float], factor: int, first: int) -> None:
    mine, peer = pair("SGD")
    ours = schedulers.CosineAnnealingWarmRestarts(mine, first, factor)
    theirs = lr_scheduler.CosineAnnealingWarmRestarts(peer, first, factor)
    for epoch in epochs:
        ours.step(epoch)
        theirs.step(epoch)
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=80)
@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.sampled_from([0.1, 0.5]),
            "patience": st.integers(0, 4),
            "threshold": st.sampled_from([1e-4, 0.1]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0, 0.01, [0.05, 0.001]]),
            "eps": st.sampled_from([1e-8, 0.02]),
        },
    ),
    figures=st.lists(st.sampled_from([1.0, 0.99, 0.5, 1.2, 2.0, float("nan")]), min_size=30, max_size=30),
)
def test_a_plateau_is_the_same_plateau(options: dict[str, Any], figures: list[float]) -> None:
    mine, peer = pair("SGD")
    ours, theirs = schedulers.ReduceLROnPlateau(mine, **options), lr_scheduler.ReduceLROnPlateau(peer, **options)
    for figure in figures:
        ours.step(figure)
        theirs.step(figure)
        assert ours.get_last_lr() == theirs.get_last_lr()


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**20),
    size=st.sampled_from([1.0, 1e-20, 1e18, 1e30]),
    dtype=st.sampled_from([np.float32, np.float64]),
    max_norm=st.sampled_from([1.0, 1e-3, 1e3, 0.0]),
    norm_type=st.sampled_from([2.0, 1.0, 3.0, float("inf")]),
)
def test_norms_are_clipped_alike(seed: int, size: float, dtype: Any, max_norm: float, norm_type: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = ((3, 4), (5,), (), *[(0, 2)] * (norm_type != np.inf))  # PyTorch knows no largest element of none
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


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_norms_that_are_no_numbers_spread_as_in_pytorch(bad: float) -> None:
    g = np.array([1.0, bad])
    holder = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    holder.grad = torch.tensor(g)
    assert not np.isfinite(utils.clip_grad_norm_([g], 1.0))
    torch.nn.utils.clip_grad_norm_([holder], 1.0)
    np.testing.assert_array_equal(g, holder.grad)


def test_values_are_clipped_alike() -> None:
    g = np.array([-3.0, -0.5, 0.0, 2.0, np.nan, np.inf, -np.inf])
    holder = torch.nn.Parameter(torch.zeros(7, dtype=torch.float64))
    holder.grad = torch.tensor(g)
    utils.clip_grad_value_([g], 1.5)
    torch.nn.utils.clip_grad_value_([holder], 1.5)
    np.testing.assert_array_equal(g, holder.grad)
