"""Schedules and clipping: state, groups, invalid arguments. The contract rows compare the rates with PyTorch's."""

import copy

import numpy as np
import pytest

from numpyml.errors import DataError, DTypeError, OptionError, StateError
from numpyml.nn import layers, losses, optimizers, schedulers, utils


def sgd(rate=0.1):
    p = np.ones(2)
    return optimizers.SGD([p], [np.ones_like(p)], rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: schedulers.StepLR(o, 0), "step_size to be an integer of 1 or more, got 0"),
        (lambda o: schedulers.LinearLR(o, 0.0), "start_factor to be above 0"),
        (lambda o: schedulers.LinearLR(o, 2.0), "start_factor to be a number from 0 to 1"),
        (lambda o: schedulers.ExponentialLR(o, float("nan")), "gamma to be a finite number"),
        (lambda o: schedulers.OneCycleLR(o, 1.0), "total_steps to be given, or else epochs and steps_per_epoch"),
        (lambda o: schedulers.OneCycleLR(o, [1.0, 2.0], 9), "max_lr to be a number, or 1 of them"),
        (lambda o: schedulers.ReduceLROnPlateau(o, "less"), "mode to be one of 'min', 'max'"),
        (lambda o: schedulers.ReduceLROnPlateau(o, factor=1.0), "factor to be below 1"),
        (lambda o: schedulers.LambdaLR(o, [abs, abs]), "lr_lambda to be a function of t, or 1 of them"),
        (lambda o: schedulers.LambdaLR(o, None), "lr_lambda to be a function of t, or a list of them"),
        (lambda o: schedulers.MultiStepLR(o, None), "milestones to be a list of integers of 0 or more"),
        (lambda o: schedulers.OneCycleLR(o, None, 9), "max_lr to be a finite number"),
        (lambda o: schedulers.ReduceLROnPlateau(o, min_lr=None), "min_lr to be a finite number"),
        (lambda o: schedulers.SequentialLR(o, None, []), "schedulers to be a list"),
        (lambda o: schedulers.SequentialLR(o, [schedulers.StepLR(o, 3)], 4), "milestones to be a list"),
        (lambda o: schedulers.SequentialLR(o, [schedulers.ReduceLROnPlateau(o)], []), "without ReduceLROnPlateau"),
        (lambda o: schedulers.SequentialLR(o, [schedulers.StepLR(sgd(), 3)], []), "schedules of this optimizer"),
        (
            lambda o: schedulers.SequentialLR(o, [schedulers.StepLR(o, 3)], [4]),
            "milestones to be 0 integers, ascending",
        ),
        (lambda o: schedulers.StepLR("sgd", 3), "an optimizer of numpyml.nn.optimizers"),
    ],
)
def test_bad_options_are_refused_and_the_rate_stays(make, message):
    optimizer = sgd()
    with pytest.raises(OptionError, match=message):
        make(optimizer)
    assert optimizer.param_groups[0]["learning_rate"] == 0.1


def test_norm_is_that_of_all_gradients_together(rng):
    for norm_type in (1.0, 2.0, 3.0, np.inf):
        gradients = [rng.standard_normal(shape) for shape in ((3, 2), (4,), (0,))]
        before = np.concatenate([g.ravel() for g in gradients])
        norm = np.linalg.norm(before, norm_type)
        assert utils.clip_grad_norm_(gradients, 0.5, norm_type) == pytest.approx(norm)
        np.testing.assert_allclose(np.concatenate([g.ravel() for g in gradients]), before * 0.5 / norm, rtol=1e-5)


def test_gradients_within_the_limit_stay():
    g = np.array([3.0, 4.0])
    assert utils.clip_grad_norm_([g], 5.1) == 5.0
    utils.clip_grad_value_([g], 4.0)
    assert g.tolist() == [3, 4]


def test_values_are_clipped_on_both_sides():
    gradients = [np.array([-3.0, -1.0, 0.5, 2.0, np.nan]), np.array([-np.inf, np.inf])]
    utils.clip_grad_value_(gradients, 1.5)
    assert gradients[0][:4].tolist() == [-1.5, -1, 0.5, 1.5] and np.isnan(gradients[0][4])
    assert gradients[1].tolist() == [-1.5, 1.5]


