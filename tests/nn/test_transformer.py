"""The Transformer's layers and stacks."""

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.errors import DataError, DTypeError, NumpymlError, OptionError, ShapeError, StateError
from numpyml.nn import Module, activations, layers, losses, optimizers, utils

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
        (lambda: layers.TransformerEncoderLayer(8, 3), "num_heads to be a divisor of embed_dim=8, such as 2, got .*3"),
        (lambda: layers.TransformerEncoderLayer(8, 2, activation="selu"), "'relu', 'gelu' or a function"),
        (lambda: layers.TransformerEncoder(None, 2), "the layer to be a module, got None"),
        (
            lambda: layers.TransformerDecoder(layers.TransformerDecoderLayer(8, 2), 0),
            "num_layers .* 1 or more, got int 0",
        ),
        (lambda: layers.Transformer(8, 2, custom_encoder=3), "custom_encoder to be a module or None, got int 3"),
        (lambda: layers.Transformer(8, 2, custom_decoder="none"), "custom_decoder to be a module or None, got str"),
        (lambda: layers.Transformer.generate_square_subsequent_mask(-1), "sz to be a whole number of 0 or more"),
        (lambda: layers.Transformer.generate_square_subsequent_mask(2.5), "sz to be a whole number of 0 or more"),
    ],
)
def test_bad_options_are_refused(make, said):
    with pytest.raises(OptionError, match=said):
        make()


def test_a_causal_mask_is_of_floats():
    mask = layers.Transformer.generate_square_subsequent_mask(3, np.float64)
    assert np.array_equal(mask, [[0, -np.inf, -np.inf], [0, 0, -np.inf], [0, 0, 0]]) and mask.dtype == np.float64
    with pytest.raises(DTypeError, match=r"dtype expected a real floating type .*, got int64"):
        layers.Transformer.generate_square_subsequent_mask(3, np.int64)


class Translator(Module):
    """Tokens to tokens, with one table that reads and writes."""

    def __init__(self, dropout=0.0, dtype=np.float64):
        self.token = layers.Embedding(7, 8, dtype=dtype)
        self.place = layers.LearnedPositionalEncoding(8, 5, batch_first=True, dtype=dtype)
        self.transformer = layers.Transformer(8, 2, 1, 1, 6, dropout, batch_first=True, dtype=dtype)
        self.head = layers.Dense(8, 7, bias=False, dtype=dtype)
        self.head.weight = self.token.weight

    def forward(self, source, target, **masks):
        embedded = (self.place(self.token(tokens)) for tokens in (source, target))
        return self.head(self.transformer(*embedded, **masks))


@pytest.fixture
def texts(rng):
    return rng.integers(1, 7, (6, 4)), rng.integers(1, 7, (6, 5))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            {"tgt_mask": np.zeros((4, 4))},
            ShapeError,
            r"decoder\.layers\[0\]\.self_attn .* \(5, 5\) or \(12, 5, 5\)",
        ),
        ({"src_mask": np.zeros((4, 4), int)}, DTypeError, r"encoder\.layers\[0\]\.self_attn .* boolean or floating"),
        ({"memory_mask": np.zeros((4, 5))}, ShapeError, r"decoder\.layers\[0\]\.multihead_attn .* attn_mask \(5, 4\)"),
        ({"src_key_padding_mask": np.zeros((4, 6), bool)}, ShapeError, r"key_padding_mask \(6, 4\), got \(4, 6\)"),
        ({"tgt_key_padding_mask": np.zeros((6, 5), "U1")}, DTypeError, "key_padding_mask to be boolean or floating"),
        ({"memory_key_padding_mask": np.zeros((6, 5))}, ShapeError, r"key_padding_mask \(6, 4\), got \(6, 5\)"),
        ({"tgt_is_causal": True}, OptionError, "expected an attn_mask where is_causal=True"),
        ({"src_is_causal": "no"}, OptionError, "is_causal to be True or False, got "),
        ({"tgt_is_causal": "no"}, OptionError, "tgt_is_causal to be True or False, got str"),
        ({"memory_is_causal": "no"}, OptionError, "is_causal to be True or False, got "),
    ],
)
@pytest.mark.parametrize("driver", ["explicit", "dynamic"])
def test_bad_masks_are_refused_at_their_place_and_change_nothing(call, error, said, driver, texts):
    refused(Translator(), texts, error, said, driver, **call)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda s, t: (s + 7, t), DataError, r"Translator\.token .* expected numbers from 0 to 6, got"),
        (lambda s, t: (s, t - 7), DataError, r"Translator\.token .* expected numbers from 0 to 6, got -"),
        (lambda s, t: (s * 0.5, t), DTypeError, r"Translator\.token .* expected whole numbers"),
        (lambda s, t: (s, np.tile(t, 2)), ShapeError, r"Translator\.place .* at most 5 places, got a sequence of 10"),
        (
            lambda s, t: (s[:2], t),
            ShapeError,
            r"Translator\.transformer Transformer.* src and tgt of one batch, axis 0",
        ),
    ],
)
@pytest.mark.parametrize("driver", ["explicit", "dynamic"])
def test_bad_tokens_are_refused_at_their_place_and_change_nothing(spoil, error, said, driver, texts):
    refused(Translator(), spoil(*texts), error, said, driver)


