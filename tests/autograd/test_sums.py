"""Sums along an axis keep their precision, in any memory layout."""

import numpy as np
import pytest

from numpyml import Tensor
from numpyml.kernels import thresholds
from numpyml.kernels.sums import over_rows, row_sums, unbroadcast


@pytest.mark.parametrize("n", [0, 1, thresholds.SUMMED_ROWS, 2 * thresholds.SUMMED_ROWS, 70_000])
@pytest.mark.parametrize("layout", ["C", "F", "every other", "backwards", "one row", "one number", "columns"])
def test_sums_over_rows_keep_precision_in_every_layout(rng, n, layout):
    x = rng.random((n, 3), np.float32)
    rows = {
        "C": x,
        "F": np.asfortranarray(x),
        "every other": np.repeat(x, 2, axis=0)[::2],
        "backwards": x[::-1, ::-1],
        "one row": np.broadcast_to(x[:1], x.shape) if n else x,
        "one number": np.broadcast_to(np.float32(0.7), x.shape),
        "columns": np.broadcast_to(x[:, :1], x.shape),
    }[layout]
    right = rows.sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(over_rows(rows), right, rtol=1e-6)
    np.testing.assert_allclose(row_sums(np.ascontiguousarray(rows)), rows.sum(axis=1, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 300, 5000])
@pytest.mark.parametrize("layout", ["C", "F", "zero-strided"])
def test_sums_over_rows_of_several_arrays_keep_precision(rng, n, layout):
    x = rng.random((4, n, 3), np.float32)
    x = {"C": x, "F": np.asfortranarray(x), "zero-strided": np.broadcast_to(x[:, :1], x.shape)}[layout]
    np.testing.assert_allclose(over_rows(x), x.sum(axis=1, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "into"),
    [
        ((4, 3), (4, 3)), ((4, 3), (3,)), ((4, 3), (1, 3)), ((4, 3), (4, 1)), ((4, 3), (1, 1)), ((4, 3), (1,)),
        ((4, 3), ()), ((2, 4, 3), (3,)), ((2, 4, 3), (4, 1)), ((2, 4, 3), (2, 1, 3)), ((2, 4, 3), (1, 4, 1)),
        ((2, 1, 3), (1,)), ((1, 4, 3), (4, 3)), ((0, 3), (3,)), ((0, 3), (1, 3)), ((2, 0), (0,)), ((2, 0, 3), (1, 3)),
        ((3, 0), (1,)), ((3000, 0), (0,)),
    ],
)  # fmt: skip
def test_a_gradient_is_summed_back_to_its_operands_shape(rng, shape, into):
    g = rng.integers(-8, 9, shape).astype(np.float32)
    extra = len(shape) - len(into)
    axes = (*range(extra), *(extra + i for i, n in enumerate(into) if n == 1))
    gx = unbroadcast(g, into)
    assert gx.dtype == np.float32
    np.testing.assert_array_equal(gx, g.sum(axis=axes).reshape(into))


@pytest.mark.parametrize(
    ("shape", "into"), [((2, 70_000, 3), (2, 1, 3)), ((70_000, 2, 3), (2, 3)), ((2, 300, 200, 3), (2, 1, 1, 3))]
)
def test_a_long_gradient_keeps_precision_along_any_axis(rng, shape, into):
    g = rng.random(shape, np.float32)
    axes = tuple(i for i, n in enumerate((*[1] * (len(shape) - len(into)), *into)) if n == 1)
    np.testing.assert_allclose(unbroadcast(g, into), g.sum(axis=axes, dtype=np.float64).reshape(into), rtol=1e-6)


@pytest.mark.parametrize(
    ("draw", "rtol"),
    [
        (lambda rng: rng.random((10_000_000, 1), np.float32), 5e-7),
        # nearly equal partial sums: roundings are biased
        (lambda rng: np.exp(rng.standard_normal((34_816, 2))).astype(np.float32), 1e-7),
    ],
)
def test_long_sums_keep_precision(draw, rtol, rng):
    x = draw(rng)
    np.testing.assert_allclose(over_rows(x), x.sum(axis=0, dtype=np.float64), rtol=rtol)


@pytest.mark.parametrize("number", [0.0, 1e-4])
def test_gradient_of_a_broadcast_float16_row_does_not_overflow(number):
    rows = np.broadcast_to(np.float16(number), (70_000, 3))
    gx = unbroadcast(rows, (3,))
    assert gx.dtype == np.float16
    np.testing.assert_allclose(gx, np.full(3, 70_000 * float(np.float16(number))), rtol=1e-3)


def test_gradient_of_a_row_added_to_many_keeps_precision(rng):
    bias, g = Tensor(np.zeros(3, np.float32), requires_grad=True), rng.random((70_000, 3), np.float32)
    (Tensor(np.zeros((70_000, 3), np.float32)) + bias).backward(g)
    np.testing.assert_allclose(bias.grad, g.sum(axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_gradient_of_a_long_cumulative_sum_keeps_precision(rng, axis):
    x, g = Tensor(np.zeros((5000, 2), np.float32), requires_grad=True), rng.random((5000, 2), np.float32)
    np.cumsum(x, axis).backward(g if axis is not None else g.reshape(-1))
    flat = g.reshape(-1) if axis is None else g
    right = np.flip(np.cumsum(np.flip(flat, axis or 0), axis or 0, np.float64), axis or 0).reshape(x.shape)
    assert x.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad, right, rtol=1e-6)


@pytest.mark.parametrize("layout", ["C", "F"])
def test_gradient_of_an_outer_product_of_equal_rows_keeps_precision(layout):
    a, b = (Tensor(np.ones(896, np.float32), requires_grad=True) for _ in range(2))
    g = np.array(np.broadcast_to(np.linspace(0.1, 1, 896, dtype=np.float32), (896, 896)), order=layout)
    np.outer(a, b).backward(g)
    np.testing.assert_allclose(b.grad, 896 * g[0].astype(np.float64), rtol=6e-7)  # 1.7e-6 in one piece
    np.testing.assert_allclose(a.grad, g.sum(axis=1, dtype=np.float64), rtol=6e-7)


def test_gradient_of_a_vector_multiplied_by_many_rows_keeps_precision():
    x, w = np.full((896, 3), 0.3, np.float32), Tensor(np.ones(3, np.float32), requires_grad=True)
    g = np.full(896, 0.7, np.float32)
    (Tensor(x) @ w).backward(g)
    np.testing.assert_allclose(w.grad, 896 * (g[0].astype(np.float64) * x[0]), rtol=6e-7)  # 3.6e-6 in one piece