def test_one_cycle_ends_at_the_final_rate():
    schedule = schedulers.OneCycleLR(sgd(), 1.0, total_steps=2, anneal_strategy="linear", cycle_momentum=False)
    for _ in range(2):
        schedule.step()
        assert schedule.optimizer.param_groups[0]["learning_rate"] == pytest.approx(1.0 / 25 / 1e4)
    with pytest.raises(OptionError, match="at most 2 steps, got step 3"):
        schedule.step()


def test_a_plateau_needs_its_metric():
    schedule = schedulers.ReduceLROnPlateau(sgd())
    before = schedule.state_dict()
    with pytest.raises(OptionError, match="metrics to be the metric to watch"):
        schedule.step()
    assert schedule.state_dict() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda o: schedulers.StepLR(o, 3),
        lambda o: schedulers.LambdaLR(o, lambda t: 1 / (t + 1)),
        lambda o: schedulers.OneCycleLR(o, 1.0, total_steps=9, cycle_momentum=False),
    ],
)
def test_a_group_added_after_the_schedule_is_an_error_and_changes_nothing(make):
    optimizer = sgd()
    schedule = make(optimizer)
    optimizer.add_param_group({"parameters": [np.zeros(2)], "gradients": [np.zeros(2)]})
    before = schedule.state_dict(), schedule.get_last_lr()
    with pytest.raises(StateError, match="expected 1 parameter groups, got 2; add groups first"):
        schedule.step()
    assert (schedule.state_dict(), schedule.get_last_lr()) == before


def test_another_schedules_state_is_refused():
    with pytest.raises(StateError, match="StepLR expected a state of"):
        schedulers.StepLR(sgd(), 3).load_state_dict(schedulers.ExponentialLR(sgd(), 0.5).state_dict())


def test_a_schedule_shows_its_options():
    assert repr(schedulers.StepLR(sgd(), 3)).startswith("StepLR(step_size=3, gamma=0.1")


def test_a_norm_that_is_not_finite_can_be_an_error_and_changes_nothing():
    g = np.array([1.0, np.inf])
    with pytest.raises(DataError, match="finite gradients, got a norm of inf"):
        utils.clip_grad_norm_([g], 0.5, error_if_nonfinite=True)
    assert np.array_equal(g, [1, np.inf])


def test_norms_whose_squares_overflow_are_right():
    g = np.full(4, 1e30, np.float32)
    assert utils.clip_grad_norm_([g], 1.0) == pytest.approx(2e30)
    np.testing.assert_allclose(g, 0.5, rtol=1e-6)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("value", [3e-5, 0.7, 6e4])
def test_norms_of_half_precision_are_added_in_a_larger_one(value, norm_type):
    g = np.linspace(value / 100, value, 100).astype(np.float16)
    norm = np.linalg.norm(g.astype(np.float64), norm_type)
    assert utils.clip_grad_norm_([g], 1e9, norm_type) == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("wrong", [1.0, None, np.ones(2, int)])
@pytest.mark.parametrize("clip", [utils.clip_grad_norm_, utils.clip_grad_value_])
def test_an_invalid_gradient_is_refused_and_changes_nothing(clip, wrong):
    g = np.full(2, 3.0)
    with pytest.raises(
        DTypeError, match=rf"{clip.__name__} expected writable floating arrays.*; pass model\.gradients\(\)"
    ):
        clip([g, wrong], 1)
    assert g.tolist() == [3, 3]


def test_gradients_of_parts_of_a_batch_add_up_to_those_of_the_batch(rng):
    """The mean over 12 rows is the mean of three means over 4."""
    layer, loss = layers.Dense(3, 2, dtype=np.float64), losses.MeanSquaredError()
    x, y = rng.standard_normal((12, 3)), rng.standard_normal((12, 2))
    loss.forward(layer.forward(x), y)
    layer.backward(loss.backward())
    whole = [g.copy() for g in layer.gradients()]
    layer.zero_grad()
    for part in np.split(np.arange(12), 3):
        loss.forward(layer.forward(x[part]), y[part])
        layer.backward(loss.backward() / 3)
    for g, expected in zip(layer.gradients(), whole, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-12)


