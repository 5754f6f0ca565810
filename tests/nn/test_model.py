"""Containers and the summary."""

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.errors import DTypeError, OptionError
from numpyml.nn import Module, Parameter, activations, layers, model


def test_sequential_takes_a_list_or_modules_or_names():
    a, b = layers.Dense(2, 3), layers.Dense(3, 1)
    for net in (model.Sequential([a, b]), model.Sequential(a, b), model.Sequential(layer for layer in (a, b))):
        assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
        assert net[0] is a and net[-1] is b and len(net) == 2 and list(net) == [a, b]
    named = model.Sequential({"first": a, "last": b})
    assert list(named.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model.Sequential(a)[0] is a


@pytest.mark.parametrize("empty", [[], {}])
def test_an_empty_model_is_an_error(empty):
    with pytest.raises(OptionError, match="at least one layer"):
        model.Sequential(empty)


@pytest.mark.parametrize("container", [model.Sequential, model.ModuleList])
def test_item_that_is_not_a_module_is_an_error(container):
    with pytest.raises(DTypeError, match=f"{container.__name__} expected modules"):
        container([layers.Dense(1, 1), np.tanh])


def test_a_module_list_is_a_list_whose_modules_belong_to_the_model(rng):
    class Tower(Module):
        def __init__(self, depth):
            self.depth = depth
            self.floors = model.ModuleList(layers.Dense(2, 2) for _ in range(depth))

        def forward(self, x):
            for floor in self.floors:
                x = np.tanh(floor(x))
            return x

    tower = Tower(3)
    assert [name for name, _ in tower.named_parameters()][:2] == ["floors.0.weight", "floors.0.bias"]
    assert len(tower.parameters()) == 6
    tower.forward(rng.standard_normal((2, 2)).astype("f"))
    tower.backward(np.ones((2, 2)))
    assert all(g.any() for g in tower.gradients())
    floors = tower.floors
    floors.append(layers.Dense(2, 1))
    floors[0] = layers.Dense(2, 2, bias=False)
    del floors[1]
    assert len(floors) == 3 and isinstance(floors[:2], model.ModuleList)
    assert list(tower.state_dict()) == [
        "floors.0.weight",
        "floors.1.weight",
        "floors.1.bias",
        "floors.2.weight",
        "floors.2.bias",
    ]
    with pytest.raises(DTypeError, match="ModuleList expected modules"):
        floors.append(3)
    floors[1:] = [layers.Dense(2, 2)]
    assert len(floors) == 2
    first, second, third = floors[0], layers.Dense(2, 2), layers.Dense(2, 2)
    floors.insert(1, second)
    floors[2] = third
    assert list(floors) == [first, second, third]
    del floors[0]
    assert list(floors) == [second, third]


def test_a_module_dict_is_a_dict_whose_modules_belong_to_the_model():
    heads = model.ModuleDict({"mean": layers.Dense(2, 1)})
    heads["spread"] = layers.Dense(2, 1, bias=False)
    assert list(heads) == ["mean", "spread"] and len(heads) == 2
    assert list(heads.state_dict()) == ["mean.weight", "mean.bias", "spread.weight"]
    with pytest.raises(DTypeError, match="ModuleDict expected modules"):
        heads["other"] = None
    del heads["mean"]
    assert list(heads.state_dict()) == ["spread.weight"]


def test_repr_of_containers_reads_like_the_constructor_call():
    net = model.Sequential([layers.Dense(2, 1), activations.ReLU()])
    assert repr(net) == "Sequential([Dense(2, 1), ReLU()])"
    assert repr(model.Sequential({"a": layers.Dense(2, 1)})) == "Sequential({'a': Dense(2, 1)})"
    assert repr(model.ModuleList([activations.ReLU()])) == "ModuleList([ReLU()])"
    assert repr(model.ModuleDict({"a": activations.ReLU()})) == "ModuleDict({'a': ReLU()})"
    long = model.Sequential([model.Sequential([layers.Dense(1000, 1000, bias=False)] * 4)] * 2)
    assert repr(long).splitlines()[:3] == ["Sequential([", "    Sequential([", "        Dense(1000, 1000, bias=False),"]


class Scaled(Module):
    """A model with a parameter of its own."""

    def __init__(self):
        self.inner = layers.Dense(3, 4)
        self.scale = Parameter(np.ones(4))

    def forward(self, x):
        return self.inner(x) * self.scale


def test_summary_shows_shapes_parameters_and_memory():
    net = model.Sequential([layers.Dense(4, 3), activations.ReLU(), Scaled(), layers.Dropout()])
    net[0].requires_grad_(False)
    text = net.summary((8, 4))
    lines = text.splitlines()
    assert lines[2].split() == ["0", "Dense(4,", "3)", "(8,", "3)", "15", "128", "B"]
    assert lines[3].split() == ["1", "ReLU()", "(8,", "3)", "0", "96", "B"]
    assert "2.inner" in text and "(8, 4)" in text
    assert "35 parameters, 20 of them trainable: 140 B" in text
    assert net.training and net[3].training
    assert "compute" not in vars(net[0])
    assert "?" in net.summary()
    assert net.summary(np.zeros((8, 4), np.float32)) == text


def test_summary_of_a_model_that_fails_leaves_it_as_it_was():
    net = model.Sequential([layers.Dense(4, 3)])
    with pytest.raises(ValueError, match="expected 4 features"):
        net.summary((8, 5))
    assert net.training and "compute" not in vars(net[0])


def test_summary_counts_the_mask_of_dropout_and_draws_nothing():
    own = np.random.default_rng(3)
    net = model.Sequential(layers.Dropout(), layers.Dropout(generator=own))
    numpyml.manual_seed(5)
    expected = net.forward(np.ones((2, 3), np.float32))
    own.bit_generator.state = np.random.default_rng(3).bit_generator.state
    numpyml.manual_seed(5)
    assert net.summary((2, 3)).endswith("48 B saved between forward and backward")
    assert np.array_equal(net.forward(np.ones((2, 3), np.float32)), expected)
    assert net.eval().summary((2, 3)).endswith("0 B saved between forward and backward")
    assert not net.training and not net[0].training


def test_summary_knows_the_output_of_a_model_inside_another():
    class Outer(Module):
        def __init__(self):
            self.scaled = Scaled()

        def forward(self, x):
            return self.scaled(x)

    lines = Outer().summary((2, 3)).splitlines()
    assert lines[2].startswith("scaled ") and "(2, 4)" in lines[2]
    assert lines[3].startswith("scaled.inner") and "(2, 4)" in lines[3]


def test_summary_leaves_a_pending_backward_as_it_was(rng):
    net, x = model.Sequential(layers.Dense(3, 2)), rng.standard_normal((4, 3)).astype("f")
    net.forward(x)
    net.summary((2, 3))
    assert net.backward(np.ones((4, 2))).shape == x.shape


def test_summary_counts_what_is_shared_once():
    class Branches(Module):
        def __init__(self):
            self.left, self.right = layers.Dense(3, 4), layers.Dense(3, 4)
            self.right.weight = self.left.weight

        def forward(self, x):
            return self.left(x) + self.right(x)

    text = Branches().summary((8, 3))
    assert [line.split()[-2:] for line in text.splitlines()[2:4]] == [["96", "B"], ["0", "B"]]
    assert "20 parameters, 20 of them trainable: 80 B" in text and "96 B saved between" in text


def test_sizes_have_binary_units():
    weights = {128: "64 KiB", 362: "511.9 KiB", 1024: "4 MiB"}
    for width, size in weights.items():
        assert f"trainable: {size}, and" in layers.Dense(width, width, bias=False).summary()


def test_a_branching_model_follows_the_data(rng):
    class Branching(Module):
        def __init__(self):
            self.up, self.down = layers.Dense(2, 2), layers.Dense(2, 2)

        def forward(self, x):
            return self.up(x) if x.sum() > 0 else self.down(x)

    net = Branching()
    net(Tensor(np.ones((1, 2), "f"))).sum().backward()
    assert net.up.weight.grad.any() and not net.down.weight.grad.any()
    net(Tensor(-np.ones((1, 2), "f"))).sum().backward()
    assert net.down.weight.grad.any()


@pytest.mark.parametrize("make", [model.Sequential, model.ModuleList, lambda m: model.ModuleDict({"a": m})])
def test_attributes_of_a_container_subclass_belong_to_the_model(make):
    net = make(layers.Dense(2, 3)) if make is not model.ModuleList else make([layers.Dense(2, 3)])
    net.head = layers.Dense(3, 1)
    assert len(net.parameters()) == 4
    assert "head.weight" in net.state_dict()


def test_a_slice_of_a_sequential_is_one():
    net = model.Sequential(layers.Dense(2, 3), activations.ReLU(), layers.Dense(3, 1))
    assert repr(net[:2]) == "Sequential([Dense(2, 3), ReLU()])"
    assert net[1:][-1] is net[2]
    assert list(net[::2]) == [net[0], net[2]] and list(net[::-1]) == [net[2], net[1], net[0]]
    named = model.Sequential({"first": layers.Dense(2, 3), "last": layers.Dense(3, 1)})
    assert list(named[1:].state_dict()) == ["last.weight", "last.bias"]
    assert model.Sequential(net)[0] is net


def test_layers_before_and_behind_a_frozen_one_get_their_gradients(rng):
    x, gy = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    net = model.Sequential(
        layers.Dense(3, 4, dtype=np.float64), activations.Tanh(), layers.Dense(4, 4, dtype=np.float64),
        layers.Dense(4, 2, dtype=np.float64),
    )  # fmt: skip
    net.forward(x)
    expected = [net.backward(gy), *(g.copy() for g in net.gradients())]
    net[2].requires_grad_(False)
    for input_gradient in (True, False):
        net.zero_grad()
        net.forward(x)
        gx = net.backward(gy, input_gradient=input_gradient)
        assert (gx is None) is not input_gradient
        for got, due in zip([gx, *net[0].gradients(), *net[3].gradients()], expected[:3] + expected[5:], strict=True):
            assert got is None or np.array_equal(got, due)
        assert not any(p.grad is not None and p.grad.any() for _, p in net[2].named_parameters())


def test_nothing_is_computed_before_the_first_trainable_layer(rng):
    net, calls = model.Sequential(layers.Dense(3, 3), layers.Dense(3, 3), layers.Dense(3, 2)), []
    net[0].requires_grad_(False)
    for i, layer in enumerate(net):
        pullback = layer.pullback
        vars(layer)["pullback"] = lambda *a, i=i, pullback=pullback: (calls.append((i, *a[2])), pullback(*a))[1]
    net.forward(np.ones((4, 3), np.float32))
    net.backward(np.ones((4, 2), np.float32), input_gradient=False)
    assert calls == [(2, True), (1, False)]


def test_module_dicts_compare_by_identity():
    a, b = model.ModuleDict(), model.ModuleDict()
    assert a != b and len({a, b}) == 2


@pytest.mark.parametrize("bad", [5, None])
def test_sequential_of_something_else_is_an_error(bad):
    with pytest.raises(DTypeError, match="Sequential expected modules"):
        model.Sequential(bad)


def test_a_container_takes_all_of_several_modules_or_none():
    stack, named = model.ModuleList([layers.Dense(2, 2)]), model.ModuleDict({"a": layers.Dense(2, 2)})
    for change in (lambda: stack.extend([layers.Dense(2, 2), 3]), lambda: stack.__iadd__([layers.Dense(2, 2), 3])):
        with pytest.raises(DTypeError, match="ModuleList expected modules such as"):
            change()
    with pytest.raises(DTypeError, match="ModuleDict expected modules such as"):
        named.update({"b": layers.Dense(2, 2), "c": 3})
    assert len(stack) == 1 and list(named) == ["a"]
    stack += [layers.Dense(2, 2)]
    named.update([("b", layers.Dense(2, 2))], c=layers.Dense(2, 2))
    assert len(stack) == 2 and list(named) == ["a", "b", "c"]


@pytest.mark.parametrize("junk", [3, np.array("x"), "x", [1], object()])
@pytest.mark.parametrize("container", [model.Sequential, model.ModuleList, model.ModuleDict])
def test_what_holds_no_modules_is_refused(container, junk):
    with pytest.raises(DTypeError, match=rf"{container.__name__} expected .*modules.*, got .*; "):
        container(junk)


@pytest.mark.parametrize("name", ["a.b", "", 1, None])
def test_names_that_a_state_dict_cannot_join_are_refused(name):
    layer = layers.Dense(2, 2)
    named = model.ModuleDict({"a": layer})
    calls = [
        lambda: model.Sequential({name: layer}),
        lambda: model.ModuleDict({name: layer}),
        lambda: named.update({name: layer}),
        lambda: named.__setitem__(name, layer),
    ]
    for call in calls:
        with pytest.raises(DTypeError, match=rf"expected names that are strings .* got {name!r}; rename"):
            call()
    assert list(named) == ["a"]


def test_a_sequential_has_the_methods_of_a_list():
    dense, relu, out = layers.Dense(2, 3), activations.ReLU(), layers.Dense(3, 1)
    net = model.Sequential(dense, out)
    net.insert(1, relu)
    assert list(net) == [dense, relu, out] and [*dict(net.named_children())] == ["0", "1", "2"]
    net.append(dense)
    assert net.pop() is dense and net.index(out) == 2 and relu in net
    net[0] = layers.Dense(4, 3)
    assert net.forward(np.ones((5, 4))).shape == (5, 1)
    del net[1]
    assert [*net.state_dict()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    net.extend([relu, relu])
    net += [relu]
    assert len(net) == 5 and len(net + net) == 10 and (net + net)[5] is net[0]
    del net[2:]
    assert len(net) == 2


def test_names_of_a_sequential_stay_while_positions_are_counted_anew():
    net = model.Sequential({"first": layers.Dense(2, 2), "last": layers.Dense(2, 2)})
    net.insert(1, activations.ReLU())
    net.insert(0, activations.ReLU())
    assert net.names == ["0", "first", "2", "last"]
    del net[0]
    assert net.names == ["first", "1", "last"]
    with pytest.raises(DTypeError, match=r"each name once, got \['first', 'last'\] twice"):
        net + net


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.append(3),
        lambda net: net.extend([activations.ReLU(), 3]),
        lambda net: net.__setitem__(0, 3),
        lambda net: net.__setitem__(slice(1), [activations.ReLU()]),
        lambda net: net.insert(0, None),
        lambda net: net.__delitem__(slice(None)),
    ],
)
def test_refused_change_of_a_sequential_changes_nothing(change):
    net = model.Sequential(layers.Dense(2, 2), activations.ReLU())
    before = list(net), list(net.names)
    with pytest.raises((DTypeError, OptionError), match="Sequential expected"):
        change(net)
    assert (list(net), list(net.names)) == before


def test_apply_reaches_every_module_children_first():
    inner = model.Sequential(layers.Dense(2, 2), activations.ReLU())
    net, reached = model.Sequential(inner, layers.Dense(2, 1)), []
    assert net.apply(reached.append) is net
    assert [type(module).__name__ for module in reached] == ["Dense", "ReLU", "Sequential", "Dense", "Sequential"]
    assert reached[2] is inner and reached[4] is net
