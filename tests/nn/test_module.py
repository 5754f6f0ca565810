"""The contract of modules and the two drivers."""

import copy
import pickle
import sys
import weakref

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.errors import CallOrderError, DTypeError, NumpymlError, ShapeError, StateError
from numpyml.nn import Module, Parameter, activations, layers, losses, model


class Residual(Module):
    """A user's model: control flow, a layer used twice, a parameter of its own."""

    def __init__(self, width, depth=2):
        self.width, self.depth = width, depth
        self.inner = layers.Dense(width, width, dtype=np.float64)
        self.scale = Parameter(np.ones(width), dtype=np.float64)

    def forward(self, x):
        for _ in range(self.depth):
            x = x + np.tanh(self.inner(x)) * self.scale
        return x


class Double(Module):
    """A user's layer: a pair of array functions, the short form of pullback."""

    def compute(self, x):
        return 2 * x, None

    def pullback(self, context, gy):
        return 2 * gy


class TwoOutputs(Module):
    """Several inputs and outputs."""

    def forward(self, a, b):
        return a * b, a - b


def small_net():
    numpyml.manual_seed(0)
    return model.Sequential(
        [layers.Dense(4, 5, dtype=np.float64), activations.Sigmoid(), Residual(5), layers.Dense(5, 3, dtype=np.float64)]
    )


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4))


def test_both_drivers_give_the_same_bits(x, rng):
    net, gy = small_net(), rng.standard_normal((6, 3))
    y = net.forward(x)
    gx = net.backward(gy)
    explicit = [g.copy() for g in net.gradients()]
    net.zero_grad()
    t = Tensor(x, requires_grad=True)
    z = net(t)
    z.backward(gy)
    assert np.array_equal(y, z.data)
    assert np.array_equal(gx, t.grad)
    assert all(np.array_equal(a, b) for a, b in zip(explicit, net.gradients(), strict=True))


def test_a_user_model_has_a_correct_gradient(x):
    report = numpyml.gradcheck(small_net(), x)
    assert report.passed, str(report)


def test_a_model_of_several_inputs_and_outputs_works_in_both_drivers(rng):
    a, b, ga, gb = rng.standard_normal((4, 3))
    net = TwoOutputs()
    product, difference = net.forward(a, b)
    assert np.array_equal(product, a * b) and np.array_equal(difference, a - b)
    got_a, got_b = net.backward(ga, gb)
    np.testing.assert_allclose(got_a, ga * b + gb)
    np.testing.assert_allclose(got_b, ga * a - gb)


def test_a_layer_with_the_short_pullback_stands_anywhere_in_a_model(x):
    net = model.Sequential(Double(), Double())
    assert np.array_equal(net.forward(x), 4 * x)
    assert np.array_equal(net.backward(x), 4 * x)


def test_arrays_in_arrays_out_tensors_in_tensors_out(x):
    net = small_net()
    assert type(net(x)) is np.ndarray
    assert type(net.forward(x)) is np.ndarray
    assert type(net(Tensor(x))) is Tensor
    assert type(net.forward(Tensor(x))) is Tensor