def refused(model, inputs, error, said, driver, **call):
    """The call raises, and model and gradients have the bits they had, and are able to go on."""
    before = [x.tobytes() for x in (*model.parameters(), *model.gradients())]
    with pytest.raises(error, match=said):
        model.forward(*inputs, **call) if driver == "explicit" else model(*map(Tensor, inputs), **call)
    assert [x.tobytes() for x in (*model.parameters(), *model.gradients())] == before
    model.forward(np.ones((1, 2), int), np.ones((1, 3), int))
    model.backward(np.ones((1, 3, 7)))


def test_a_state_dict_that_does_not_fit_is_listed_and_loads_nothing():
    model = Translator()
    before = {name: x.tobytes() for name, x in model.state_dict().items()}
    state = {name: x + 1 for name, x in model.state_dict().items()}
    del state["place.weight"]
    state["transformer.encoder.norm.bias"] = np.zeros(9)
    state["mouth.weight"] = np.zeros(1)
    state["head.weight"] = state["head.weight"] + 1
    with pytest.raises(StateError) as caught:
        model.load_state_dict(state)
    for problem in (
        "place.weight is missing",
        "mouth.weight is not in this model",
        "transformer.encoder.norm.bias should have shape (8,), got an array of float64, shape (9,)",
        "head.weight differs from token.weight, though the model shares one parameter between them",
        "Nothing was loaded",
    ):
        assert problem in str(caught.value)
    assert {name: x.tobytes() for name, x in model.state_dict().items()} == before


def test_every_error_of_a_transformer_is_of_one_family(texts):
    with pytest.raises(NumpymlError):
        Translator().forward(texts[0], texts[1][..., np.newaxis])


def test_parts_of_a_batch_add_up_to_the_whole_and_lead_to_the_same_step(texts):
    """Accumulated over three micro-batches of unequal padding, each weighed by the tokens that count."""
    source, target = texts
    target[1, 3:] = target[4, 2:] = 0
    future = np.triu(np.ones((4, 4), bool), 1)
    count = (target[:, 1:] != 0).sum()

    def step(parts):
        model = Translator(dtype=np.float64)
        model.load_state_dict(state)
        optim = optimizers.AdamW(model.parameters(), model.gradients(), learning_rate=0.1)
        loss_fn = losses.CrossEntropyWithLogits(ignore_index=0, reduction="sum")
        total = 0.0
        for rows in parts:
            padding = target[rows, :-1] == 0
            outputs = model.forward(source[rows], target[rows, :-1], tgt_mask=future, tgt_key_padding_mask=padding)
            total += loss_fn.forward(outputs.reshape(-1, 7), target[rows, 1:].reshape(-1))
            model.backward(loss_fn.backward().reshape(outputs.shape) / count)
        gradients = [g.copy() for g in model.gradients()]
        utils.clip_grad_norm_(model.gradients(), 0.5)
        optim.step()
        return total, gradients, model.parameters()

    state = Translator().state_dict()
    whole, parts = step([np.arange(6)]), step(np.split(np.arange(6), 3))
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-13)
    for ours, expected in zip((*parts[1], *parts[2]), (*whole[1], *whole[2]), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


def test_tied_weights_get_the_gradients_of_reading_and_of_writing(texts, rng):
    """What the shared table gets is what two tables of the same values get together."""
    tied, apart = Translator(), Translator()
    apart.head.weight = layers.Dense(8, 7, dtype=np.float64).weight
    apart.load_state_dict(tied.state_dict())
    gy = rng.standard_normal((6, 5, 7))
    for model in (tied, apart):
        model.forward(*texts)
        model.backward(gy)
    assert len(apart.parameters()) == len(tied.parameters()) + 1
    expected = apart.token.weight.grad + apart.head.weight.grad
    np.testing.assert_allclose(tied.token.weight.grad, expected, rtol=1e-12)
    optim = optimizers.SGD(tied.parameters(), tied.gradients(), learning_rate=0.1)
    before = tied.token.weight.data.copy()
    optim.step()
    np.testing.assert_allclose(tied.head.weight.data, before - 0.1 * expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("src", "tgt", "said"),
    [
        ((3, 4, 8), (2, 4, 8), "src and tgt of one batch, axis 0"),
        ((2, 4, 6), (2, 4, 8), "src and tgt of d_model = 8 features"),
        ((2, 4, 8), (2, 4, 6), "src and tgt of d_model = 8 features"),
    ],
)
def test_custom_parts_of_another_layout_hide_nothing(src, tgt, said):
    encoder = layers.TransformerEncoder(layers.TransformerEncoderLayer(8, 2, 8), 1)
    decoder = layers.TransformerDecoder(layers.TransformerDecoderLayer(8, 2, 8), 1)
    model = layers.Transformer(8, 2, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    with pytest.raises(ShapeError, match=f"Transformer.* expected {said}"):
        model.forward(np.ones(src, np.float32), np.ones(tgt, np.float32))
