"""Tensor behaves as an array, and no call loses a gradient silently."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest

from numpyml import Tensor
from numpyml.errors import CallOrderError, DTypeError, ShapeError

A = np.arange(1.0, 7.0).reshape(2, 3)


def leaf(values: Any, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


@pytest.mark.parametrize(
    "op", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"]
)
@pytest.mark.parametrize("other", [2, 2.5, np.float64(2.5), A[0], A])
def test_operators_take_either_side(op: str, other: Any) -> None:
    f = getattr(operator, op)
    for result, expected in ((f(leaf(A), other), f(A, other)), (f(other, leaf(A)), f(other, A))):
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.data, expected)


def test_matmul_takes_either_side() -> None:
    for result in (leaf(A) @ A.T, A @ leaf(A.T)):
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.data, A @ A.T)


def test_unary_operators() -> None:
    t = leaf([-1, 2])
    assert [(-t).tolist(), (+t).tolist(), abs(t).tolist()] == [[1, -2], [-1, 2], [1, 2]]
    assert (~(t > 0)).tolist() == [True, False]
    assert ((t > 0) & (t < 1) | (t == 2)).tolist() == [False, True]
    assert ((t > 0) ^ (t > -2)).tolist() == [True, False]


METHODS = {
    "sum": {"axis": 0, "keepdims": True},
    "mean": {"axis": -1},
    "prod": {},
    "var": {"ddof": 1},
    "std": {"axis": 1},
    "max": {"axis": 0},
    "min": {},
    "cumsum": {"axis": 0},
    "all": {},
    "any": {"axis": 0},
    "argmax": {"axis": 1},
    "argmin": {},
    "argsort": {"axis": 0},
    "round": {"decimals": 1},
    "ravel": {},
    "flatten": {},
    "copy": {},
    "squeeze": {},
    "diagonal": {"offset": 1},
    "trace": {},
    "repeat": {"repeats": 2, "axis": 0},
    "take": {"indices": [0, 0], "axis": 1},
    "swapaxes": {"axis1": 0, "axis2": 1},
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_those_of_arrays(name: str) -> None:
    options = METHODS[name]
    positional = name == "swapaxes"
    result = getattr(leaf(A), name)(*options.values()) if positional else getattr(leaf(A), name)(**options)
    expected = getattr(A, name)(*options.values()) if positional else getattr(A, name)(**options)
    assert isinstance(result, Tensor)
    np.testing.assert_allclose(result.data, expected)


def test_methods_take_numpys_arguments_in_numpys_order() -> None:
    t = leaf(A)
    np.testing.assert_array_equal(t.clip(max=2).data, A.clip(max=2))
    np.testing.assert_array_equal(t.clip(min=2, max=3).data, A.clip(min=2, max=3))
    np.testing.assert_array_equal(t.std(0, None, None, 1).data, A.std(0, None, None, 1))
    np.testing.assert_array_equal(t.argmax(1, keepdims=True).data, A.argmax(1, keepdims=True))
    np.testing.assert_array_equal(t.argsort(0, "stable").data, A.argsort(0, "stable"))
    np.testing.assert_array_equal(t.astype("f4", copy=False).data, A.astype("f4", copy=False))
    assert t.copy().data.flags.c_contiguous and t.T.copy().data.flags.c_contiguous
    assert t.T.copy("F").data.flags.f_contiguous
    assert t.item(1, 2) == A.item(1, 2)
    assert t.mT.shape == (3, 2)
    assert [np.asarray(x.data).tolist() for x in divmod(t, 4)] == [x.tolist() for x in divmod(A, 4)]
    assert [x.tolist() for x in divmod(7, t)] == [x.tolist() for x in divmod(7, A)]


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.sum(dtype=np.float32),
        lambda t: t.max(initial=3),
        lambda t: t.mean(where=A > 1),
        lambda t: t.ravel("F"),
        lambda t: t.reshape(6, order="F"),
        lambda t: t.take([0], 0, None, "wrap"),
        lambda t: t.clip(1, 2, A),
    ],
)
def test_an_option_of_a_method_without_a_derivative_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"has no derivative here; leave \w+ out"):
        call(leaf(A))


def test_reflected_operators_with_lists_and_booleans() -> None:
    t = leaf([[0.5, 2.0], [3.0, 1.0]])
    ([[1.0, 2.0]] @ t).sum().backward()
    assert t.grad is not None and t.grad.tolist() == [[1, 1], [2, 2]]
    assert (True & (t > 1)).tolist() == [[False, True], [True, False]]
    assert (False | (t > 1)).tolist() == (True ^ (t <= 1)).tolist() == [[False, True], [True, False]]


def test_shapes_as_one_tuple_or_as_arguments() -> None:
    t = leaf(A)
    assert t.reshape(3, 2).shape == t.reshape((3, 2)).shape == t.reshape(3, -1).shape == (3, 2)
    assert t.transpose(1, 0).shape == t.transpose((1, 0)).shape == t.transpose().shape == t.T.shape == (3, 2)
    assert t.clip(2, 3).tolist() == A.clip(2, 3).tolist()
    assert t.dot(A.T).shape == (2, 2)
    assert t.astype(np.float32).dtype == np.float32


def test_ufunc_reduce_is_the_reduction() -> None:
    t = leaf(A)
    assert np.add.reduce(t).tolist() == A.sum(axis=0).tolist()
    assert np.maximum.reduce(t, axis=None).item() == 6
    assert np.multiply.reduce(t, axis=1, keepdims=True).shape == (2, 1)


def test_in_place_operators_make_a_new_tensor() -> None:
    x = leaf([1, 2])
    t = x
    t += 1
    t *= 2
    assert t is not x
    assert x.tolist() == [1, 2]
    t.backward(np.ones(2))
    assert x.grad.tolist() == [2, 2]


def test_item_assignment_is_an_error() -> None:
    with pytest.raises(TypeError, match="item assignment"):
        leaf([1, 2])[0] = 1  # type: ignore[index]


@pytest.mark.parametrize("call", [np.asarray, np.array, lambda t: np.sum([t, t])])
def test_a_gradient_is_never_lost_silently(call: Any) -> None:
    with pytest.raises(TypeError, match="lose the gradient"):
        call(leaf([1, 2]))


def test_a_tensor_without_a_gradient_is_an_array_to_numpy() -> None:
    assert np.asarray(Tensor(A)) is A
    assert np.asarray(Tensor(A), dtype=np.float32).dtype == np.float32
    assert np.array(Tensor(A)) is not A


def test_cast_to_integer_and_back_has_no_gradient() -> None:
    assert leaf([1.5]).astype(np.int64).node is None


def test_gradients_come_back_in_the_dtype_of_the_leaf() -> None:
    x = leaf([1, 2], np.float32)
    np.sum(x.astype(np.float64) * np.array([1.0, 2.0])).backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_python_numbers_keep_float32(shape: tuple[int, ...]) -> None:
    t = leaf(np.ones(shape), np.float32)
    results = [
        t * 2,
        2.5 * t,
        t / 3,
        1 / t,
        t**2,
        t**0.5,
        2.0**t,
        np.maximum(t, 0.1),
        np.clip(t, 0.1, 0.9),
        np.sum(t) / 2,
    ]
    results += [
        np.where(t > 0, t, 0.0),
        np.dot(t, 2.0),
        np.mean(t) * 0.1,
        np.var(t),
        np.linalg.norm(np.ravel(t)) + 1e-5,
    ]
    assert {y.dtype for y in results} == {np.dtype(np.float32)}
    for y in results:
        y.backward(np.ones(y.shape))
    assert t.grad.dtype == np.float32


def test_python_control_flow() -> None:
    x = leaf(3.0)
    y = x
    while y > 1:
        y = y / 2
    if bool(y < 1) and float(y) == 0.75 and int(y * 4) == 3:
        y = y * y
    y.backward()
    assert x.grad == 2 * 0.75 / 4


def test_iteration_and_unpacking() -> None:
    x = leaf(A)
    first, second = x
    assert len(x) == 2
    np.sum(first * second).backward()
    assert x.grad.tolist() == [A[1].tolist(), A[0].tolist()]
    with pytest.raises(TypeError):
        iter(leaf(1.0))


def test_an_integer_tensor_indexes() -> None:
    assert [10, 20, 30][Tensor(1)] == 20
    assert leaf(A)[Tensor([1, 0])].tolist() == A[[1, 0]].tolist()
    assert leaf(A)[Tensor(0) : Tensor(1)].shape == (1, 3)
    assert 2.0 in leaf(A)


def test_views_pass_gradients_on() -> None:
    x = leaf(A)
    np.sum(x.T[1:].reshape(-1)[::2] * 3).backward()
    assert x.grad.tolist() == [[0, 3, 3], [0, 0, 0]]


def test_scalars_and_empty_arrays() -> None:
    x, empty = leaf(2.0), leaf(np.zeros((0, 3)))
    (x * x).backward()
    assert x.grad.shape == ()
    assert x.grad == 4
    np.sum(empty @ np.ones((3, 2))).backward()
    assert empty.grad.shape == (0, 3)


def test_a_leaf_is_its_own_gradient_path() -> None:
    x = leaf([1, 2])
    x.backward(np.array([3, 4]))
    assert x.grad.tolist() == [3, 4]


def test_detach_cuts_the_graph_and_shares_the_data() -> None:
    x = leaf([1, 2])
    assert x.detach().data is x.data is x.numpy()
    with pytest.raises(CallOrderError, match="nothing was recorded"):
        np.sum(x.detach()).backward()


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        ((), r"expected a scalar, got shape \(2,\).*gradient="),
        *(((g,), r"expected a real gradient of shape \(2,\)") for g in (np.ones(3), 1.0, np.ones(2, complex))),
    ],
)
def test_backward_needs_a_real_gradient_of_its_shape(gradient: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        leaf([1, 2]).backward(*gradient)


def test_data_that_cannot_be_differentiated_is_an_error() -> None:
    with pytest.raises(DTypeError, match="got an array of complex128"):
        Tensor(np.ones(2, complex))
    with pytest.raises(DTypeError, match=r"got an array of int64.*requires_grad=False"):
        Tensor(np.ones(2, np.int64), requires_grad=True)
    with pytest.raises(DTypeError, match=r"t.detach\(\)"):
        Tensor(Tensor([1.0]))


def test_repr_says_whether_a_gradient_is_required() -> None:
    assert repr(leaf([1, 2])) == "Tensor([1., 2.], dtype=float64, requires_grad=True)"
    assert repr(Tensor([1, 2], dtype=np.float32)) == "Tensor([1., 2.], dtype=float32)"


def test_tensors_are_hashed_by_identity() -> None:
    x, y = leaf([1]), leaf([1])
    assert len({x, y, x}) == 2


def test_only_a_tensor_without_a_graph_is_copied():
    leaf = Tensor([1.0, 2.0], requires_grad=True)
    for other in (copy.deepcopy(leaf), pickle.loads(pickle.dumps(leaf))):
        assert other.requires_grad and np.array_equal(other.data, leaf.data)
    for call in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"copy t\.detach\(\)"):
            call(leaf * 3)


def test_requires_grad_is_checked_whenever_it_is_set():
    integers = Tensor([1, 2])
    with pytest.raises(DTypeError, match="expected floating data"):
        integers.requires_grad = True
    with pytest.raises(DTypeError, match="True or False"):
        Tensor([1.0]).requires_grad = "no"


def test_numpy_scalar_does_not_widen_a_tensor():
    t = Tensor(np.ones(3, np.float32))
    assert (t * np.sqrt(2.0)).dtype == np.float32
    assert (np.float64(2) / t).dtype == np.float32
    assert (t * np.ones(3)).dtype == np.float64  # an array does, as in NumPy
