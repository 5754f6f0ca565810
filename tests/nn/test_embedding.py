"""Embedding, also where it shares its table with the layer at the other end."""

import numpy as np
import pytest

from numpyml import Tensor
from numpyml.errors import DataError, DTypeError, NumpymlError, OptionError, ShapeError
from numpyml.nn import Module
from numpyml.nn.layers import Dense, Embedding


def test_lookup_and_accumulated_gradients(rng):
    layer = Embedding(5, 3, dtype=np.float64)
    ids = np.array([[1, 4, 1], [0, 1, 4]])
    assert np.array_equal(layer.forward(ids), layer.weight.data[ids])
    gy = rng.standard_normal((2, 3, 3))
    layer.backward(gy)
    expected = np.zeros((5, 3))
    np.add.at(expected, ids, gy)
    np.testing.assert_allclose(layer.weight.grad, expected)


def test_padding_is_initialized_with_zeros_and_gets_no_gradient(rng):
    layer = Embedding(4, 2, padding_idx=-1)
    assert not layer.weight.data[3].any()
    layer.forward(np.array([3, 1]))
    layer.backward(np.ones((2, 2)))
    assert not layer.weight.grad[3].any() and layer.weight.grad[1].all()


def test_vectors_above_max_norm_are_scaled_down():
    layer = Embedding(3, 2, max_norm=1.0)
    layer.weight.data = [[3, 4], [0.3, 0.4], [30, 40]]
    layer.forward(np.array([0, 1]))
    np.testing.assert_allclose(layer.weight.data, [[0.6, 0.8], [0.3, 0.4], [30, 40]], rtol=1e-6)


def test_pretrained_weight_is_copied_and_frozen():
    table = np.arange(6.0).reshape(3, 2)
    layer = Embedding.from_pretrained(table)
    table[0] = 9
    assert layer.weight.dtype == np.float64 and not layer.weight.requires_grad
    assert np.array_equal(layer.forward(np.array(0)), [0, 1])
    with pytest.raises(ShapeError, match="expected a table"):
        Embedding.from_pretrained(np.ones(3))


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 5], DataError, "indices from 0 to 4, got 5"),
        ([-1, 2], DataError, "indices from 0 to 4, got -1"),
        ([0.0, 1.0], DTypeError, "expected integer indices"),
        ([True], DTypeError, "expected integer indices"),
    ],
)
def test_bad_indices_are_refused_and_change_nothing(ids, error, message):
    layer = Embedding(5, 2, max_norm=0.01)
    before = layer.weight.data.copy()
    with pytest.raises(error, match=message):
        layer.forward(np.array(ids))
    assert np.array_equal(layer.weight.data, before)


def test_padding_idx_out_of_range_is_an_error():
    with pytest.raises(OptionError, match="padding_idx to be from -4 to 3, got 4"):
        Embedding(4, 2, padding_idx=4)


class Tied(Module):
    """Reads and writes with one table."""

    def __init__(self):
        self.embedding = Embedding(5, 3, dtype=np.float64)
        self.head = Dense(3, 5, bias=False, dtype=np.float64)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.embedding(ids))


def test_tied_weights_are_one_parameter_and_accumulate_both_gradients(rng):
    model, ids, gy = Tied(), np.array([1, 3, 1]), rng.standard_normal((3, 5))
    assert len(list(model.parameters())) == 1
    model(Tensor(ids)).backward(gy)
    table = model.embedding.weight.data
    expected = gy.T @ table[ids]
    np.add.at(expected, ids, gy @ table)
    np.testing.assert_allclose(model.embedding.weight.grad, expected)


def test_tied_weights_that_disagree_are_refused_and_change_nothing():
    model = Tied()
    before, state = model.embedding.weight.data.copy(), model.state_dict()
    assert set(state) == {"embedding.weight", "head.weight"}
    with pytest.raises(NumpymlError, match=r"head\.weight"):
        model.load_state_dict(state | {"head.weight": state["head.weight"] + 1})
    assert np.array_equal(model.embedding.weight.data, before)
    model.load_state_dict({name: x + 1 for name, x in state.items()})
    assert np.array_equal(model.embedding.weight.data, before + 1)