def test_shared_layer_accumulates_both_calls(x):
    layer = layers.Dense(4, 4, dtype=np.float64)
    once, twice = model.Sequential(layer), model.Sequential(layer, layer)
    assert len(twice.parameters()) == 2
    assert list(twice.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    h = once.forward(x)
    gy = np.ones_like(x)
    twice.forward(x)
    twice.backward(gy)
    both = layer.weight.grad.copy()
    layer.zero_grad()
    np.testing.assert_allclose(both, gy.T @ h + (gy @ layer.weight.data).T @ x)


def test_backward_accumulates_and_zero_grad_fills_in_place(x):
    net = small_net()
    gradients = net.gradients()
    for _ in range(2):
        net.forward(x)
        net.backward(np.ones((6, 3)))
    twice = [g.copy() for g in gradients]
    net.zero_grad()
    assert not any(g.any() for g in gradients)
    net.forward(x)
    net.backward(np.ones((6, 3)))
    for g, both in zip(net.gradients(), twice, strict=True):
        np.testing.assert_allclose(2 * g, both)
    assert all(a is b for a, b in zip(gradients, net.gradients(), strict=True))


def test_a_gradient_written_by_hand_is_added_to_even_when_the_rest_is_zero(rng):
    layer = layers.Dense(200, 100)
    layer.weight.grad[50, 50] = 1
    x = rng.standard_normal((8, 200)).astype(np.float32)
    layer.forward(x)
    layer.backward(np.zeros((8, 100), np.float32))
    assert layer.weight.grad[50, 50] == 1


def test_backward_before_forward_is_an_error():
    with pytest.raises(CallOrderError, match="call forward first"):
        small_net().backward(np.ones((6, 3)))


def test_backward_twice_is_an_error(x):
    net = small_net()
    net.forward(x)
    net.backward(np.ones((6, 3)))
    before = [g.copy() for g in net.gradients()]
    with pytest.raises(CallOrderError, match="only one backward for each"):
        net.backward(np.ones((6, 3)))
    assert all(np.array_equal(a, b) for a, b in zip(before, net.gradients(), strict=True))


def test_backward_after_a_forward_in_no_grad_is_an_error(x):
    net = small_net()
    net.forward(x)
    with numpyml.no_grad():
        net.forward(x)
    with pytest.raises(CallOrderError, match="outside no_grad"):
        net.backward(np.ones((6, 3)))


def test_a_gradient_of_another_shape_changes_nothing(x):
    net = small_net()
    net.forward(x)
    with pytest.raises(ShapeError, match=r"shape \(6, 3\).*shape \(6, 4\)"):
        net.backward(np.ones((6, 4)))
    assert not any(g.any() for g in net.gradients())
    net.backward(np.ones((6, 3)))  # the context is still there


def test_an_input_gradient_nobody_reads_is_not_computed(x, monkeypatch):
    net = model.Sequential(layers.Flatten(), layers.Dense(4, 3, dtype=np.float64))
    monkeypatch.setattr(layers.Flatten, "pullback", lambda *_: pytest.fail("computed all the same"))
    net.forward(x)
    assert net.backward(np.ones((6, 3)), input_gradient=False) is None
    np.testing.assert_allclose(net[1].weight.grad, np.ones((6, 3)).T @ x)


def test_an_error_names_the_place_in_the_model(x):
    net = model.Sequential([layers.Dense(4, 5), activations.ReLU(), layers.Dense(6, 1)])
    expected = r"^Sequential\[2\] Dense\(6, 1\) expected 6 features on the last axis, got x of shape \(6, 5\);"
    for call in (net.forward, lambda a: net(Tensor(a))):
        with pytest.raises(ShapeError, match=expected):
            call(x)


def test_an_error_in_a_user_model_names_the_attribute(x):
    for argument in (x, Tensor(x)):
        with pytest.raises(ShapeError, match=r"^Residual\.inner Dense\(5, 5, dtype='float64'\) expected 5 features"):
            Residual(5)(argument)


def test_a_forward_that_returns_no_tensor_is_an_error(x):
    class Forgets(Module):
        def forward(self, x):
            np.tanh(x)

    with pytest.raises(DTypeError, match="expected forward to return a Tensor"):
        Forgets().forward(x)


def test_parameters_decide_the_dtype(rng):
    layer = layers.Dense(3, 2)
    for dtype in (np.float16, np.float32, np.float64):
        y = layer.forward(rng.standard_normal((4, 3)).astype(dtype))
        assert y.dtype == np.float32
        assert layer.backward(np.ones((4, 2))).dtype == dtype  # the gradient comes back in the data's
    assert layers.Dense(3, 2, dtype=np.float64).forward(rng.standard_normal((4, 3)).astype("f")).dtype == np.float64


@pytest.mark.parametrize(
    "data", [np.ones((2, 3), int), np.ones((2, 3), complex), np.array([["a"]]), np.array([[None]])]
)
def test_features_that_are_not_floats_are_refused(data):
    with pytest.raises(DTypeError, match="expected floating features"):
        layers.Dense(3, 2).forward(data)


def test_inputs_are_only_read(x):
    x.flags.writeable = False
    gy = np.ones((6, 3))
    gy.flags.writeable = False
    net = small_net()
    net.forward(x)
    net.backward(gy)


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


def test_state_dict_goes_there_and_back(x):
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


def test_a_parameter_is_written_to_and_never_rebound():
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
def test_a_parameter_of_no_real_numbers_is_refused(data):
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


def test_every_error_is_one_family():
    for error in (ShapeError, DTypeError, CallOrderError, StateError):
        assert issubclass(error, NumpymlError)


def test_a_module_without_functions_says_so(x):
    with pytest.raises(NotImplementedError, match="Empty defines neither forward nor both compute and pullback"):
        type("Empty", (Module,), {})().forward(x)


def test_super_forward_runs_the_parents_model(x):
    class More(Residual):
        def forward(self, x):
            return super().forward(x) * 2

    numpyml.manual_seed(0)
    more = More(4)
    numpyml.manual_seed(0)
    assert np.array_equal(more.forward(x), 2 * Residual(4).forward(x))
    assert np.array_equal(more(Tensor(x)).data, more.forward(x))


class Recurrent(Module):
    """Starts from a constant that is no input."""

    def __init__(self, width):
        self.width = width
        self.read = layers.Dense(4, width, dtype=np.float64)
        self.remember = model.Sequential(layers.Dense(width, width, dtype=np.float64))

    def forward(self, x):
        h = np.zeros((len(x), self.width))
        return np.tanh(self.read(x) + self.remember(h))


def test_a_layer_called_on_a_constant_in_a_models_forward_gets_its_gradient(x):
    net = Recurrent(3)
    for run in (lambda: net.backward(np.ones_like(net.forward(x))), lambda: net(Tensor(x)).sum().backward()):
        net.zero_grad()
        run()
        assert net.read.bias.grad.any()
        np.testing.assert_array_equal(net.read.bias.grad, net.remember[0].bias.grad)
    assert numpyml.gradcheck(net, x).passed


@pytest.mark.parametrize("parent", [lambda cls: layers.Dense, lambda cls: model.Sequential])
def test_super_forward_runs_the_parent_layer(x, parent):
    base = parent(None)

    class Doubled(base):
        def forward(self, x):
            return super().forward(x) * 2

    numpyml.manual_seed(0)
    arguments = (4, 3) if base is layers.Dense else (layers.Dense(4, 3),)
    net = Doubled(*arguments)
    numpyml.manual_seed(0)
    plain = layers.Dense(4, 3)
    np.testing.assert_array_equal(net.forward(x), 2 * plain.forward(x))
    np.testing.assert_array_equal(net(Tensor(x)).data, net.forward(x))
    gy = np.ones((6, 3))
    gx = net.backward(gy)
    np.testing.assert_allclose(gx, 2 * plain.backward(gy), rtol=1e-6)
    np.testing.assert_allclose(net.gradients()[0], 2 * plain.gradients()[0], rtol=1e-6)


def test_a_models_other_arguments_reach_its_forward_as_they_are(x):
    class Scaled(Module):
        def forward(self, x, scale, mode="up", *, shift=None):
            assert mode in ("up", "down") and (shift is None or shift == 3)
            return x * scale if mode == "up" else x / scale

    net, x = Scaled(), x.astype(np.float32)
    for argument in (x, Tensor(x)):
        y = net(argument, 2.0, "down", shift=3)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, x / 2)
    gx, nothing, nor_here = (net.forward(x, 2.0, "down"), net.backward(x))[1]
    np.testing.assert_array_equal(gx, x / 2)
    assert nothing is None and nor_here is None


