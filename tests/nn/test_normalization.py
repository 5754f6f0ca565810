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
@pytest.mark.parametrize("affine", [False, True])
def test_float16_is_normalised_in_float32(kind, affine, rng):
    x = (300 * rng.standard_normal((2, 768))).astype(np.float16)  # the sum of squares overflows in float16
    half, single = (kind(768, elementwise_affine=affine, dtype=dtype) for dtype in (np.float16, np.float32))
    y = half.forward(x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, single.forward(x.astype(np.float32)), atol=2e-3)
    gy = rng.standard_normal(x.shape).astype(np.float16)
    gx = half.backward(gy)
    assert gx.dtype == np.float16
    np.testing.assert_allclose(gx, single.backward(gy), atol=1e-4)


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
