"""Optimizers against their formulas, step by step, by both drivers."""

import pickle

import numpy as np
import pytest

from numpyml import Tensor, is_recording, no_grad
from numpyml.errors import OptionError, StateError
from numpyml.nn import Parameter, activations, layers, losses, model
from numpyml.nn.optimizers import SGD, Adam, AdamW, Optimizer
from numpyml.nn.optimizers.options import NonNegative


def net():
    return model.Sequential(layers.Dense(5, 4, dtype=np.float64), activations.ReLU(), layers.Dense(4, 2, dtype="f8"))


def sgd(p, g, state, t, learning_rate, momentum, dampening, weight_decay, nesterov, maximize):
    g = (-g if maximize else g) + weight_decay * p
    if momentum:
        state["b"] = g if t == 1 else momentum * state["b"] + (1 - dampening) * g
        g = g + momentum * state["b"] if nesterov else state["b"]
    return p - learning_rate * g


def adam(p, g, state, t, learning_rate, betas, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay):
    g = -g if maximize else g
    if decoupled_weight_decay:
        p = p - learning_rate * weight_decay * p
    else:
        g = g + weight_decay * p
    state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g * g
    if amsgrad:
        v = state["largest"] = np.maximum(state.get("largest", 0), v)
    return p - learning_rate * state["m"] / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


