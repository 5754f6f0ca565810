"""Modules: copies, state dicts, freezing, modes, repr."""

import copy
import pickle

import numpy as np
import pytest
from models import Double, Residual, small_net

import numpyml
from numpyml import Tensor
from numpyml.errors import CallOrderError, DTypeError, NumpymlError, ShapeError, StateError
from numpyml.nn import Module, Parameter, activations, layers, losses, model


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_computes_the_same_and_is_independent(x, duplicate):
    net = small_net()
    net.forward(x)
    net.backward(np.ones((6, 3)))
    other = duplicate(net)
    assert np.array_equal(other.forward(x), net.forward(x))
    assert all(np.array_equal(a, b) for a, b in zip(net.gradients(), other.gradients(), strict=True))
    other.parameters()[0][...] = 0
    assert net.parameters()[0].any()


def test_a_copy_keeps_shared_parameters_shared():
    layer = layers.Dense(2, 2)
    other = copy.deepcopy(model.Sequential(layer, layer))
    assert other[0] is other[1]


def test_state_dict_round_trip(x):
    source, target = small_net(), small_net()
    target.parameters()[0][...] = 7
    arrays = target.parameters()
    target.load_state_dict(source.state_dict())
    assert np.array_equal(source.forward(x), target.forward(x))
    assert all(a is b for a, b in zip(arrays, target.parameters(), strict=True))
    names = ["0.weight", "0.bias", "2.scale", "2.inner.weight", "2.inner.bias", "3.weight", "3.bias"]
    assert list(source.state_dict()) == names


def test_a_state_dict_is_a_snapshot(x):
    net = small_net()
    state = net.state_dict()
    before = state["0.weight"].copy()
    net.parameters()[0][...] += 1
    assert np.array_equal(state["0.weight"], before)


def test_a_wrong_state_dict_lists_every_problem_and_loads_nothing():
    net = small_net()
    before = net.state_dict()
    state = {**before, "0.weight": np.zeros((2, 2)), "extra": np.zeros(1), "3.bias": np.array(["a"] * 3)}
    del state["0.bias"]
    with pytest.raises(StateError) as caught:
        net.load_state_dict(state)
    for problem in ("0.bias is missing", "extra is not in this model", "0.weight should have shape (5, 4)", "3.bias"):
        assert problem in str(caught.value)
    assert all(np.array_equal(before[name], value) for name, value in net.state_dict().items())


def test_shared_parameters_that_disagree_are_refused():
    layer = layers.Dense(2, 2)
    net = model.Sequential(layer, layer)
    state = net.state_dict()
    state["1.weight"] = state["1.weight"] + 1
    with pytest.raises(StateError, match=r"1\.weight differs from 0\.weight"):
        net.load_state_dict(state)


def test_a_frozen_parameter_gets_no_gradient(x):
    net = small_net()
    net[0].requires_grad_(False)
    net.forward(x)
    net.backward(np.ones((6, 3)))
    assert not net[0].weight.grad.any() and not net[0].bias.grad.any()
    assert net[3].weight.grad.any()
    net.requires_grad_()
    net.forward(x)
    net.backward(np.ones((6, 3)))
    assert net[0].weight.grad.any()


def test_a_frozen_model_on_plain_data_records_nothing(x):
    assert small_net().requires_grad_(False)(Tensor(x)).node is None


def test_train_and_eval_reach_every_module():
    net = model.Sequential(layers.Dropout(), model.Sequential(layers.Dropout()))
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_parameter_is_written_in_place_and_never_rebound():
    p = Parameter(np.arange(3))
    array, grad = p.data, p.grad
    p.data = [4, 5, 6]
    p.data -= 1
    p.grad += 2
    assert p.data is array and p.grad is grad
    assert np.array_equal(array, [3, 4, 5]) and np.array_equal(grad, [2, 2, 2])
    assert array.dtype == np.float32
    with pytest.raises(ShapeError, match=r"its own shape \(3,\)"):
        p.data = np.zeros((2, 2))


@pytest.mark.parametrize("data", [np.array(["a"]), np.array([1j])])
def test_parameter_data_that_is_not_real_is_refused(data):
    with pytest.raises(DTypeError, match="expected real data"):
        Parameter(data)


def test_repr_reads_like_the_constructor_call():
    assert repr(layers.Dense(25, 1)) == "Dense(25, 1)"
    assert repr(layers.Dense(2, 1, bias=False, dtype=np.float64)) == "Dense(2, 1, bias=False, dtype='float64')"
    assert repr(layers.Dropout(0.2)) == "Dropout(p=0.2)"
    assert repr(losses.CrossEntropyWithLogits(ignore_index=3)) == "CrossEntropyWithLogits(ignore_index=3)"
    assert repr(losses.CrossEntropyWithLogits(np.ones(3))) == "CrossEntropyWithLogits(weight=array of shape (3,))"
    assert repr(Residual(5, depth=3)) == "Residual(5, depth=3)"
    assert repr(Double()) == "Double()"


class Chain(Module):
    def __init__(self, modules):
        self.chain = model.ModuleList(modules)

    def forward(self, x):
        for layer in self.chain:
            x = layer(x)
        return x


