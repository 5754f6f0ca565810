"""The Transformer's layers and stacks."""

import numpy as np
import pytest

import numpyml
from numpyml.errors import OptionError
from numpyml.nn import activations, layers

SMALL = {"d_model": 8, "nhead": 2, "dim_feedforward": 6, "dropout": 0.0, "batch_first": True, "dtype": np.float64}


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu", activations.SiLU(), np.tanh])
def test_gradients_are_those_of_differences(norm_first, activation, rng):
    options = SMALL | {"norm_first": norm_first, "activation": activation}
    x, memory = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 4, 8))
    assert numpyml.gradcheck(layers.TransformerEncoderLayer(**options), x).passed
    assert numpyml.gradcheck(layers.TransformerDecoderLayer(**options), x, memory).passed


def test_a_decoder_with_a_causal_mask_does_not_see_what_comes(rng):
    model = layers.Transformer(8, 2, 1, 1, 6, 0.0, batch_first=True)
    source, target = rng.standard_normal((2, 4, 8)), rng.standard_normal((2, 5, 8))
    mask = model.generate_square_subsequent_mask(5)
    before = model.forward(source, target, tgt_mask=mask)
    target[:, 3:] = 0
    np.testing.assert_array_equal(model.forward(source, target, tgt_mask=mask)[:, :3], before[:, :3])


def test_the_layers_of_a_stack_are_copies(rng):
    layer = layers.TransformerEncoderLayer(**SMALL)
    stack = layers.TransformerEncoder(layer, 3)
    assert len({id(p) for p in stack.parameters()}) == 3 * len(list(layer.parameters()))
    x = rng.standard_normal((1, 2, 8))
    np.testing.assert_array_equal(stack.forward(x), layer.forward(layer.forward(layer.forward(x))))


def test_matrices_of_a_transformer_start_with_xaviers_range():
    model = layers.Transformer(16, 2, 1, 1, 32)
    weight = model.encoder.layers[0].linear1.weight.data
    assert 0.9 < np.abs(weight).max() / np.sqrt(6 / (16 + 32)) <= 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: layers.TransformerEncoderLayer(8, 3), "num_heads to be a divisor of embed_dim=8, got int 3"),
        (lambda: layers.TransformerEncoderLayer(8, 2, activation="selu"), "'relu', 'gelu' or a function"),
        (lambda: layers.TransformerEncoder(None, 2), "the layer to be a module, got None"),
        (
            lambda: layers.TransformerDecoder(layers.TransformerDecoderLayer(8, 2), 0),
            "num_layers .* 1 or more, got int 0",
        ),
    ],
)
def test_bad_options_are_refused(make, said):
    with pytest.raises(OptionError, match=said):
        make()
