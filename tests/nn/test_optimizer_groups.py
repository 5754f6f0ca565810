"""Optimizers: parameter groups, options, state dicts and bad input."""

import copy
import gc
import inspect
import os
import pickle
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from numpyml import is_recording, no_grad
from numpyml.errors import DTypeError, OptionError, OwnershipError, ShapeError, StateError
from numpyml.nn import activations, layers, model
from numpyml.nn.optimizers import SGD, Adam, AdamW


def net():
    return model.Sequential(layers.Dense(5, 4, dtype=np.float64), activations.ReLU(), layers.Dense(4, 2, dtype="f8"))


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_state_arrays_are_in_the_same_order_in_every_process(seed):
    """Sets of strings are in another order in every process."""
    code = """if True:
        import numpy as np
        from numpyml.nn.optimizers import Adam
        optimizer = Adam([np.ones(2)], [np.ones(2)], amsgrad=True)
        optimizer.step()
        saved = optimizer.state_dict()
        optimizer.load_state_dict(saved)
        print(*saved["state"][0], *optimizer.state[0])"""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.split() == 2 * ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]


def stepped(kind, **options):
    parameters = [p.copy() for p in net().parameters()]
    optimizer = kind(parameters, [np.ones_like(p) for p in parameters], **options)
    optimizer.step()
    return optimizer


def flat(state_dict):
    """A state dict as something that == compares."""
    states = {
        (i, k): v.tolist() if isinstance(v, np.ndarray) else v
        for i, s in state_dict["state"].items()
        for k, v in s.items()
    }
    return states, state_dict["param_groups"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["state"][0].update(exp_avg=np.zeros(3)),
            r"'exp_avg' of parameter 0 to be floats of shape \(4, 5\)",
        ),
        (lambda d: d["state"][1].update(exp_avg=np.zeros(4, int)), "'exp_avg' of parameter 1 to be floats"),
        (lambda d: d["state"][1].update(exp_avg=np.zeros(4, complex)), "'exp_avg' of parameter 1 to be floats"),
        (lambda d: d["state"][1].update(exp_avg=[[1.0], 2.0]), "'exp_avg' of parameter 1 to be floats"),
        (lambda d: d["state"][1].update(exp_avg=None), "'exp_avg' of parameter 1 to be floats"),
        (lambda d: d["state"][1].pop("exp_avg_sq"), r"\['exp_avg_sq'\] of parameter 1"),
        (lambda d: d["state"][1].update(momentum_buffer=np.zeros(4)), "of parameter 1 only 'step' and"),
        (lambda d: d["state"][2].pop("step"), "'step' of parameter 2 to be an integer of 0 or more, got None"),
        (lambda d: d["state"][2].update(step=-1), "'step' of parameter 2"),
        (lambda d: d["state"][2].update(step=1.5), "'step' of parameter 2"),
        (lambda d: d["state"][2].update(step=True), "'step' of parameter 2"),
        (lambda d: d["state"].update({4: d["state"][0]}), "each of the parameters 0 to 3, got 4"),
        (lambda d: d["state"].update({"0": d["state"][0]}), "each of the parameters 0 to 3, got '0'"),
        (lambda d: d["state"].update({3: None}), "each of the parameters 0 to 3, got 3: None"),
        (lambda d: d.pop("state"), "a mapping of 'state'"),
        (lambda d: d.update(param_groups=3), "a mapping of 'state'"),
        (lambda d: d["param_groups"].append({}), "groups of the parameters"),
        (lambda d: d["param_groups"][0]["parameters"].reverse(), "groups of the parameters"),
        (lambda d: d["param_groups"][0].update(lr=1), r"got \['lr'\]"),
        (lambda d: d["param_groups"][0].update(eps=-1), "options in range in group 0, where Adam expected eps"),
    ],
)
def test_an_invalid_state_dict_is_an_error_and_changes_nothing(change, message):
    optimizer = stepped(Adam)
    before = optimizer.state_dict()
    wrong = copy.deepcopy(before)
    wrong["param_groups"][0]["learning_rate"] = 7
    wrong["state"][0]["exp_avg_sq"] += 1
    change(wrong)
    with pytest.raises(StateError, match=message):
        optimizer.load_state_dict(wrong)
    assert flat(optimizer.state_dict()) == flat(before)


