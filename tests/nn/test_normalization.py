"""LayerNorm and RMSNorm."""

import numpy as np
import pytest

import numpyml
from numpyml.errors import DTypeError, OptionError, ShapeError
from numpyml.nn.layers import LayerNorm, RMSNorm

BOTH = [LayerNorm, RMSNorm]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("shape", [4, (4,), (3, 4)])
def test_gradients_are_those_of_differences(kind, shape, rng):
    layer = kind(shape, dtype=np.float64)
    for p in layer.parameters():
        p[...] = rng.standard_normal(p.shape)
    assert numpyml.gradcheck(layer, rng.standard_normal((2, 3, 4))).passed


def test_features_come_out_with_mean_0_and_variance_1(rng):
    y = LayerNorm(64).forward(5 + 3 * rng.standard_normal((10, 64)).astype(np.float32))
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=1), 1, rtol=1e-5)


def test_features_come_out_with_mean_square_1(rng):
    y = RMSNorm(64).forward(5 + 3 * rng.standard_normal((10, 64)).astype(np.float32))
    np.testing.assert_allclose((y * y).mean(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", BOTH)
def test_squares_that_overflow_are_no_harm(kind):
    y = kind(4).forward(np.float32([[1e30, -1e30, 1e30, -1e30]]))
    np.testing.assert_allclose(y, [[1, -1, 1, -1]], rtol=1e-6)


@pytest.mark.parametrize("kind", BOTH)
def test_without_a_weight_the_dtype_is_that_of_the_data(kind):
    for dtype in (np.float32, np.float64):
        assert kind(3, elementwise_affine=False).forward(np.ones((2, 3), dtype)).dtype == dtype


@pytest.mark.parametrize("kind", BOTH)
def test_bad_calls_are_refused(kind):
    with pytest.raises(ShapeError, match=r"the last axes of x to be \(3,\), got x of shape \(2, 4\)"):
        kind(3).forward(np.ones((2, 4)))
    with pytest.raises(DTypeError, match="floating"):
        kind(3).forward(np.ones((2, 3), int))
    with pytest.raises(OptionError, match="normalized_shape"):
        kind(0)


@pytest.mark.parametrize(("layer", "weight"), [(LayerNorm, (2, 1, 0)), (RMSNorm, (0, 1, 1))])
def test_the_slope_at_a_vector_of_tiny_numbers_keeps_its_digits_where_nothing_else_is_left_of_it(layer, weight):
    def slopes(dtype):
        norm = layer(3, eps=1e-7, dtype=dtype)
        norm.weight.data[...] = weight
        norm.forward(np.array([[6e-25, 3e-25, 1e-25]], np.float32).astype(dtype))
        return norm.backward(np.ones((1, 3), dtype))

    np.testing.assert_allclose(slopes(np.float32), slopes(np.float64), rtol=1e-5)


def test_a_huge_gradient_overflows_where_the_slope_does_alone():
    norm = LayerNorm(2)
    norm.forward(np.ones((1, 2), np.float32))
    np.testing.assert_array_equal(norm.backward(np.full((1, 2), 3e36, np.float32)), [[0, 0]])
    norm = RMSNorm(2, eps=1e-5)
    norm.forward(np.array([[0, 1e-3]], np.float32))
    gx = norm.backward(np.array([[1, 1e37]], np.float32))
    np.testing.assert_allclose(gx[0, 0], 308.6, rtol=1e-3)
    assert gx[0, 1] == np.inf
