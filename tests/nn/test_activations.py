"""Tanh, SiLU, GELU, Softmax and LogSoftmax."""

import math

import numpy as np
import pytest

import numpyml
from numpyml.errors import DTypeError, OptionError, ShapeError
from numpyml.nn import activations

GATED = [activations.SiLU(), activations.GELU(), activations.GELU("tanh")]
SOFT = [activations.Softmax(-1), activations.LogSoftmax(-1)]
EVERY = [*GATED, activations.Tanh(), *SOFT]


@pytest.mark.parametrize("layer", EVERY, ids=repr)
def test_gradients_are_those_of_differences(layer, rng):
    assert numpyml.gradcheck(layer, rng.standard_normal((3, 4))).passed


@pytest.mark.parametrize("layer", EVERY, ids=repr)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (4, 0), (300, 300)])
def test_shape_and_dtype_are_kept(layer, dtype, shape):
    x = np.linspace(-3, 3, int(np.prod(shape)), dtype=np.float64).astype(dtype).reshape(shape)
    y = layer.forward(x)
    assert y.shape == shape and y.dtype == dtype
    gx = layer.backward(np.ones(shape, dtype))
    assert gx.shape == shape and gx.dtype == dtype


@pytest.mark.parametrize("layer", EVERY, ids=repr)
def test_integers_are_refused(layer):
    with pytest.raises(DTypeError, match="expected floating features"):
        layer.forward(np.ones(3, int))


@pytest.mark.parametrize("layer", GATED, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_a_gate_at_the_ends_has_its_limits(layer, dtype):
    x = np.array([-np.inf, -1e30, -0.0, 0, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(layer.forward(x), np.array([0, 0, 0, 0, 1e30, np.inf, np.nan], dtype))
    np.testing.assert_array_equal(layer.backward(np.ones(7, dtype)), np.array([0, 0, 0.5, 0.5, 1, 1, np.nan], dtype))


@pytest.mark.parametrize("layer", GATED, ids=repr)
@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 100_000])
def test_blocks_leave_no_seam(layer, size, rng):
    x = rng.standard_normal(size).astype(np.float32)
    y = layer.forward(x)
    gx = layer.backward(np.ones_like(x))
    for part in (slice(0, 5), slice(65_500, 65_580), slice(size - 5, size)):
        np.testing.assert_allclose(layer.forward(x[part]), y[part], rtol=1e-6)
        np.testing.assert_allclose(layer.backward(np.ones_like(x[part])), gx[part], rtol=1e-5, atol=1e-7)


def test_gates_keep_no_slope_where_nothing_is_recorded():
    with numpyml.no_grad():
        assert activations.GELU().compute(np.ones(3))[1] is None


def test_gelu_refuses_another_approximation():
    with pytest.raises(OptionError, match="approximate to be one of 'none', 'tanh', got str 'erf'"):
        activations.GELU("erf")


@pytest.mark.parametrize("layer", [activations.Softmax, activations.LogSoftmax])
def test_the_axis_of_a_distribution_has_to_be_given_and_there(layer):
    with pytest.raises(OptionError, match="expected dim to be the axis to normalise, such as -1 for the last"):
        layer()
    with pytest.raises(OptionError, match="dim to be a whole number"):
        layer(1.5)
    with pytest.raises(ShapeError, match="expected x to have an axis 1, got an array of float64"):
        layer(1).forward(np.ones(3))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_a_distribution_sums_to_one_along_its_axis(dim, rng):
    x = rng.standard_normal((3, 4, 300)) * 50 + 1e4
    y = activations.Softmax(dim).forward(x)
    np.testing.assert_allclose(y.sum(axis=dim), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(activations.LogSoftmax(dim).forward(x)), y, rtol=1e-9)


def test_what_is_masked_with_minus_infinity_gets_nothing():
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, -np.inf]])
    np.testing.assert_array_equal(activations.Softmax(-1).forward(x), [[0.5, 0, 0.5], [np.nan] * 3])
    y = activations.LogSoftmax(-1).forward(x)
    np.testing.assert_array_equal(y, [[-np.log(2), -np.inf, -np.log(2)], [np.nan] * 3])


@pytest.mark.parametrize("spread", [0.5, 1, 1.5], ids=["none is far from 0", "few are", "a tenth is"])
def test_exact_gelu_in_float32_is_right_near_0_and_far_from_it(spread, rng):
    x = (spread * rng.standard_normal(5000)).clip(-8, 8).astype(np.float32)
    layer = activations.GELU()
    y = layer.forward(x)
    chance = np.array([math.erfc(-t / math.sqrt(2)) / 2 for t in x.tolist()])
    moving = x * np.exp(-(x.astype(float) ** 2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(y, x * chance, rtol=6e-7)
    slope = layer.backward(np.ones_like(x))
    assert np.all(np.abs(slope - chance - moving) <= 4e-7 * np.maximum(chance, np.abs(moving)))
    with numpyml.no_grad():
        assert np.array_equal(layer.forward(x), y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_a_sure_softmax_keeps_its_digits(dtype):
    x, gy = np.array([[30, 0, 1, 2]], dtype), np.array([[0.3, -0.7, 1.1, 0.2]], dtype)
    y = np.exp(np.longdouble(x) - 30)
    y /= y.sum()
    expected = -y[:, 0] * np.sum(y[:, 1:] * (np.longdouble(gy[:, 1:]) - gy[:, :1]))
    layer = activations.Softmax(1)
    layer.forward(x)
    assert abs(layer.backward(gy)[0, 0] / expected[0] - 1) < 16 * np.finfo(dtype).eps


def test_the_slope_of_softmax_overflows_only_where_it_does_itself():
    layer = activations.Softmax(0)
    layer.forward(np.zeros(3, np.float32))
    np.testing.assert_allclose(layer.backward(np.float32([3e38, -3e38, 0])), [1e38, -1e38, 0], rtol=1e-6)


@pytest.mark.parametrize("kind", [activations.Softmax, activations.LogSoftmax])
@pytest.mark.parametrize(("shape", "dim"), [((20_000,), 0), ((7000, 3), 0), ((2, 5000, 3), 1), ((2, 5000), 1)])
def test_long_axes_keep_their_digits(rng, kind, shape, dim):
    layer, x, g = kind(dim), rng.standard_normal(shape, np.float32), rng.random(shape, np.float32)
    answers = []
    for dtype in (np.float32, np.float64):
        y = layer.forward(x.astype(dtype))
        answers.append((y, layer.backward(g.astype(dtype))))
    (y, gx), (right, slope) = answers
    np.testing.assert_allclose(y, right, rtol=1e-6)
    y = np.exp(right) if kind is activations.LogSoftmax else right
    terms = (g, y * g.sum(dim, keepdims=True)) if kind is activations.LogSoftmax else (y * g, y)
    assert np.max(np.abs(gx - slope) / sum(terms)) <= 1.5e-6  # of eʸ, y itself is rounded