@pytest.mark.parametrize("wrong", [None, 3, [], "state"])
def test_a_state_that_is_no_dict_is_an_error(wrong):
    with pytest.raises(StateError, match="a mapping of 'state'"):
        stepped(SGD).load_state_dict(wrong)


def test_every_problem_of_a_state_dict_is_listed():
    optimizer = stepped(Adam)
    with pytest.raises(StateError) as caught:
        optimizer.load_state_dict(stepped(SGD, momentum=0.9).state_dict())
    for part in (
        "group 0 with options",
        "'momentum', 'dampening'",
        "parameter 0 only",
        "parameter 3 only",
        "exp_avg_sq",
    ):
        assert part in str(caught.value)


def test_state_of_the_other_optimizer_is_an_error():
    for kind, other in ((SGD, Adam), (Adam, SGD)):
        with pytest.raises(StateError, match="Nothing was loaded"):
            stepped(kind).load_state_dict(stepped(other).state_dict())


@pytest.mark.parametrize(("kind", "name", "on", "off"), [(SGD, "momentum", 0.9, 0), (Adam, "amsgrad", True, False)])
def test_state_loads_also_where_an_option_was_switched_after_the_step(kind, name, on, off):
    for first, then in ((on, off), (off, on)):
        optimizer = stepped(kind, **{name: first})
        optimizer.param_groups[0][name] = then
        other = stepped(kind)
        other.load_state_dict(optimizer.state_dict())
        assert flat(other.state_dict()) == flat(optimizer.state_dict())
        other.step()


def test_loaded_state_is_a_copy_in_the_dtype_of_the_parameter():
    saved = stepped(SGD, momentum=0.9).state_dict()
    other = net()
    for i, state in saved["state"].items():
        saved["state"][i] = {**state, "momentum_buffer": state["momentum_buffer"].astype(np.float32)}
    optimizer = SGD(other.parameters(), other.gradients())
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert all(s["momentum_buffer"].dtype == np.float64 for s in optimizer.state)
    assert all((s["momentum_buffer"] == 1).all() for s in saved["state"].values())


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
def test_every_way_to_change_a_group_is_validated(change):
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


def test_list_option_is_copied_so_later_changes_cannot_bypass_validation():
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
        (lambda a, b: (a.parameters(), 0.1), DTypeError, r"model\.gradients\(\), and options by .* learning_rate=0\.1"),
        (lambda a, b: (a,), DTypeError, r"as parameters, got a Sequential; pass model\.parameters\(\), model\.grad"),
        (
            lambda a, b: (a, 0.1),
            DTypeError,
            r"as parameters, got a Sequential; pass model\.parameters\(\), model\.grad",
        ),
        (lambda a, b: (a.parameters, a.gradients), DTypeError, r"pass model\.parameters\(\), model\.gradients\(\)"),
        (lambda a, b: (a[0].weight, a[0].weight.grad), DTypeError, "expected a list of arrays as parameters, got"),
        (lambda a, b: ({"parameters": a.parameters()},), DTypeError, "expected a list of arrays as parameters, got"),
        (lambda a, b: ([{"parameters": a, "gradients": a}],), DTypeError, "got a Sequential"),
        (lambda a, b: ([a[0].weight],), OwnershipError, r"pass model\.parameters\(\), .*\(\), both as arrays"),
        (lambda a, b: ([a[0].weight], [a[0].weight.grad]), DTypeError, r"got a Parameter; .* \.data and \.grad"),
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


def test_replaced_layer_is_detected_once_it_is_garbage_collected():
    a = net()
    optimizer = SGD(a.parameters(), a.gradients())
    held, a.layers[0] = a.layers[0], layers.Dense(5, 4, dtype=np.float64)
    optimizer.step()
    del held
    with pytest.raises(OwnershipError, match="make a new optimizer"):
        optimizer.step()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_optimizer_is_neither_copied_nor_pickled(duplicate):
    with pytest.raises(OwnershipError, match=r"its arrays belong to a model; make a new optimizer .*state_dict\(\)"):
        duplicate(stepped(Adam))


def test_two_models_of_contiguous_parameters_do_not_touch_each_other():
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