def two_groups():
    """An optimizer of two groups with the rates 0.1 and 0.2."""
    groups = [{"parameters": [np.ones(2)], "gradients": [np.ones(2)], "learning_rate": rate} for rate in (0.1, 0.2)]
    return optimizers.SGD(groups)


def in_sequence(optimizer):
    members = [
        schedulers.LinearLR(optimizer, 0.5, total_iters=3),
        schedulers.CosineAnnealingWarmRestarts(optimizer, 2, 2),
    ]
    return schedulers.SequentialLR(optimizer, members, [4])


SCHEDULES = {
    "StepLR": lambda o: schedulers.StepLR(o, 3),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 5, 5]),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: schedulers.LambdaLR(o, [lambda t: 1 / (t + 1), lambda t: 0.9**t]),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.5),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 4, 0.01),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2, 2),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, [1.0, 3.0], 12, base_momentum=0.7),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=2),
    "SequentialLR": in_sequence,
}


def step(schedule, metric):
    if isinstance(schedule, schedulers.ReduceLROnPlateau):
        schedule.step(metric)
    else:
        schedule.step()


@pytest.mark.parametrize("stop_at", range(1, 10))
@pytest.mark.parametrize("make", SCHEDULES.values(), ids=list(SCHEDULES))
def test_resumed_schedule_equals_an_uninterrupted_one(make, stop_at):
    metrics = [3.0, 2.0, 2.5, 2.5, 2.4, 2.5, 2.2, 2.1, 2.3, 2.5, 2.6, 1.0]
    optimizer = two_groups()
    schedule = make(optimizer)
    for metric in metrics[:stop_at]:
        step(schedule, metric)
    other_optimizer = two_groups()
    for group in other_optimizer.param_groups:
        group["learning_rate"] *= 2  # a state brings its initial rates along
    other = make(other_optimizer)
    other.load_state_dict(copy.deepcopy(schedule.state_dict()))
    other_optimizer.load_state_dict(optimizer.state_dict())
    for metric in metrics[stop_at:]:
        for one in (schedule, other):
            step(one, metric)
        assert other.state_dict() == schedule.state_dict()
        assert other_optimizer.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_every_schedule_of_an_optimizer_starts_from_its_first_rate():
    optimizer = sgd(0.4)
    schedulers.ExponentialLR(optimizer, 0.5).step()
    second = schedulers.LambdaLR(optimizer, lambda t: 0.1 * (t + 1))
    assert second.base_rates == [0.4] and second.get_last_lr() == [pytest.approx(0.04)]


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=list(SCHEDULES))
def test_every_group_has_a_rate_of_its_own(make):
    schedule = make(two_groups())
    for metric in range(3):
        step(schedule, metric)
        first, second = schedule.get_last_lr()
        assert first < second


def plateau(metrics, rates, better, factor, patience, cooldown, least, eps):
    """The rates of every step, from the rule in the documentation."""
    best, waited, cooling, history = None, 0, 0, []
    for metric in metrics:
        improved = best is None or better(metric, best)
        best, waited = (metric, 0) if improved else (best, waited + 1)
        if cooling:
            cooling, waited = cooling - 1, 0
        if waited > patience:
            lower = [max(rate * factor, low) for rate, low in zip(rates, least, strict=True)]
            rates = [low if rate - low > eps else rate for rate, low in zip(rates, lower, strict=True)]
            waited, cooling = 0, cooldown
        history.append(rates)
    return history


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "better"),
    [
        ("min", "rel", lambda m, best: m < best * 0.9),
        ("min", "abs", lambda m, best: m < best - 0.1),
        ("max", "rel", lambda m, best: m > best * 1.1),
        ("max", "abs", lambda m, best: m > best + 0.1),
    ],
)
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (1, 2), (2, 1)])
@pytest.mark.parametrize("eps", [1e-8, 0.03])
def test_a_plateau_follows_its_rule(rng, mode, threshold_mode, better, patience, cooldown, eps):
    metrics = (5 + np.cumsum(rng.normal(-0.1 if mode == "min" else 0.1, 0.3, 60))).tolist()
    schedule = schedulers.ReduceLROnPlateau(
        two_groups(), mode, 0.5, patience, 0.1, threshold_mode, cooldown, min_lr=[0.001, 0.04], eps=eps
    )
    rates = []
    for metric in metrics:
        schedule.step(metric)
        rates.append(schedule.get_last_lr())
    assert rates == plateau(metrics, [0.1, 0.2], better, 0.5, patience, cooldown, [0.001, 0.04], eps)
    assert rates[-1] != [0.1, 0.2]