SGD_OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True},
    {"weight_decay": 0.1, "maximize": True},
]
ADAM_OPTIONS = [
    {},
    {"betas": (0.0, 0.5), "eps": 1e-3},
    {"amsgrad": True, "weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    {"weight_decay": 0.1, "maximize": True, "amsgrad": True},
]
CASES = [(SGD, sgd, o) for o in SGD_OPTIONS] + [(Adam, adam, o) for o in ADAM_OPTIONS]


@pytest.mark.parametrize(("kind", "formula", "options"), CASES)
@pytest.mark.parametrize("shape", [(3,), (7, 5), (70_001,), ()])
def test_every_step_follows_the_formula(rng, kind, formula, options, shape):
    p, g = rng.standard_normal((2, *shape)) if shape else (np.array(1.5), np.array(0.5))
    optimizer = kind([p], [g], learning_rate=0.1, **options)
    expected, state = p.copy(), {}
    for t in range(1, 6):
        g[...] = rng.standard_normal(shape)
        expected = formula(expected, g, state, t, **optimizer.defaults)
        before = g.copy()
        optimizer.step()
        np.testing.assert_allclose(p, expected, rtol=1e-12, atol=1e-12)
        assert np.array_equal(g, before)


@pytest.mark.parametrize(("kind", "formula", "options"), CASES)
def test_contiguous_parameters_are_updated_as_if_alone(rng, kind, formula, options):
    a = net()
    apart = [p.copy() for p in a.parameters()]
    gradients = [g.copy() for g in a.gradients()]
    together, alone = kind(a.parameters(), a.gradients(), **options), kind(apart, gradients, **options)
    for _ in range(3):
        for g, h in zip(a.gradients(), gradients, strict=True):
            g[...] = h[...] = rng.standard_normal(g.shape)
        together.step()
        alone.step()
    for p, q in zip(a.parameters(), apart, strict=True):
        np.testing.assert_array_equal(p, q)
    for s, t in zip(together.state, alone.state, strict=True):
        assert list(s) == list(t)
        for name in s:
            np.testing.assert_array_equal(s[name], t[name])


def test_arrays_that_are_not_contiguous_are_updated_in_place(rng):
    p, g = rng.standard_normal((2, 6, 4))
    before = p.copy()
    SGD([p[::2].T], [g[::2].T], learning_rate=1.0).step()
    np.testing.assert_allclose(p[::2], before[::2] - g[::2])
    assert np.array_equal(p[1::2], before[1::2])


def test_memory_between_two_views_of_one_buffer_is_not_written():
    def views(buffer):
        return [buffer[:40].view(np.float32), buffer[64:104].view(np.float32)]

    parameters, gradients = np.zeros((2, 128), np.uint8)
    gradients[:] = np.ones(32, np.float32).view(np.uint8)
    optimizer = SGD(views(parameters), views(gradients), learning_rate=1.0)
    optimizer.step()
    optimizer.zero_grad()
    assert not parameters[40:64].any() and gradients[40:64].any()
    assert all((p == -1).all() for p in views(parameters))


def test_memory_between_two_parts_of_one_parameter_is_not_written():
    parameter = Parameter(np.zeros(32))
    parameter.grad[...] = 1
    parts = [[x[:10], x[16:26]] for x in (parameter.data, parameter.grad)]
    SGD(*parts, learning_rate=1.0).step()
    assert not parameter.data[10:16].any() and (parameter.data[16:26] == -1).all()


def test_groups_have_their_own_options_and_can_be_changed(rng):
    a = net()
    for g in a.gradients():
        g[...] = 1
    before = [p.copy() for p in a.parameters()]
    first = {"parameters": a.parameters()[:2], "gradients": a.gradients()[:2], "learning_rate": 1.0}
    second = {"parameters": a.parameters()[2:], "gradients": a.gradients()[2:]}
    optimizer = SGD([first, second], learning_rate=0.5)
    optimizer.step()
    optimizer.param_groups[1]["learning_rate"] = 2.0
    optimizer.step()
    for p, q, moved in zip(a.parameters(), before, [2, 2, 2.5, 2.5], strict=True):
        np.testing.assert_allclose(p, q - moved)


@pytest.mark.parametrize("frozen", [False, True])
def test_zero_grad_fills_every_gradient(frozen):
    a = net()
    for g in a.gradients():
        g[...] = 1
    a[0].requires_grad_(not frozen)
    SGD(a.parameters(), a.gradients()).zero_grad()
    assert not any(g.any() for g in a.gradients())


def test_frozen_parameters_and_their_state_are_unchanged():
    a = net()
    for g in a.gradients():
        g[...] = 1
    optimizer = Adam(a.parameters(), a.gradients(), weight_decay=0.1)
    optimizer.step()
    a[0].requires_grad_(False)
    before = [p.copy() for p in a.parameters()]
    optimizer.step()
    assert np.array_equal(before[0], a[0].weight.data) and not np.array_equal(before[2], a[2].weight.data)
    assert [s["step"] for s in optimizer.state] == [1, 1, 2, 2]
    a[0].requires_grad_(True)
    optimizer.step()
    assert [s["step"] for s in optimizer.state] == [2, 2, 3, 3]
    assert not np.array_equal(before[0], a[0].weight.data)


@pytest.mark.parametrize(("kind", "formula", "options"), CASES)
def test_a_restored_optimizer_continues_with_the_same_bits(rng, kind, formula, options):
    a = net()
    optimizer = kind(a.parameters(), a.gradients(), **options)
    steps = rng.standard_normal((6, 4, 50))

    def walk(module, o, gradients):
        for rows in gradients:
            for g, row in zip(module.gradients(), rows, strict=True):
                g[...] = row[: g.size].reshape(g.shape)
            o.step()

    walk(a, optimizer, steps[:3])
    saved = pickle.loads(pickle.dumps((a.state_dict(), optimizer.state_dict())))
    walk(a, optimizer, steps[3:])
    b = net()
    b.load_state_dict(saved[0])
    other = kind(b.parameters(), b.gradients())
    other.load_state_dict(saved[1])
    walk(b, other, steps[3:])
    assert all(np.array_equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_adam_with_zero_beta1_forgets_a_huge_gradient():
    p, g = np.zeros(1, np.float32), np.array([1e30], np.float32)
    optimizer = Adam([p], [g], betas=(0.0, 0.999))
    optimizer.step()
    g[...] = 1
    optimizer.step()
    assert optimizer.state[0]["exp_avg"] == 1


def test_a_decay_too_small_for_float32_beside_1_is_not_rounded_away():
    """1 − 10⁻⁵ has two digits of its 10⁻⁵ left in float32; a thousand steps of it would be 0.1 % of the decay off."""
    p, g = np.ones(1000, np.float32), np.zeros(1000, np.float32)
    p *= np.linspace(1, 2, 1000, dtype=np.float32)
    before = p.astype(np.float64)
    optimizer = AdamW([p], [g], learning_rate=1e-3, weight_decay=1e-2)
    for _ in range(1000):
        optimizer.step()
    assert abs(np.mean(p / before) - (1 - 1e-5) ** 1000) < 1e-6


class NormalizedSGD(Optimizer):
    """The sign of the gradient, scaled by its Frobenius norm, with the mean of the norms as state."""

    state_arrays = ("mean_norm",)

    def __init__(self, parameters, gradients=None, learning_rate: NonNegative = 0.1, memory: NonNegative = 0.5):
        super().__init__(parameters, gradients, locals())

    def initial_state(self, p, options):
        return {"mean_norm": np.zeros((), p.dtype)}

    def update(self, p, g, state, options):
        state["mean_norm"] += (1 - options["memory"]) * (np.linalg.norm(g) - state["mean_norm"])
        p -= options["learning_rate"] * state["mean_norm"] / (1 - options["memory"] ** state["step"]) * np.sign(g)


def filled(module, rng):
    for g in module.gradients():
        g[...] = rng.standard_normal(g.shape)


def test_other_optimizers_are_given_each_parameter_in_its_own_shape(rng):
    a = net()
    filled(a, rng)
    before = [p.copy() for p in a.parameters()]
    first = {"parameters": a.parameters()[:2], "gradients": a.gradients()[:2], "learning_rate": 1.0}
    second = {"parameters": a.parameters()[2:], "gradients": a.gradients()[2:]}
    optimizer = NormalizedSGD([first, second])
    optimizer.step()
    for p, q, g, rate in zip(a.parameters(), before, a.gradients(), [1, 1, 0.1, 0.1], strict=True):
        np.testing.assert_allclose(p, q - rate * np.linalg.norm(g) * np.sign(g), rtol=1e-12)
    optimizer.param_groups[0]["learning_rate"] = 0.0
    optimizer.step()
    assert np.array_equal(a.parameters()[0], before[0] - np.linalg.norm(a.gradients()[0]) * np.sign(a.gradients()[0]))
    with pytest.raises(OptionError, match="learning_rate"):
        optimizer.param_groups[1]["learning_rate"] = -1


def test_other_optimizers_leave_frozen_parameters_alone(rng):
    a = net()
    filled(a, rng)
    optimizer = NormalizedSGD(a.parameters(), a.gradients())
    optimizer.step()
    a[0].requires_grad_(False)
    before = [p.copy() for p in a.parameters()]
    optimizer.step()
    assert [np.array_equal(p, q) for p, q in zip(a.parameters(), before, strict=True)] == [True, True, False, False]
    assert [s["step"] for s in optimizer.state] == [1, 1, 2, 2]
    a[0].requires_grad_(True)
    optimizer.step()
    assert [s["step"] for s in optimizer.state] == [2, 2, 3, 3]
    optimizer.zero_grad()
    assert not any(g.any() for g in a.gradients())


def test_other_optimizers_are_saved_and_restored(rng):
    a, b = net(), net()
    b.load_state_dict(a.state_dict())
    first, second = NormalizedSGD(a.parameters(), a.gradients()), NormalizedSGD(b.parameters(), b.gradients())
    filled(a, rng)
    first.step()
    b.load_state_dict(a.state_dict())
    second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    filled(a, rng)
    for g, h in zip(a.gradients(), b.gradients(), strict=True):
        h[...] = g
    first.step()
    second.step()
    assert all(np.array_equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    saved = first.state_dict()
    saved["state"][0]["mean_norm"] = np.zeros(3)
    with pytest.raises(StateError, match=r"'mean_norm' of parameter 0 to be floats of shape \(\), got"):
        first.load_state_dict(saved)


def test_custom_optimizer_in_two_lines(rng):
    class Signed(Optimizer):
        def __init__(self, parameters, gradients):
            super().__init__(parameters, gradients, {})

        def update(self, p, g, state, options):
            p -= np.linalg.norm(g) * np.sign(g)

    p, g = np.zeros((2, 2)), np.array([[3.0, 0.0], [0.0, -4.0]])
    optimizer = Signed([p], [g])
    assert optimizer.step() is None
    assert p.tolist() == [[-5, 0], [0, 5]] and optimizer.state == [{"step": 1}]
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("kind", [SGD, Adam, NormalizedSGD])
def test_a_closure_computes_the_gradients_and_its_loss_is_returned(rng, kind):
    a, x, y = net(), rng.standard_normal((3, 5)), rng.standard_normal((3, 2))
    loss, before = losses.MeanSquaredError(), [p.copy() for p in a.parameters()]
    optimizer = kind(a.parameters(), a.gradients())

    def closure():
        assert is_recording()
        optimizer.zero_grad()
        value = loss(a(Tensor(x)), Tensor(y))
        value.backward()
        return value

    with no_grad():
        value = optimizer.step(closure)
        assert not is_recording()
    assert isinstance(value, Tensor) and value.item() > closure().item()
    assert not any(np.array_equal(p, q) for p, q in zip(a.parameters(), before, strict=True))


def test_a_name_for_type_checkers_alone_declares_no_range():
    class Own(Optimizer):
        def __init__(self, parameters, gradients=None, learning_rate: "OnlyForTypeCheckers" = 0.1):  # noqa: F821  # that is the case
            super().__init__(parameters, gradients, locals())

    assert Own([np.ones(2)], [np.zeros(2)]).defaults == {"learning_rate": 0.1}