def test_a_closure_that_fails_leaves_the_parameters_as_they_were():
    optimizer = stepped(Adam)
    before = flat(optimizer.state_dict())
    with pytest.raises(ZeroDivisionError), no_grad():
        optimizer.step(lambda: 1 / 0)
    assert flat(optimizer.state_dict()) == before and is_recording()


def test_an_option_is_declared_once_in_the_constructor():
    shown = inspect.signature(Adam).parameters
    assert list(shown)[:4] == ["parameters", "gradients", "learning_rate", "betas"]
    assert Adam([np.ones(2)], [np.ones(2)]).defaults == {
        name: shown[name].default for name in shown if name not in ("parameters", "gradients")
    }
    adamw = AdamW([np.ones(2)], [np.ones(2)]).defaults
    assert adamw["decoupled_weight_decay"] and adamw["weight_decay"] == 1e-2


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (3, "got 3"),
        ([("parameters", 1)], r"got \[\('parameters', 1\)\]"),
        ({1: 2, "parameters": []}, "got an unknown 1, no 'gradients'"),
        ({"parameters": []}, "got no 'gradients'"),
        ({"parameters": [np.ones(2)], "gradients": [np.ones(2)], "lr": 0.1}, "got an unknown 'lr'"),
    ],
)
def test_a_group_that_is_none_is_refused_and_not_added(group, message):
    optimizer = stepped(SGD)
    before = optimizer.state_dict()
    with pytest.raises(OptionError, match=rf"SGD expected a group to have 'parameters', .*, {message}; pass a dict"):
        optimizer.add_param_group(group)
    assert flat(optimizer.state_dict()) == flat(before)


def test_a_group_is_refused_as_a_whole():
    optimizer = stepped(SGD)
    own = optimizer.param_groups[0]
    before = optimizer.state_dict()
    new = {"parameters": [np.ones(2)], "gradients": [np.ones(2)]}
    for change, error in (
        ({"learning_rate": -1}, OptionError),
        ({"gradients": [np.ones(3)]}, ShapeError),
        ({"gradients": 3}, DTypeError),
        ({"parameters": own["parameters"], "gradients": own["gradients"]}, OwnershipError),
    ):
        with pytest.raises(error, match=r"SGD expected .*, got "):
            optimizer.add_param_group({**new, **change})
    assert flat(optimizer.state_dict()) == flat(before)
    optimizer.step()


@pytest.mark.parametrize("closure", [3, "loss", [None]])
def test_a_closure_that_is_no_function_is_refused(closure):
    optimizer = stepped(SGD)
    before = [p.copy() for p in optimizer.param_groups[0]["parameters"]]
    with pytest.raises(OptionError, match=r"SGD expected closure to be a function that .* or None"):
        optimizer.step(closure)
    assert all(map(np.array_equal, before, optimizer.param_groups[0]["parameters"]))


def test_a_closure_is_not_called_for_a_model_that_is_gone():
    model = net()
    optimizer = SGD(model.parameters(), model.gradients())
    del model
    gc.collect()
    calls = []
    with pytest.raises(OwnershipError, match="their model is gone"):
        optimizer.step(lambda: calls.append(1))
    assert not calls


@pytest.mark.parametrize("indices", [np.arange(4), 3, [np.arange(4)], ["0", 1, 2, 3]])
def test_parameter_indices_of_another_type_are_refused(indices):
    optimizer = stepped(SGD)
    wrong = optimizer.state_dict()
    wrong["param_groups"][0]["parameters"] = indices
    with pytest.raises(StateError, match="groups of the parameters"):
        optimizer.load_state_dict(wrong)


@pytest.mark.parametrize("arrays", [np.array("x"), 3, object()])
def test_arrays_that_are_no_list_are_refused(arrays):
    model = net()
    for pair in ((arrays, model.gradients()), (model.parameters(), arrays)):
        with pytest.raises(DTypeError, match=r"SGD expected a list of arrays as .*, got .*; pass model\.parameters"):
            SGD(*pair)


def test_a_step_count_beyond_all_training_is_refused():
    optimizer = stepped(Adam)
    wrong = optimizer.state_dict()
    wrong["state"][0]["step"] = 10**400
    with pytest.raises(StateError, match="'step' of parameter 0 to be an integer of 0 or more, got 1000"):
        optimizer.load_state_dict(wrong)