def test_warm_restarts_within_an_epoch():
    schedule = schedulers.CosineAnnealingWarmRestarts(sgd(0.2), 2)
    schedule.step(0.5)
    assert schedule.get_last_lr() == [pytest.approx(0.1 * (1 + np.cos(np.pi / 4)))]


def refusing(t):
    """A factor that is refused after t = 1."""
    return 0.5 if t < 2 else float("nan")


@pytest.mark.parametrize(
    ("make", "steps", "method", "argument", "error"),
    [
        (lambda o: schedulers.LambdaLR(o, [lambda t: 1 / (t + 1), refusing]), 1, "step", (), OptionError),
        (lambda o: schedulers.LambdaLR(o, lambda t: 0.5 if t < 2 else "x"), 1, "step", (), OptionError),
        (lambda o: schedulers.LambdaLR(o, lambda t: 0.5 if t < 2 else -1), 1, "step", (), OptionError),
        (lambda o: schedulers.OneCycleLR(o, 1.0, total_steps=2, cycle_momentum=False), 2, "step", (), OptionError),
        (lambda o: schedulers.SequentialLR(o, [schedulers.LambdaLR(o, refusing)], []), 1, "step", (), OptionError),
        (
            lambda o: schedulers.SequentialLR(
                o, [schedulers.StepLR(o, 1), schedulers.OneCycleLR(o, 1.0, 2, cycle_momentum=False)], [1]
            ),
            3, "step", (), OptionError,
        ),
        (lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2), 2, "step", (float("nan"),), OptionError),
        (lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2), 2, "step", ("x",), OptionError),
        (lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2), 2, "step", (-1,), OptionError),
        (lambda o: schedulers.StepLR(o, 3), 1, "load_state_dict", (3,), StateError),
        (lambda o: schedulers.StepLR(o, 3), 1, "load_state_dict", ({1: 2, "x": 3},), StateError),
        (lambda o: schedulers.LinearLR(o), 1, "load_state_dict", (None,), StateError),
    ],
)  # fmt: skip
def test_what_is_refused_changes_no_schedule(make, steps, method, argument, error):
    optimizer = two_groups()
    schedule = make(optimizer)
    for _ in range(steps):
        schedule.step()
    before = copy.deepcopy((schedule.state_dict(), optimizer.state_dict()))
    with pytest.raises(error, match=r"expected .*, got .*"):
        getattr(schedule, method)(*argument)
    assert (schedule.state_dict(), optimizer.state_dict()) == before


@pytest.mark.parametrize("make", [
    lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3),
    lambda o: schedulers.SequentialLR(o, [schedulers.StepLR(o, 3), schedulers.StepLR(o, 3)], [4]),
])  # fmt: skip
def test_a_composed_schedule_also_refuses_another_number_of_groups(make):
    optimizer = sgd()
    schedule = make(optimizer)
    optimizer.add_param_group({"parameters": [np.zeros(2)], "gradients": [np.zeros(2)]})
    before = copy.deepcopy((schedule.state_dict(), schedule.get_last_lr()))
    with pytest.raises(StateError, match="expected 1 parameter groups, got 2; add groups first"):
        schedule.step()
    assert (schedule.state_dict(), schedule.get_last_lr()) == before


@pytest.mark.parametrize("metric", ["x", "3", None, [1.0, 2.0], np.ones(2), 1j, {}])
def test_a_metric_is_a_number(metric):
    schedule = schedulers.ReduceLROnPlateau(sgd(), patience=0)
    schedule.step(1.0)
    before = schedule.state_dict()
    with pytest.raises(OptionError, match=r"ReduceLROnPlateau expected metrics to be the metric to watch, a number"):
        schedule.step(metric)
    assert schedule.state_dict() == before