def test_tensors_in_a_list_are_tensors(x):
    class Sum(Module):
        def forward(self, parts):
            return parts[0] + parts[1]

    assert isinstance(Sum()([Tensor(x), Tensor(x)]), Tensor)


def test_a_models_parameters_decide_the_dtype_of_its_data(x):
    class Plus(Module):
        def __init__(self):
            self.inner = layers.Dense(4, 4)

        def forward(self, x):
            return x + self.inner(x)

    net, t = Plus(), Tensor(x, requires_grad=True)
    assert net.forward(x).dtype == np.float32
    y = net(t)
    assert y.dtype == np.float32
    y.sum().backward()
    assert t.grad.dtype == np.float64
    np.testing.assert_array_equal(net.backward(np.ones_like(x)), t.grad)


def test_no_grad_keeps_no_context(x):
    net = model.Sequential(layers.Dense(4, 4), activations.Sigmoid())
    with numpyml.no_grad():
        assert net.compute(x)[1] == []


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


def test_a_way_back_up_is_not_followed():
    class Node(Module):
        def __init__(self, parent=None):
            self.layer = layers.Dense(1, 1)
            if parent is None:
                self.child = Node(self)
            else:
                self.parent = parent

    assert list(Node().state_dict()) == ["layer.weight", "layer.bias", "child.layer.weight", "child.layer.bias"]


