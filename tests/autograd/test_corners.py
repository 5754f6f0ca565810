"""Derivatives at corners and at the end of a domain, and the calls that have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numpyml import Tensor
from numpyml.autograd.gradcheck import gradcheck
from numpyml.errors import DerivativeError, OptionError, ShapeError

Function = Callable[..., Any]


def test_an_option_of_a_ufunc_is_an_error() -> None:
    t = Tensor(np.ones(3), requires_grad=True)
    for options in ({"out": np.empty(3)}, {"where": np.array([True, False, True])}, {"dtype": np.float32}):
        with pytest.raises(TypeError, match=r"numpy\.exp"):
            np.exp(t, **options)
    array = np.ones(3)
    with pytest.raises(TypeError, match=r"numpy\.add"):
        array += t


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.fft.fft(t), "numpy.fft.fft has no derivative"),
        (lambda t: np.linalg.norm(t, 2), "ord=2 of a matrix"),
        (lambda t: np.linalg.norm(t, "nuc"), "ord='nuc' of a matrix"),
        (lambda t: np.pad(t, 1, "mean"), "mode='mean'"),
        (lambda t: np.einsum(t, [0, 1], [1, 0]), "subscripts as a string"),
        (lambda t: np.einsum("ii->i", t[:, :1]), "diagonal 'ii'"),
        (lambda t: np.concatenate(t), "expected arrays to be a list of Tensors, got a Tensor; pass list"),
        (lambda t: t * [t, t], "np.stack them"),
        (lambda t: np.where(t, t, t), "no derivative with respect to condition"),
        (lambda t: np.add.accumulate(t), "numpy.add.accumulate"),
        (lambda t: np.reshape(t, 4, "F"), "order=...\\) has no derivative"),
        (lambda t: np.add(t, t, np.empty(4)), "numpy.add"),
    ],
)
def test_function_without_a_derivative_is_refused_by_name(call: Function, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(Tensor(np.ones((2, 2)), requires_grad=True))


def gradient(call: Function, *values: Any) -> Any:
    leaves = [Tensor(np.asarray(v, np.float64), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        y = call(*leaves)
    np.sum(y).backward()
    return [x.grad.tolist() for x in leaves] if len(leaves) > 1 else leaves[0].grad.tolist()


INF = float("inf")


@pytest.mark.parametrize(
    ("call", "values", "expected"),
    [
        (lambda x: x**0, [[0.0, 2.0, -1.0]], [0, 0, 0]),
        (lambda x: x**2, [[0.0, -1.0]], [0, -2]),
        (lambda x: x**0.5, [[0.0]], [INF]),
        (lambda a, b: a**b, [[0.0, 0.0, 0.0], [0.0, 2.0, 1.0]], [[0, 0, 1], [0, 0, 0]]),
        (np.sqrt, [[0.0]], [INF]),
        (np.log, [[0.0]], [INF]),
        (np.abs, [[0.0]], [0]),
        (np.maximum, [[1.0, 2.0], [1.0, 1.0]], [[0.5, 1], [0.5, 0]]),
        (np.fmax, [[1.0, 2.0], [1.0, np.nan]], [[1, 1], [0, 0]]),
        (lambda x: np.clip(x, 0, 1), [[-1.0, 0.0, 1.0, 2.0]], [0, 1, 1, 0]),
        (np.max, [[1.0, 3.0, 3.0]], [0, 0.5, 0.5]),
        (np.prod, [[0.0, 3.0, 2.0]], [6, 0, 0]),
        (np.prod, [[0.0, 0.0, 2.0]], [0, 0, 0]),
        (np.std, [[1.0, 1.0]], [0, 0]),
        (np.linalg.norm, [[0.0, 0.0]], [0, 0]),
        (lambda x: np.linalg.norm(x, INF), [[1.0, -1.0]], [0.5, -0.5]),
        (lambda x: x[[0, 0, 1]], [[1.0, 2.0, 3.0]], [2, 1, 0]),
    ],
)
def test_gradients_at_corners_match_pytorch(call: Function, values: Any, expected: Any) -> None:
    assert gradient(call, *values) == expected


def test_backward_raises_no_warning_where_forward_gave_infinity() -> None:
    with np.errstate(all="raise"):
        t = Tensor(np.zeros(3), requires_grad=True)
        np.sqrt(t).sum().backward()
    assert np.isinf(t.grad).all()


@pytest.mark.parametrize(("a", "b", "quotient"), [(1.0, 0.1, 9), (-1.0, 0.1, -9), (3.0, -0.1, -29), (7.0, 2.0, 3)])
def test_gradient_of_fmod_is_the_exact_integer_quotient(a, b, quotient) -> None:
    divisor = Tensor(b, requires_grad=True)
    np.fmod(a, divisor).backward()
    assert divisor.grad == -quotient


@pytest.mark.parametrize(
    ("a", "b", "gradient"),
    [
        (-1.0, 2.0**30, -(2.0**30)),  # even, and b - 1 is rounded to an even number
        (-1.0, -(2.0**30), 2.0**30),
        (-0.0, -(2.0**30), np.inf),
        (-2.0, 1e-30, np.nan),  # b - 1 is rounded to -1, so its power is finite, while that of b is NaN
        (-0.0, 1e-30, np.inf),
        (-2.0, 3.0, 12.0),
        (-0.0, 2.0, -0.0),
        (-np.inf, 2.0, -np.inf),
        (np.nan, 1.0, 1.0),
        (-3.0, 0.0, 0.0),
    ],
)
def test_gradient_of_power_does_not_depend_on_a_rounded_exponent(a: float, b: float, gradient: float) -> None:
    base = Tensor(np.float32(a), requires_grad=True)
    with np.errstate(all="ignore"):
        np.power(base, np.float32(b)).backward()
    np.testing.assert_array_equal(base.grad, np.float32(gradient))
    assert np.isnan(gradient) or np.signbit(base.grad) == np.signbit(gradient)


def test_gradient_of_an_underflowing_product_is_the_product_of_the_others() -> None:
    x = Tensor(np.float32([1e-30, 1e-20, 3.0]), requires_grad=True)
    np.prod(x).backward()
    np.testing.assert_allclose(x.grad, [3e-20, 3e-30, 0], rtol=1e-6)
    tiny = Tensor(np.float32(-3e-42), requires_grad=True)
    np.prod(tiny).backward(np.float32(0.125))
    assert tiny.grad == np.float32(0.125)


@pytest.mark.parametrize(
    ("function", "x", "gradient"),
    [
        (np.expm1, -28.5, 4.1937956583795444e-13),
        (np.arcsin, 0.9999999, 2236.0680339899749),
        (np.arccos, -0.9999999, -2236.0680339899749),
        (np.arctanh, 0.9999999, 5000000.2526317917),
        (np.arccosh, 1.0000001, 2236.0679209453090),
        (np.arcsinh, 1e300, 1e-300),
    ],
)
def test_gradient_at_the_end_of_the_domain_keeps_precision(function, x, gradient) -> None:
    operand = Tensor(x, requires_grad=True)
    function(operand).backward()
    np.testing.assert_allclose(operand.grad, gradient, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-19, 1e-30, 1e25])
def test_gradient_of_arctan2_neither_overflows_nor_underflows_in_a_square(scale) -> None:
    a, b = (Tensor(np.float32(x * scale), requires_grad=True) for x in (1.0, 2.0))
    np.arctan2(a, b).backward()
    np.testing.assert_allclose([a.grad * scale, b.grad * scale], [0.4, -0.2], rtol=1e-6)


def test_gradient_of_arctan2_is_finite_where_the_derivative_overflows() -> None:
    a, b = (Tensor(np.float32(1e-40), requires_grad=True) for _ in range(2))
    np.arctan2(a, b).backward(np.float32(1e-4))  # the derivative is 5e39
    np.testing.assert_allclose([a.grad, b.grad], [5e35, -5e35], rtol=1e-4)


def test_an_infinite_bound_of_clip_has_the_gradient_where_it_is_the_value() -> None:
    low, high = Tensor(np.array([np.inf, -np.inf]), True), Tensor(np.array([np.inf, -np.inf]), True)
    np.clip(np.zeros(2), low, None).backward(np.ones(2))
    np.clip(np.zeros(2), None, high).backward(np.ones(2))
    assert low.grad is not None and low.grad.tolist() == [1, 0]
    assert high.grad is not None and high.grad.tolist() == [0, 1]


def test_bounds_of_clip_have_gradients() -> None:
    assert gradcheck(
        lambda a, low, high: np.clip(a, low, high), np.linspace(-2, 2, 8), np.array(-0.9), np.array(0.8)
    ).passed


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="the keywords are new in NumPy 2.1")
def test_new_keywords_have_gradients() -> None:
    x = np.linspace(-2, 2, 8)
    assert gradcheck(lambda a, low, high: np.clip(a, min=low, max=high), x, np.array(-0.9), np.array(0.8)).passed
    assert gradcheck(lambda a: np.reshape(a, shape=(2, 4)), x).passed
    assert gradcheck(lambda a: np.var(a, correction=1), x).passed


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) >= "2.1.0", reason="the keyword is gone")
def test_old_keyword_of_reshape_has_a_gradient() -> None:
    assert gradcheck(lambda a: np.reshape(a, newshape=(2, 4)), np.linspace(-2, 2, 8)).passed


@pytest.mark.parametrize("order", [None, 3, 4])
def test_gradient_of_a_norm_that_underflows_is_zero(order):
    x = Tensor(np.array([1e-170, 1e-170]), requires_grad=True)
    with np.errstate(all="ignore"):
        np.linalg.norm(x, order).backward()
    np.testing.assert_array_equal(x.grad, [0, 0])


def test_gradient_of_reciprocal_is_finite_where_the_derivative_overflows():
    x = Tensor(np.float32([1e-20]), requires_grad=True)
    np.reciprocal(x).backward(np.float32([1e-10]))
    np.testing.assert_allclose(x.grad, [-1e30], rtol=1e-6)


REFUSED = [
    (lambda: np.hsplit(ones(), 1), ShapeError, r"numpy\.hsplit expected an array of 1 axes or more, got shape \(\)"),
    (lambda: np.vsplit(ones(2), 1), ShapeError, r"numpy\.vsplit expected an array of 2 axes or more, got shape \(2,\)"),
    (lambda: np.dsplit(ones(2, 2), 1), ShapeError, r"numpy\.dsplit expected an array of 3 axes or more"),
    (lambda: np.diff(ones(3), n=-1), OptionError, r"numpy\.diff expected n of 0 or more, got -1"),
    (lambda: np.diff(ones(3), axis=-2), OptionError, r"numpy\.diff expected an axis of an array of shape \(3,\), got"),
    (lambda: np.diff(ones()), OptionError, r"numpy\.diff expected an axis"),
    (lambda: np.diff(ones(3), axis=None), TypeError, "'NoneType' object cannot be interpreted as an integer"),
    (lambda: np.inner(ones(2), ones(3)), ValueError, r"shapes \(2,\) and \(3,\) not aligned"),
    (lambda: np.stack([ones(2), ones(3)]), ValueError, "all input arrays must have the same shape"),
    (lambda: np.pad(ones(2), 1, "mean"), DerivativeError, r"numpy\.pad with mode='mean' has no derivative"),
]


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape), requires_grad=True)


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_arguments_that_numpy_refuses_are_an_error_with_the_expectation(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "shape", "gradient"),
    [
        (lambda x: np.sum(x, axis=-1), (), 1),
        (lambda x: np.max(x, axis=-1), (), 1),
        (lambda x: np.prod(x, axis=0), (), 1),
        (lambda x: np.linalg.norm(x, axis=0.5), (2, 2), 0.5**0.5),
        (lambda x: np.transpose(x, -1), (3,), 1),
        (lambda x: np.repeat(x, 2, axis=0), (), 2),
        (lambda x: np.repeat(x, -1), (0,), 0),
        (lambda x: np.tile(x, -1), (0,), 0),
        (lambda x: np.tile(x, 1.0), (2,), 1),
        (lambda x: np.take(x, 1.5), (2,), [0, 1]),
        (lambda x: np.take(x, True), (2,), [0, 1]),
        (lambda x: np.take(x, [], axis=0), (), 0),
        (lambda x: np.diff(x, n=0), (), 1),
        (lambda x: np.full_like(x[0, 0], x), (1, 1, 2), 1),
    ],
)
def test_whatever_numpy_accepts_has_a_gradient(call, shape, gradient) -> None:
    try:
        call(np.ones(shape))
    except (TypeError, ValueError):
        pytest.skip("this NumPy refuses it")
    x = ones(*shape)
    y = call(x)
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(x.grad, np.broadcast_to(gradient, shape))