def test_a_plateau_restarts():
    schedule = schedulers.ReduceLROnPlateau(sgd(), patience=0, cooldown=3)
    before = schedule.state_dict()
    for _ in range(3):
        schedule.step(1.0)
    assert schedule.get_last_lr() == [pytest.approx(0.01)]
    schedule.restart()
    assert schedule.state_dict() == before and schedule.get_last_lr() == [0.1]


@pytest.mark.parametrize("value", ["x", None, [1], True])
def test_a_state_of_other_types_is_refused(value):
    inner = [schedulers.StepLR, schedulers.ExponentialLR]
    optimizer = sgd()
    schedule = schedulers.SequentialLR(optimizer, [kind(optimizer, 1) for kind in inner], [4])
    state = copy.deepcopy(schedule.state_dict())
    state["last_epoch"] = 2
    state["states"][0]["last_epoch"] = 2
    state["states"][1]["last_epoch"] = value
    before = copy.deepcopy(schedule.state_dict())
    with pytest.raises(StateError, match="ExponentialLR expected 'last_epoch' of a state to be like 0, got"):
        schedule.load_state_dict(state)
    assert schedule.state_dict() == before


def test_a_refused_schedule_leaves_no_initial_rate():
    optimizer = sgd(0.1)
    with pytest.raises(OptionError, match="lr_lambda"):
        schedulers.LambdaLR(optimizer, lambda t: "x")
    optimizer.param_groups[0]["learning_rate"] = 0.5
    assert schedulers.StepLR(optimizer, 3).base_rates == [0.5]


@pytest.mark.parametrize("clip", [utils.clip_grad_norm_, utils.clip_grad_value_])
def test_gradients_that_cannot_be_written_are_refused_before_any_is_scaled(clip):
    fixed = np.full(2, 3.0)
    fixed.flags.writeable = False
    g = np.full(2, 3.0)
    for gradients in ([g, fixed], 3, layers.Dense(2, 1)):
        with pytest.raises(DTypeError, match=rf"{clip.__name__} expected .*; pass model\.gradients\(\)"):
            clip(gradients, 1)
    assert g.tolist() == [3, 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda o, junk: schedulers.LambdaLR(o, junk),
        lambda o, junk: schedulers.MultiStepLR(o, junk),
        lambda o, junk: schedulers.OneCycleLR(o, junk, 9),
        lambda o, junk: schedulers.SequentialLR(o, junk, []),
        lambda o, junk: schedulers.CosineAnnealingLR(o, junk),
        lambda o, junk: schedulers.StepLR(o, 1).load_state_dict(
            {**schedulers.StepLR(o, 1).state_dict(), "gamma": junk}
        ),
    ],
)
@pytest.mark.parametrize("junk", [np.array("x"), 10**400, object()])
def test_arguments_that_no_loop_or_float_takes_are_refused(make, junk):
    optimizer = sgd()
    with pytest.raises((OptionError, StateError), match=r"LR expected .*, got "):
        make(optimizer, junk)
    assert optimizer.param_groups[0]["learning_rate"] == 0.1


@pytest.mark.parametrize("epoch", [-1, 1.5, float("inf"), 10**400])
def test_the_epoch_of_a_state_is_an_integer(epoch):
    schedule = schedulers.CosineAnnealingLR(sgd(), 5)
    with pytest.raises(StateError, match="CosineAnnealingLR expected 'last_epoch' of a state to be like 0"):
        schedule.load_state_dict({**schedule.state_dict(), "last_epoch": epoch})


def test_norm_clipped_to_infinity_is_returned_alone():
    g = np.array([3.0, 4.0], np.float32)
    assert utils.clip_grad_norm_([g], np.inf) == 5 and g.tolist() == [3, 4]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_warm_restart_begins_the_next_period_exactly_at_its_boundary(factor):
    """After ``step(T_0)`` the rates are those of a schedule that came there step by step."""

    def schedule():
        layer = layers.Dense(1, 1)
        optimizer = optimizers.SGD(layer.parameters(), layer.gradients(), learning_rate=1.0)
        return schedulers.CosineAnnealingWarmRestarts(optimizer, 4, factor)

    jumped, walked = schedule(), schedule()
    jumped.step(4)
    for _ in range(4):
        walked.step()
    for _ in range(12):
        assert jumped.get_last_lr() == pytest.approx(walked.get_last_lr(), rel=1e-12)
        jumped.step()
        walked.step()
