"""Dense, Dropout, Flatten and the activations."""

import re
from functools import partial

import numpy as np
import pytest

import numpyml
from numpyml.errors import DTypeError, OptionError, ShapeError
from numpyml.nn import activations, layers


@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 3), (2, 4, 3), (2, 1, 4, 3), (0, 3), (2, 0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_along_the_last_axis(rng, shape, bias):
    layer = layers.Dense(3, 2, bias, dtype=np.float64)
    x = rng.standard_normal(shape)
    y = layer.forward(x)
    expected = np.einsum("...i,oi->...o", x, layer.weight.data) + (layer.bias.data if bias else 0)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected)
    gy = rng.standard_normal(y.shape)
    gx = layer.backward(gy)
    assert gx.shape == shape
    np.testing.assert_allclose(gx, np.einsum("...o,oi->...i", gy, layer.weight.data))
    np.testing.assert_allclose(
        layer.weight.grad, np.einsum("ro,ri->oi", gy.reshape(-1, 2), x.reshape(-1, 3)), atol=1e-15
    )
    if bias:
        np.testing.assert_allclose(layer.bias.grad, gy.reshape(-1, 2).sum(0), atol=1e-15)


@pytest.mark.parametrize("rows", [1, 2, 3, 64, 65])
def test_product_of_few_rows_and_a_large_weight(rng, rows):
    layer = layers.Dense(256, 130)
    x = rng.standard_normal((rows, 256), np.float32)
    y = layer.forward(x)
    assert y.flags.c_contiguous
    expected = x.astype(np.float64) @ layer.weight.data.T.astype(np.float64) + layer.bias.data
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "outputs"), [(1, 1), (4, 1), (1, 4)])
def test_zero_times_infinity_is_nan_with_a_single_feature(rows, outputs):
    for number, weight in ((0.0, np.inf), (np.inf, 0.0)):
        layer = layers.Dense(1, outputs, bias=False)
        layer.weight.data[...] = weight
        with np.errstate(invalid="ignore"):
            assert np.isnan(layer.forward(np.full((rows, 1), number, np.float32))).all()


def test_bias_gradient_of_a_broadcast_row_is_exact():
    layer = layers.Dense(1, 3)
    gy = np.broadcast_to(np.float32(0.8354467), (10_000, 3))  # such as a mean pulls back
    layer.forward(np.zeros((10_000, 1), np.float32))
    layer.backward(gy)
    np.testing.assert_array_equal(layer.bias.grad, gy[0] * 10_000)


def test_bias_gradient_of_a_broadcast_column_keeps_precision(rng):
    layer, g = layers.Dense(1, 3), rng.random(10_000, np.float32)
    layer.forward(np.zeros((10_000, 1), np.float32))
    layer.backward(np.broadcast_to(g[:, None], (10_000, 3)))  # such as a sum over the features pulls back
    np.testing.assert_allclose(layer.bias.grad, np.full(3, g.sum(dtype=np.float64)), rtol=3e-6)


@pytest.mark.parametrize(("n_in", "n_out"), [(0, 2), (3, 0), (0, 0)])
def test_dense_without_features_is_allowed_as_in_pytorch(n_in, n_out):
    layer = layers.Dense(n_in, n_out)
    y = layer.forward(np.ones((4, n_in), np.float32))
    assert y.shape == (4, n_out)
    assert layer.backward(np.ones((4, n_out))).shape == (4, n_in)


