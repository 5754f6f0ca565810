"""Optimizers against their formulas, step by step, and against bad input."""

import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from numpyml.errors import DTypeError, OptionError, OwnershipError, ShapeError, StateError
from numpyml.nn import Parameter, activations, layers, model
from numpyml.nn.optimizers import SGD, Adam


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
def test_neighbours_in_memory_are_updated_as_if_alone(rng, kind, formula, options):
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


def test_zero_grad_fills_every_gradient():
    a = net()
    for g in a.gradients():
        g[...] = 1
    SGD(a.parameters(), a.gradients()).zero_grad()
    assert not any(g.any() for g in a.gradients())


def test_zero_grad_fills_the_gradients_of_frozen_parameters_too():
    a = net()
    for g in a.gradients():
        g[...] = 1
    a[0].requires_grad_(False)
    SGD(a.parameters(), a.gradients()).zero_grad()
    assert not any(g.any() for g in a.gradients())


def test_frozen_parameters_stay_and_their_state_waits():
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
def test_a_saved_optimizer_goes_on_with_the_same_bits(rng, kind, formula, options):
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


def test_a_wrong_state_dict_changes_nothing():
    a = net()
    optimizer = Adam(a.parameters(), a.gradients())
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    wrong = copy.deepcopy(before)
    wrong["state"][0]["exp_avg"] = np.zeros(3)
    wrong["param_groups"][0]["learning_rate"] = 7
    with pytest.raises(StateError, match="'exp_avg' of parameter 0"):
        optimizer.load_state_dict(wrong)
    assert optimizer.param_groups[0]["learning_rate"] == before["param_groups"][0]["learning_rate"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SGD, {"learning_rate": -1}, "learning_rate to be a finite number of 0 or more"),
        (SGD, {"learning_rate": float("inf")}, "learning_rate to be a finite"),
        (SGD, {"momentum": -0.1}, "momentum"),
        (SGD, {"weight_decay": float("nan")}, "weight_decay"),
        (SGD, {"nesterov": True}, "nesterov to be False where momentum is 0"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov to be False"),
        (SGD, {"maximize": 1}, "maximize to be True or False"),
        (Adam, {"betas": (0.9, 1.0)}, "betas to be below 1"),
        (Adam, {"betas": (-0.1, 0.9)}, "betas to be a number from 0 to 1"),
        (Adam, {"betas": 0.9}, "betas to be a pair"),
        (Adam, {"eps": -1e-8}, "eps"),
        (Adam, {"learning_rate": "fast"}, "learning_rate"),
        (Adam, {"learning_rate": 10**400}, "learning_rate to be a finite"),
        (Adam, {"learning_rate": Fraction(1, 3)}, "learning_rate to be a finite"),
        (Adam, {"learning_rate": Decimal("0.1")}, "learning_rate to be a finite"),
        (Adam, {"learning_rate": True}, "learning_rate to be a finite"),
    ],
)
def test_an_option_out_of_range_is_an_error_at_once_and_later(kind, options, message):
    a = net()
    with pytest.raises(OptionError, match=message):
        kind(a.parameters(), a.gradients(), **options)
    optimizer = kind(a.parameters(), a.gradients())
    name, value = next(iter(options.items()))
    before = optimizer.param_groups[0][name]
    with pytest.raises(OptionError):
        optimizer.param_groups[0][name] = value
    assert optimizer.param_groups[0][name] == before


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.float64(0.5), np.int64(1)])
def test_a_number_may_be_pythons_or_numpys(value):
    assert SGD([np.ones(2)], [np.ones(2)], learning_rate=value).param_groups[0]["learning_rate"] == value


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group.update(learning_rate=-1),
        lambda group: group.update({"momentum": 0.5, "learning_rate": -1}),
        lambda group: group.__ior__({"learning_rate": -1}),
        lambda group: group.update(lr=0.1),
        lambda group: group.update(parameters=[]),
        lambda group: group.setdefault("lr", 0.1),
        lambda group: group.pop("learning_rate"),
        lambda group: group.popitem(),
        lambda group: group.clear(),
        lambda group: group.__delitem__("parameters"),
    ],
)
def test_no_way_into_a_group_passes_the_validation(change):
    group = SGD([np.ones(2)], [np.ones(2)]).param_groups[0]
    before = dict(group)
    with pytest.raises(OptionError, match="expected"):
        change(group)
    assert dict(group) == before