def test_state_dict_that_is_not_strict_loads_what_both_have():
    net = model.Sequential(layers.Dense(2, 2), layers.Dense(2, 1))
    state = net.state_dict()
    before = state.pop("1.bias")
    keys = net.load_state_dict({**{name: x + 1 for name, x in state.items()}, "other": np.zeros(1)}, strict=False)
    assert keys.missing_keys == ["1.bias"] and keys.unexpected_keys == ["other"]
    assert np.array_equal(net.state_dict()["1.bias"], before)
    assert all(np.array_equal(net.state_dict()[name], x + 1) for name, x in state.items())
    assert net.load_state_dict(net.state_dict()) == ([], [])
    with pytest.raises(StateError, match=r"1\.bias is missing; other is not in this model"):
        net.load_state_dict({**state, "other": np.zeros(1)})
    with pytest.raises(StateError, match=r"0\.weight should have shape"):
        net.load_state_dict({"0.weight": np.zeros(3)}, strict=False)


def test_str_shows_the_modules_inside():
    net = Residual(5, depth=1)
    assert str(net) == f"Residual(5, depth=1, {', '.join(f'{n}={m}' for n, m in net.named_children())})"
    assert list(net.named_children()) and str(layers.Dense(2, 1)) == "Dense(2, 1)"
    stack = model.Sequential(layers.Dense(2, 1))
    assert str(stack) == repr(stack)


def test_repr_of_an_argument_with_the_name_of_a_method_shows_what_is_inside():
    assert repr(Chain([layers.Dense(2, 1)])) == "Chain(chain=ModuleList([Dense(2, 1)]))"


def test_every_error_is_a_numpyml_error():
    for error in (ShapeError, DTypeError, CallOrderError, StateError):
        assert issubclass(error, NumpymlError)


def test_module_without_functions_is_an_error(x):
    with pytest.raises(NotImplementedError, match="Empty defines neither forward nor both compute and pullback"):
        type("Empty", (Module,), {})().forward(x)


def test_a_parameter_is_not_replaced_by_mistake(x):
    layer = layers.Dense(4, 3)
    with pytest.raises(CallOrderError, match=r"p\.data \+= \.\.\."):
        layer.weight -= 0.1
    with pytest.raises(DTypeError, match=r"weight\.data = "):
        layer.weight = np.zeros((3, 4))
    with pytest.raises(DTypeError, match=r"weight\.data = "):
        layer.weight = layer.weight * 2
    before, array = layer.weight.data.copy(), layer.weight.data
    with numpyml.no_grad():
        layer.weight -= 0.5
        layer.weight *= 2
    assert layer.weight.data is array
    np.testing.assert_allclose(array, (before - 0.5) * 2)
    layer.bias = None
    assert len(layer.parameters()) == 1


def test_reference_to_the_parent_is_not_followed():
    class Node(Module):
        def __init__(self, parent=None):
            self.layer = layers.Dense(1, 1)
            if parent is None:
                self.child = Node(self)
            else:
                self.parent = parent

    assert list(Node().state_dict()) == ["layer.weight", "layer.bias", "child.layer.weight", "child.layer.bias"]


def test_error_of_a_shared_layer_names_its_position():
    layer = layers.Dense(3, 2)
    net = model.Sequential(model.Sequential([layer, activations.ReLU(), layer]))
    with pytest.raises(ShapeError, match=r"^Sequential\[0\]\[2\] Dense\(3, 2\)"):
        net.forward(np.ones((1, 3), np.float32))


@pytest.mark.parametrize("bad", [None, 3, "state"])
def test_a_state_dict_is_a_dict(bad):
    with pytest.raises(DTypeError, match="expected a dict of arrays"):
        small_net().load_state_dict(bad)


def test_mode_must_be_true_or_false():
    with pytest.raises(ValueError, match="mode to be True or False"):
        small_net().train("off")
    with pytest.raises(DTypeError, match="requires_grad expected True or False"):
        small_net().requires_grad_("no")


@pytest.mark.parametrize("gradients", [(), (1, 2), ([[1.0], [1.0, 2.0]],), ("x",), (None,)])
def test_a_refused_gradient_leaves_the_record_and_has_a_remedy(x, gradients):
    net = small_net()
    y = net.forward(x)
    with pytest.raises(
        ShapeError, match=r"backward expected .*, got .*; pass the gradient of the loss with respect to"
    ):
        net.backward(*gradients)
    net.backward(np.ones_like(y))


def test_rows_of_several_lengths_are_refused_by_name():
    with pytest.raises(ShapeError, match=r"Dense\(3, 2\) expected an array, got .*; pass rows of one length"):
        layers.Dense(3, 2).forward([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("values", ["xy", [1j, 1j], [1, "x"], [[1], [1, 2]], None])
def test_a_parameter_refuses_values_that_are_not_real(values):
    parameter = Parameter([1.0, 2.0])
    with pytest.raises(
        (DTypeError, ShapeError),
        match=r"Parameter expected values of its own shape \(2,\) and a real dtype, got .*; pass",
    ):
        parameter.data = values
    assert parameter.data.tolist() == [1, 2]


def test_a_ragged_entry_of_a_state_dict_is_listed():
    layer = layers.Dense(3, 2)
    with pytest.raises(StateError, match=r"weight should have shape \(2, 3\), got .*; pass the state_dict\(\) of"):
        layer.load_state_dict({**layer.state_dict(), "weight": [[1.0], [1.0, 2.0]]})