def test_dense_draws_initial_values_from_its_generator(rng):
    a, b = (layers.Dense(10, 4, generator=np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(a.weight.data, b.weight.data) and np.array_equal(a.bias.data, b.bias.data)
    assert np.abs(a.weight.data).max() <= 1 / np.sqrt(10) and a.weight.data.std() > 0.1


def test_manual_seed_repeats_the_bits():
    def draw():
        numpyml.manual_seed(3)
        return layers.Dense(3, 3).weight.data, layers.Dropout().forward(np.ones(50, np.float32))

    for a, b in zip(draw(), draw(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((), "pass features on the last axis$"),
        ((2,), "or build the layer with in_features=2$"),
        ((3, 2), "or build the layer with in_features=2$"),
    ],
)
def test_dense_refuses_another_number_of_features(shape, remedy):
    with pytest.raises(ShapeError, match="expected 3 features on the last axis") as caught:
        layers.Dense(3, 2).forward(np.zeros(shape, np.float32))
    assert re.search(remedy, str(caught.value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dense(-1, 2), "in_features to be an integer of 0 or more, got -1"),
        (lambda: layers.Dense(1, 2.0), "out_features to be an integer"),
        (lambda: layers.Dense(True, 2), "in_features to be an integer"),
        (lambda: layers.Dense(1, 2, bias=1), "bias to be True or False"),
        (lambda: layers.Dropout(1.5), "p to be a number from 0 to 1"),
        (lambda: layers.Dropout(-0.1), "p to be a number from 0 to 1"),
        (lambda: layers.Dropout(float("nan")), "p to be a number from 0 to 1"),
        (lambda: layers.Dropout("half"), "p to be a number from 0 to 1"),
        (lambda: layers.Flatten(1.5), "start_dim to be an integer"),
    ],
)
def test_an_option_out_of_range_is_an_error(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_a_dtype_that_is_not_floating_is_an_error():
    with pytest.raises(DTypeError, match="real floating type"):
        layers.Dense(1, 1, dtype=int)


def test_dropout_gradient_uses_the_mask_of_the_forward(rng):
    layer = layers.Dropout(0.25, generator=np.random.default_rng(0))
    x = rng.standard_normal(100_000).astype(np.float32) + 5
    y = layer.forward(x)
    mask = y != 0
    assert abs(mask.mean() - 0.75) < 0.01
    np.testing.assert_allclose(y[mask], x[mask] / 0.75, rtol=1e-6)
    gy = rng.standard_normal(x.shape).astype(np.float32)
    np.testing.assert_allclose(layer.backward(gy), np.where(mask, gy / np.float32(0.75), 0), rtol=1e-6)


def test_dropout_draws_a_new_mask_at_every_call():
    layer, x = layers.Dropout(), np.ones(64, np.float32)
    assert not np.array_equal(layer.forward(x), layer.forward(x))


@pytest.mark.parametrize("layer", [layers.Dropout(0), layers.Dropout(0.9).eval()])
def test_dropout_that_drops_nothing_returns_its_argument_as_in_pytorch(layer):
    x, gy = np.ones(8, np.float32), np.full(8, 2, np.float32)
    assert layer.forward(x) is x
    assert layer.backward(gy) is gy


@pytest.mark.parametrize(("p", "expected"), [(0, 1), (1, 0)])
def test_dropout_with_p_0_and_1(p, expected):
    x = np.ones(8, np.float32)
    assert np.array_equal(layers.Dropout(p).forward(x), expected * x)


def test_dropout_is_off_in_eval():
    layer, x = layers.Dropout(0.9).eval(), np.ones(8, np.float32)
    assert np.array_equal(layer.forward(x), x)
    assert np.array_equal(layer.backward(x), x)


@pytest.mark.parametrize(
    ("options", "shape", "expected"),
    [
        ((), (2, 3, 4), (2, 12)),
        ((0,), (2, 3, 4), (24,)),
        ((1, 2), (2, 3, 4, 5), (2, 12, 5)),
        ((-2, -1), (2, 3, 4), (2, 12)),
        ((0, -1), (), (1,)),
        ((), (0, 3, 4), (0, 12)),
    ],
)
def test_flatten_joins_axes_and_pulls_back_to_the_shape(rng, options, shape, expected):
    layer, x = layers.Flatten(*options), rng.standard_normal(shape)
    y = layer.forward(x)
    assert y.shape == expected
    assert np.array_equal(layer.backward(y), x)


def test_flatten_returns_views_as_in_pytorch():
    layer, x, gy = layers.Flatten(), np.ones((2, 3, 4)), np.ones((2, 12))
    assert np.shares_memory(layer.forward(x), x)
    assert np.shares_memory(layer.backward(gy), gy)


@pytest.mark.parametrize(("options", "shape"), [((), (3,)), ((2, 1), (2, 3, 4)), ((0, 3), (2, 3))])
def test_flatten_refuses_missing_axes(options, shape):
    with pytest.raises(ShapeError, match="expected x to have the axes"):
        layers.Flatten(*options).forward(np.zeros(shape))


@pytest.mark.parametrize("dtype", ["c8", "U1", "O", "M8[s]"])
def test_flatten_refuses_dtypes_that_are_not_real(dtype):
    with pytest.raises(DTypeError, match="expected real numbers"):
        layers.Flatten().forward(np.zeros((2, 3, 4), "i4").astype(dtype))


def test_flatten_accepts_integers_as_pytorch_does():
    for dtype in (bool, np.uint8, np.int64):
        assert layers.Flatten().forward(np.ones((2, 3, 4), dtype)).dtype == dtype


def test_relu_at_zero_infinity_and_nan():
    layer = activations.ReLU()
    x = np.array([-np.inf, -1, -0.0, 0, 1e-45, 2, np.inf, np.nan], np.float32)
    y = layer.forward(x)
    np.testing.assert_array_equal(y, np.float32([0, 0, 0, 0, 1e-45, 2, np.inf, np.nan]))
    gx = layer.backward(np.array([np.inf, np.nan, np.inf, np.nan, np.inf, 3, 4, 5], np.float32))
    np.testing.assert_array_equal(gx, np.float32([0, 0, 0, 0, np.inf, 3, 4, 5]))


@pytest.mark.parametrize("shape", [(), (3,), (300, 300), (40_000,), (40_000, 3), (0, 4)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_relu_keeps_shape_and_dtype(rng, shape, dtype):
    layer, x = activations.ReLU(), rng.standard_normal(shape).astype(dtype)
    y = layer.forward(x)
    assert y.shape == shape and y.dtype == dtype
    assert np.array_equal(y, np.where(x > 0, x, 0))
    gx = layer.backward(x)
    assert gx.dtype == dtype
    assert np.array_equal(gx, y)


def test_sigmoid_saturates_without_overflow_and_keeps_small_values(rng):
    layer = activations.Sigmoid()
    x = np.array([-np.inf, -1e4, -100, 0, 100, 1e4, np.inf, np.nan])
    y = layer.forward(x)
    np.testing.assert_allclose(y, [0, 0, np.exp(-100.0), 0.5, 1, 1, 1, np.nan], rtol=1e-15)
    assert np.all(np.isfinite(layer.backward(np.ones(8))[:-1]))
    small = activations.Sigmoid().forward(np.float32([-95]))[0]
    np.testing.assert_allclose(small, np.exp(-95.0), rtol=1e-3)  # subnormal in float32, where 1/(1 + e⁻ˣ) gives 0
    assert numpyml.gradcheck(layer, rng.standard_normal((3, 4))).passed


@pytest.mark.parametrize("x", [-30.0, -9.0, 0.0, 9.0, 12.0, 30.0])
def test_sigmoid_gradient_keeps_precision_where_saturated(x: float) -> None:
    layer = activations.Sigmoid()
    layer.forward(np.float32([x]))
    e = np.exp(-abs(x))
    np.testing.assert_allclose(layer.backward(np.float32([1])), [e / (1 + e) ** 2], rtol=4e-7)


@pytest.mark.parametrize("layer", [activations.ReLU(), activations.Sigmoid(), layers.Dropout()])
def test_layers_without_parameters_keep_the_dtype_and_refuse_integers(layer):
    for dtype in (np.float32, np.float64):
        assert layer.forward(np.ones(3, dtype)).dtype == dtype
        assert layer.backward(np.ones(3)).dtype == dtype
    with pytest.raises(DTypeError, match="expected floating features"):
        layer.forward(np.ones(3, int))


@pytest.mark.parametrize("layer", [activations.ReLU(), activations.Sigmoid(), layers.Dropout()])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_0d_arrays_keep_their_dtype(layer, shape):
    y = layer.forward(np.ones(shape, np.float32))
    assert y.dtype == np.float32
    assert layer.backward(np.ones(shape, np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "make",
    [
        layers.Dropout,
        layers.ScaledDotProductAttention,
        partial(layers.Dense, 2, 1),
        partial(layers.Embedding, 3, 2),
        partial(layers.LearnedPositionalEncoding, 3, 2),
        partial(layers.MultiheadAttention, 4, 2),
        partial(layers.TransformerEncoderLayer, 4, 2),
        partial(layers.Transformer, 4, 2),
    ],
)
@pytest.mark.parametrize("wrong", [5, np.random, np.random.PCG64(0)])
def test_generator_of_another_type_is_refused_at_construction(make, wrong):
    with pytest.raises(OptionError, match=r"expected generator to be a numpy.random.Generator or None, got "):
        make(generator=wrong)