def test_a_layer_that_stands_twice_fails_at_its_place():
    layer = layers.Dense(3, 2)
    net = model.Sequential(model.Sequential([layer, activations.ReLU(), layer]))
    with pytest.raises(ShapeError, match=r"^Sequential\[0\]\[2\] Dense\(3, 2\)"):
        net.forward(np.ones((1, 3), np.float32))


@pytest.mark.parametrize("bad", [None, 3, "state"])
def test_a_state_dict_is_a_dict(bad):
    with pytest.raises(DTypeError, match="expected a dict of arrays"):
        small_net().load_state_dict(bad)


def test_a_mode_is_true_or_false():
    with pytest.raises(ValueError, match="mode to be True or False"):
        small_net().train("off")
    with pytest.raises(DTypeError, match="requires_grad expected True or False"):
        small_net().requires_grad_("no")


def test_an_explicit_backward_frees_what_it_has_passed():
    class Kept:
        pass

    contexts, alive = [], []

    class Identity(Module):
        def compute(self, x):
            context = Kept()
            contexts.append(weakref.ref(context))
            return x.copy(), context

        def pullback(self, context, gy):
            alive.append(sum(reference() is not None for reference in contexts))
            return gy.copy()

    class Chain(Module):
        def __init__(self):
            self.layers = model.ModuleList([Identity() for _ in range(3)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Chain()
    y = net.forward(np.ones(2, np.float32))
    net.backward(np.ones_like(y))
    assert alive == [3, 2, 1]


@pytest.mark.parametrize("rows", [2, 3])
def test_a_layer_that_forgets_the_context_is_told(rows):
    """Two rows would come apart as output and context."""

    class Forgetful(Double):
        def compute(self, x):
            return 2 * x

    net = model.Sequential(layers.Dense(2, 2), Forgetful())
    for x in (np.ones((rows, 2), np.float32), Tensor(np.ones((rows, 2), np.float32))):
        run = net if isinstance(x, Tensor) else net.forward
        with pytest.raises(DTypeError, match=r"\[1\] Forgetful.* a pair \(output, context\), got an"):
            run(x)


def deepest_call(function):
    """How many Python frames of numpyml stand on the deepest call of a function, and their names."""
    deepest = []

    def profile(frame, event, _):
        if event == "call":
            stack = []
            while frame is not None:
                if "numpyml/" in frame.f_code.co_filename.replace("\\", "/") and "test" not in frame.f_code.co_filename:
                    stack.insert(0, frame.f_code.co_name)
                frame = frame.f_back
            deepest[:] = max(deepest, stack, key=len)

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return deepest


@pytest.mark.parametrize("layer", [layers.Dense(3, 2), activations.ReLU(), activations.GELU()])
def test_numpy_is_four_frames_away_from_a_model(layer):
    net, x = model.Sequential(layer), np.ones((2, 3), np.float32)
    net.forward(x)
    frames = deepest_call(lambda: net.forward(x))
    assert len(frames) <= 4 or frames.index("gelu") < 4, frames  # which calls NumPy itself, and a helper


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
