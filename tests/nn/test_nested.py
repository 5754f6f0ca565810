"""Nested inputs and outputs, through both drivers."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from cells import LSTMCell, Recurrent

import numpyml
from numpyml import Tensor, nested
from numpyml.errors import DTypeError, ShapeError
from numpyml.nested import LEAF
from numpyml.nn import Module, model


class Pair(NamedTuple):
    a: Any
    b: Any


def test_flatten_and_unflatten_round_trip():
    value = {"a": (1, None, [2, Pair(3, ())]), "b": 4}
    leaves, structure = nested.flatten(value)
    assert leaves == [1, 2, 3, 4] == nested.leaves(value)
    assert structure == {"a": (LEAF, None, [LEAF, Pair(LEAF, ())]), "b": LEAF}
    restored = nested.unflatten(structure, leaves)
    assert restored == value and type(restored["a"][2][1]) is Pair
    assert nested.map_leaves(lambda leaf: -leaf, value) == {"a": (-1, None, [-2, Pair(-3, ())]), "b": -4}
    assert nested.map_leaves(lambda leaf: leaf, value) is value
    assert nested.flatten(5) == ([5], LEAF) and nested.flatten(None) == ([], None)


def test_leaves_of_another_nesting_are_refused():
    structure = (LEAF, [LEAF, None, LEAF], {"k": LEAF})
    assert nested.flatten_as(structure, (1, [2, None, 3], {"k": 4})) == [1, 2, 3, 4]
    assert nested.flatten_as(structure, (1, None, {"k": 4})) == [1, None, None, 4]
    assert nested.flatten_as(structure, (1, False, {"k": 4})) == [1, False, False, 4]
    for wrong in ((1, [2, None, 3]), (1, 2, {"k": 4}), (1, [2, 3], {"k": 4}), (1, [2, None, 3], {"l": 4}), 5):
        with pytest.raises(ValueError, match=r"^$"):
            nested.flatten_as(structure, wrong)


@pytest.fixture
def arrays(rng):
    return rng.standard_normal((3, 2, 4))


@pytest.fixture
def gradients(rng):
    return rng.standard_normal((3, 2, 4))


def test_both_drivers_accept_and_return_nested_values(arrays, gradients):
    cell = LSTMCell(4, 4, dtype=np.float64)
    x, h0, c0 = arrays
    y, (h, c) = cell.forward(x, (h0, c0))
    gx, (gh0, gc0) = cell.backward(gradients[0], tuple(gradients[1:]))
    explicit = [g.copy() for g in cell.gradients()]
    cell.zero_grad()
    tx, th, tc = (Tensor(a, requires_grad=True) for a in arrays)
    ty, (dh, dc) = cell(tx, (th, tc))
    np.sum(ty * gradients[0] + dh * gradients[1] + dc * gradients[2]).backward()
    for a, b in zip((y, h, c), (ty, dh, dc), strict=True):
        assert np.array_equal(a, b.data)
    for a, b in zip((gx, gh0, gc0, *explicit), (tx.grad, th.grad, tc.grad, *cell.gradients()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("used", [0, 1, 2])
def test_any_one_of_the_outputs_may_be_used_in_a_loss(arrays, gradients, used):
    cell = LSTMCell(4, 4, dtype=np.float64)
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    y, (h, c) = cell(tensors[0], tuple(tensors[1:]))
    (y, h, c)[used].backward(gradients[used])
    x, h0, c0 = arrays
    cell.forward(x, (h0, c0))
    gys = [g if i == used else np.zeros_like(g) for i, g in enumerate(gradients)]
    gx, (gh0, gc0) = cell.backward(gys[0], (gys[1], gys[2]))
    for a, t in zip((gx, gh0, gc0), tensors, strict=True):
        assert np.array_equal(a, t.grad)


def test_gradients_agree_with_differences(arrays):
    cell = LSTMCell(4, 4, dtype=np.float64)

    def step(x, h, c):
        y, (h, c) = cell(x, (h, c))
        return y, h, c

    assert numpyml.gradcheck(step, *arrays).passed


def test_a_model_of_nested_values_works_in_both_drivers(arrays, gradients):
    net = Recurrent(4)
    x, h, c = arrays
    states = [(h, c), (c, h)]
    out = net.forward(x, states)
    assert out["y"].shape == (2, 1) and out["nothing"] is None and type(out["states"]) is list
    gy, (gh, gc) = gradients[0][:, :1], gradients[1:]
    gx, gstates = net.backward({"y": gy, "states": [(gh, gc), (gc, gh)], "nothing": None})
    assert type(gstates) is list and [type(pair) for pair in gstates] == [tuple, tuple]
    tx, pairs = Tensor(x, requires_grad=True), [tuple(Tensor(a, requires_grad=True) for a in pair) for pair in states]
    outputs = net(tx, pairs)
    (first_h, first_c), (second_h, second_c) = outputs["states"]
    np.sum(outputs["y"] * gy).backward(retain_graph=True)
    for tensor, g in ((first_h, gh), (first_c, gc), (second_h, gc), (second_c, gh)):
        tensor.backward(g, retain_graph=True)
    np.testing.assert_allclose(gx, tx.grad, rtol=1e-12)
    for ours, theirs in zip(nested.leaves(gstates), nested.leaves(pairs), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, rtol=1e-12)


def test_nested_inputs_of_integers_and_none_get_no_gradient(arrays):
    class Pick(Module):
        def compute(self, table, options):
            rows, extra = options["rows"], options["extra"]
            return table[rows], (rows, table.shape, extra)

        def pullback(self, context, gy, needs_input_grad):
            rows, shape, _ = context
            assert needs_input_grad == [True, {"rows": False, "extra": None}] or needs_input_grad == (
                True,
                {"rows": False, "extra": None},
            )
            gx = np.zeros(shape)
            np.add.at(gx, rows, gy)
            return gx, None

    pick, options = Pick(), {"rows": np.array([1, 1]), "extra": None}
    y = pick.forward(arrays[0], options)
    gx, rest = pick.backward(np.ones_like(y))
    assert np.array_equal(gx, [[0] * 4, [2] * 4]) and rest == {"rows": None, "extra": None}
    t = Tensor(arrays[0], requires_grad=True)
    pick(t, options).backward(np.ones_like(y))
    assert np.array_equal(t.grad, gx)


def test_the_gradient_of_one_nested_input_is_nested(arrays):
    class Sum(Module):
        def forward(self, pair):
            return pair[0] * 2 + pair[1]

    add = Sum()
    y = add.forward((arrays[0], arrays[1]))
    ga, gb = add.backward(np.ones_like(y))
    assert np.array_equal(ga, 2 * np.ones_like(y)) and np.array_equal(gb, np.ones_like(y))
    assert add.forward([[1.0, 2.0], [3.0, 4.0]]).tolist() == [5.0, 8.0]  # numbers alone are one array


def test_tuples_pass_between_modules(arrays):
    class Swap(Module):
        def forward(self, pair):
            return pair[1], pair[0] * 3

    net = model.Sequential(Swap(), Swap())
    a, b = net.forward((arrays[0], arrays[1]))
    assert np.array_equal(a, 3 * arrays[0]) and np.array_equal(b, 3 * arrays[1])
    ga, gb = net.backward(arrays[0], arrays[1])
    assert np.array_equal(ga, 3 * arrays[0]) and np.array_equal(gb, 3 * arrays[1])


def test_gradients_of_another_nesting_are_refused_and_nothing_changes(arrays):
    cell = LSTMCell(4, 4, dtype=np.float64)
    x, h0, c0 = arrays
    cell.forward(x, (h0, c0))
    with pytest.raises(ShapeError, match="expected 2 gradients, one per output, got 1"):
        cell.backward(x)
    with pytest.raises(ShapeError, match=r"nested as the output, array, \(array, array\), got an array of float64"):
        cell.backward(x, h0)
    with pytest.raises(ShapeError, match=r"real gradient of shape \(2, 4\)"):
        cell.backward(x, (h0, c0[:1]))
    assert not any(g.any() for g in cell.gradients())
    cell.backward(x, (h0, c0))


def test_a_mutable_argument_is_not_copied(arrays):
    class Remember(Module):
        def forward(self, x, seen):
            seen.append(x)
            return x * 2

    seen = [Tensor(arrays[0])]
    Remember()(Tensor(arrays[0]), seen)
    assert len(seen) == 2


def test_a_forward_that_returns_something_else_is_refused(arrays):
    class Wrong(Module):
        def forward(self, x):
            return x, "text"

    with pytest.raises(DTypeError, match="expected forward to return a Tensor, or Tensors in tuples"):
        Wrong().forward(arrays[0])


def test_a_pullback_of_another_nesting_is_refused(arrays):
    class Misnested(Module):
        def compute(self, x, states):
            return x + states[0] + states[1], None

        def pullback(self, context, gy):
            return gy, (gy,)

    layer, (x, h, c) = Misnested(), arrays
    expected = (
        r"Misnested\(\) expected pullback to return gradients nested as the inputs, \(array, \(array, array\)\), "
        r"got \(array, \(array,\)\); return None"
    )
    y = layer.forward(x, (h, c))
    with pytest.raises(ShapeError, match=expected):
        layer.backward(y)
    with pytest.raises(ShapeError, match=expected):
        layer(Tensor(x, requires_grad=True), (h, c)).sum().backward()
