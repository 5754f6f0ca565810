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
def test_gated_units_have_their_limits_at_infinity(layer, dtype):
    x = np.array([-np.inf, -1e30, -0.0, 0, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(layer.forward(x), np.array([0, 0, 0, 0, 1e30, np.inf, np.nan], dtype))
    np.testing.assert_array_equal(layer.backward(np.ones(7, dtype)), np.array([0, 0, 0.5, 0.5, 1, 1, np.nan], dtype))


@pytest.mark.parametrize("layer", GATED, ids=repr)
@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 100_000])
def test_results_do_not_depend_on_the_blocks(layer, size, rng):
    x = rng.standard_normal(size).astype(np.float32)
    y = layer.forward(x)
    gx = layer.backward(np.ones_like(x))
    for part in (slice(0, 5), slice(65_500, 65_580), slice(size - 5, size)):
        np.testing.assert_allclose(layer.forward(x[part]), y[part], rtol=1e-6)
        np.testing.assert_allclose(layer.backward(np.ones_like(x[part])), gx[part], rtol=1e-5, atol=1e-7)


def test_gated_units_compute_no_derivative_without_recording():
    with numpyml.no_grad():
        assert activations.GELU().compute(np.ones(3))[1] is None


def test_gelu_refuses_another_approximation():
    with pytest.raises(OptionError, match="approximate to be one of 'none', 'tanh', got 'erf'"):
        activations.GELU("erf")


@pytest.mark.parametrize("layer", [activations.Softmax, activations.LogSoftmax])
def test_softmax_needs_an_axis_that_exists(layer):
    with pytest.raises(OptionError, match="expected dim to be the axis to normalize, such as -1 for the last"):
        layer()
    with pytest.raises(OptionError, match="dim to be an integer"):
        layer(1.5)
    with pytest.raises(ShapeError, match="expected x to have an axis 1, got an array of float64"):
        layer(1).forward(np.ones(3))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_softmax_sums_to_one_along_its_axis(dim, rng):
    x = rng.standard_normal((3, 4, 300)) * 50 + 1e4
    y = activations.Softmax(dim).forward(x)
    np.testing.assert_allclose(y.sum(axis=dim), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(activations.LogSoftmax(dim).forward(x)), y, rtol=1e-9)


def test_minus_infinity_gets_probability_zero():
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, -np.inf]])
    np.testing.assert_array_equal(activations.Softmax(-1).forward(x), [[0.5, 0, 0.5], [np.nan] * 3])
    y = activations.LogSoftmax(-1).forward(x)
    np.testing.assert_array_equal(y, [[-np.log(2), -np.inf, -np.log(2)], [np.nan] * 3])


@pytest.mark.parametrize("spread", [0.5, 1, 1.5], ids=["none far from 0", "few", "a tenth"])
def test_exact_gelu_in_float32_near_0_and_far_from_it(spread, rng):
    x = (spread * rng.standard_normal(5000)).clip(-8, 8).astype(np.float32)
    layer = activations.GELU()
    y = layer.forward(x)
    chance = np.array([math.erfc(-t / math.sqrt(2)) / 2 for t in x.tolist()])
    moving = x * np.exp(-(x.astype(float) ** 2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(y, x * chance, rtol=6e-7)
    derivative = layer.backward(np.ones_like(x))
    assert np.all(np.abs(derivative - chance - moving) <= 4e-7 * np.maximum(chance, np.abs(moving)))
    with numpyml.no_grad():
        assert np.array_equal(layer.forward(x), y)


@pytest.mark.parametrize("kind", [activations.Softmax, activations.LogSoftmax])
@pytest.mark.parametrize(("shape", "dim"), [((20_000,), 0), ((7000, 3), 0), ((2, 5000, 3), 1), ((2, 5000), 1)])
def test_long_axes_keep_precision(rng, kind, shape, dim):
    layer, x, g = kind(dim), rng.standard_normal(shape, np.float32), rng.random(shape, np.float32)
    answers = []
    for dtype in (np.float32, np.float64):
        y = layer.forward(x.astype(dtype))
        answers.append((y, layer.backward(g.astype(dtype))))
    (y, gx), (expected, expected_gx) = answers
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    y = np.exp(expected) if kind is activations.LogSoftmax else expected
    terms = (g, y * g.sum(dim, keepdims=True)) if kind is activations.LogSoftmax else (y * g, y)
    assert np.max(np.abs(gx - expected_gx) / sum(terms)) <= 1.5e-6  # of eʸ, y itself is rounded


def test_softmax_of_a_long_axis_does_not_round_differences_from_the_maximum(rng):
    x = rng.standard_normal(70_000, np.float32)
    y = activations.Softmax(0).forward(x)
    expected = np.exp(x.astype(np.longdouble))
    expected /= expected.sum()
    assert np.all(np.abs(y - expected) <= 5 * np.spacing(y))  # with x − max x it is 7


def test_softmax_gradient_of_a_large_element_leaves_the_others_precise(rng):
    layer, gy = activations.Softmax(0), rng.standard_normal(70_000, np.float32)
    y = layer.forward(gy / 8)
    gy[y.argmax()] = 100
    y, exact = y.astype(np.longdouble), gy.astype(np.longdouble)
    terms = np.abs(exact) + (np.abs(exact) * y).sum()
    assert np.all(np.abs(layer.backward(gy) - y * (exact - (exact * y).sum())) <= 4e-7 * y * terms)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_gradient_keeps_precision_where_saturated(dtype):
    layer = activations.Softmax(0)
    layer.forward(np.array([20, 0], dtype))
    gy = np.array([0.7, 0.3], dtype)
    p = 1 / (1 + np.exp(np.longdouble(-20)))
    expected = p / (1 + np.exp(np.longdouble(20))) * (np.longdouble(gy[0]) - gy[1])
    gx = layer.backward(gy)
    assert np.abs(gx - np.array([expected, -expected])).max() <= 4 * np.spacing(dtype(expected))


@pytest.mark.parametrize(("dtype", "x"), [(np.float32, -90.0), (np.float64, -712.0)])
def test_silu_is_precise_where_the_exponential_of_minus_x_overflows(dtype, x):
    silu = activations.SiLU()
    y, exact = silu.forward(np.array([x], dtype)), float(x * np.exp(np.longdouble(x)))
    assert y[0] == pytest.approx(exact, rel=1e-4, abs=0)
    assert silu.backward(np.ones(1, dtype))[0] == pytest.approx(exact * (1 + x) / x, rel=1e-4, abs=0)