def test_options_of_a_group_that_need_each_other_are_set_together():
    group = SGD([np.ones(2)], [np.ones(2)]).param_groups[0]
    group.update(nesterov=True, momentum=0.9)
    group |= {"learning_rate": 0.5}
    assert (group["nesterov"], group["momentum"], group["learning_rate"]) == (True, 0.9, 0.5)


def test_a_list_given_as_an_option_can_not_be_changed_behind_the_validation():
    betas = [0.9, 0.99]
    group = Adam([np.ones(2)], [np.ones(2)], betas=betas).param_groups[0]
    betas[0] = 7
    assert group["betas"] == (0.9, 0.99)


@pytest.mark.parametrize("copied", [dict, copy.copy, lambda group: {**group}])
def test_a_copy_of_a_group_is_a_plain_dict(copied):
    group = SGD([np.ones(2)], [np.ones(2)]).param_groups[0]
    plain = copied(group)
    assert type(plain) is dict and plain == group
    plain["learning_rate"] = -1
    assert group["learning_rate"] == 1e-3
    assert repr(group).startswith("<group of 1 parameters: {'learning_rate': 0.001,")


def test_an_unknown_option_is_an_error():
    a = net()
    optimizer = SGD(a.parameters(), a.gradients())
    with pytest.raises(OptionError, match="expected one of its options"):
        optimizer.param_groups[0]["lr"] = 0.1
    with pytest.raises(OptionError, match="expected a group to have"):
        SGD([{"parameters": a.parameters(), "gradients": a.gradients(), "lr": 0.1}])


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (lambda a, b: ([], []), OptionError, "a model with parameters"),
        (lambda a, b: ([],), OptionError, "at least one group"),
        (lambda a, b: (a.parameters(),), OwnershipError, "got no gradients"),
        (lambda a, b: (a.parameters(), a.gradients()[1:]), OwnershipError, "4 parameters and 3 gradients"),
        (lambda a, b: (a.parameters(), a.gradients()[::-1]), ShapeError, "a gradient like parameter 0"),
        (lambda a, b: (a.parameters(), b.gradients()), OwnershipError, "a parameter and its own gradient"),
        (lambda a, b: (a.gradients(), a.parameters()), OwnershipError, "in this order"),
        (lambda a, b: (2 * a.parameters(), 2 * a.gradients()), OwnershipError, "every parameter once"),
        (lambda a, b: ([np.ones(2, int)], [np.ones(2, int)]), DTypeError, "writable arrays of floats"),
        (lambda a, b: ([[1.0]], [[1.0]]), DTypeError, "writable arrays of floats"),
    ],
)
def test_lists_that_do_not_match_are_an_error(arrays, error, message):
    a, b = net(), net()
    with pytest.raises(error, match=message):
        SGD(*arrays(a, b))


def test_parameters_that_no_longer_belong_to_the_model_are_an_error():
    a = net()
    optimizer = SGD(a.parameters(), a.gradients())
    a.layers[0] = layers.Dense(5, 4, dtype=np.float64)
    for call in (optimizer.step, optimizer.zero_grad):
        with pytest.raises(OwnershipError, match="make a new optimizer"):
            call()


def test_two_models_of_neighbouring_parameters_do_not_touch_each_other():
    a, b = net(), net()
    before = [p.copy() for p in b.parameters()]
    for g in [*a.gradients(), *b.gradients()]:
        g[...] = 1
    optimizer = SGD(a.parameters(), a.gradients())
    optimizer.step()
    optimizer.zero_grad()
    assert all(np.array_equal(p, q) for p, q in zip(b.parameters(), before, strict=True))
    assert all(g.all() for g in b.gradients())


def test_repr_shows_the_options():
    a = net()
    assert "'learning_rate': 0.25" in repr(SGD(a.parameters(), a.gradients(), 0.25))
