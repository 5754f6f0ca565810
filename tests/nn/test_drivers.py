"""The two drivers: forward and backward on arrays, calls on Tensors."""

import sys
import weakref

import numpy as np
import pytest
from models import Double, Residual, TwoOutputs, small_net

import numpyml
from numpyml import Tensor
from numpyml.errors import CallOrderError, DTypeError, ShapeError
from numpyml.nn import Module, Parameter, activations, layers, model


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


def test_pullback_of_two_arguments_works_anywhere_in_a_model(x):
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


def test_backward_adds_to_a_gradient_written_by_hand(rng):
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


class SumsItsGradient(Module):
    """A layer whose pullback loses axes."""

    def compute(self, *inputs):
        return inputs[0], None

    def pullback(self, context, gy):
        return gy.sum(axis=0)


class SumsOneOfTwo(SumsItsGradient):
    def pullback(self, context, gy):
        return gy, gy.sum(axis=0)


@pytest.mark.parametrize("layer", [SumsItsGradient(), SumsOneOfTwo()])
def test_pullback_of_another_shape_is_an_error_in_both_drivers(x, layer):
    inputs = [x] * (1 + isinstance(layer, SumsOneOfTwo))
    message = rf"{type(layer).__name__}\(\) pulled back a gradient of shape \(4,\) to an input of shape \(6, 4\)"
    layer.forward(*inputs)
    with pytest.raises(ShapeError, match=message):
        layer.backward(x)
    with pytest.raises(ShapeError, match=message):
        layer(*[Tensor(array, requires_grad=True) for array in inputs]).backward(x)


def test_unused_input_gradient_is_not_computed(x, monkeypatch):
    net = model.Sequential(layers.Flatten(), layers.Dense(4, 3, dtype=np.float64))
    monkeypatch.setattr(layers.Flatten, "pullback", lambda *_: pytest.fail("computed all the same"))
    net.forward(x)
    assert net.backward(np.ones((6, 3)), input_gradient=False) is None
    np.testing.assert_allclose(net[1].weight.grad, np.ones((6, 3)).T @ x)


def test_error_names_the_position_in_the_model(x):
    net = model.Sequential([layers.Dense(4, 5), activations.ReLU(), layers.Dense(6, 1)])
    expected = r"^Sequential\[2\] Dense\(6, 1\) expected 6 features on the last axis, got x of shape \(6, 5\);"
    for call in (net.forward, lambda a: net(Tensor(a))):
        with pytest.raises(ShapeError, match=expected):
            call(x)


def test_error_names_the_position_in_models_inside_models(x):
    inner = model.Sequential(activations.ReLU(), model.Sequential({"last": layers.Dense(6, 1)}))
    net = model.Sequential(layers.Dense(4, 5), inner)
    for call in (net.forward, lambda a: net(Tensor(a))):
        with pytest.raises(ShapeError, match=r"^Sequential\[1\]\[1\]\.last Dense\(6, 1\) expected 6 features"):
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
    assert net.forward(x) is not x
    assert net.backward(gy) is not gy


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


def test_other_arguments_of_a_model_reach_forward_unchanged(x):
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


def test_explicit_backward_frees_contexts_as_it_proceeds():
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
def test_compute_without_a_context_is_an_error(rows):
    """Two rows would come apart as output and context."""

    class Forgetful(Double):
        def compute(self, x):
            return 2 * x

    net = model.Sequential(layers.Dense(2, 2), Forgetful())
    for x in (np.ones((rows, 2), np.float32), Tensor(np.ones((rows, 2), np.float32))):
        run = net if isinstance(x, Tensor) else net.forward
        with pytest.raises(DTypeError, match=r"\[1\] Forgetful.* a pair \(output, context\), got an"):
            run(x)


@pytest.mark.parametrize(("returned", "count"), [(lambda gy: gy, 1), (lambda gy: (gy,), 1), (lambda gy: (gy,) * 3, 3)])
def test_a_pullback_without_one_gradient_for_each_input_is_an_error(x, returned, count):
    class Miscounted(Module):
        def compute(self, a, b):
            return a + b, None

        def pullback(self, context, gy):
            return returned(gy)

    layer = Miscounted()
    y = layer.forward(x, x)
    expected = rf"Miscounted\(\) expected pullback to return one gradient for each of 2 inputs, got {count}; return"
    with pytest.raises(ShapeError, match=expected):
        layer.backward(y)
    with pytest.raises(ShapeError, match=expected):
        layer(Tensor(x, requires_grad=True), Tensor(x)).sum().backward()


def test_a_layer_without_inputs_works_in_both_drivers():
    class Constant(Module):
        def __init__(self):
            self.value = Parameter(np.ones(3))

        def compute(self):
            return self.value.data.copy(), None

        def pullback(self, context, gy):
            self.value.grad += gy

    class Net(Module):
        def __init__(self):
            self.constant = Constant()

        def forward(self, x):
            return x + self.constant()

    layer = Constant()
    assert layer.backward(2 * layer.forward()) is None
    net = Net()
    net.backward(net.forward(np.ones(3, np.float32)))
    assert layer.value.grad.tolist() == net.constant.value.grad.tolist() == [2, 2, 2]


def deepest_call(function):
    """The names of the Python frames of numpyml in the deepest call of a function."""
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
def test_forward_takes_at_most_four_frames_to_numpy(layer):
    net, x = model.Sequential(layer), np.ones((2, 3), np.float32)
    net.forward(x)
    frames = deepest_call(lambda: net.forward(x))
    assert len(frames) <= 4 or frames.index("gelu") < 4, frames  # which calls NumPy itself, and a helper
