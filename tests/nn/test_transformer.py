"""The Transformer's layers and stacks."""

import copy

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.errors import DataError, DTypeError, NumpymlError, OptionError, ShapeError, StateError
from numpyml.nn import Module, activations, layers, losses, optimizers, utils

SMALL = {"d_model": 8, "nhead": 2, "dim_feedforward": 6, "dropout": 0.0, "batch_first": True, "dtype": np.float64}


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu", activations.SiLU(), np.tanh])
def test_gradients_match_finite_differences(norm_first, activation, rng):
    options = SMALL | {"norm_first": norm_first, "activation": activation}
    x, memory = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 4, 8))
    assert numpyml.gradcheck(layers.TransformerEncoderLayer(**options), x).passed
    assert numpyml.gradcheck(layers.TransformerDecoderLayer(**options), x, memory).passed


def test_decoder_with_a_causal_mask_does_not_see_later_tokens(rng):
    model = layers.Transformer(8, 2, 1, 1, 6, 0.0, batch_first=True)
    source, target = rng.standard_normal((2, 4, 8)), rng.standard_normal((2, 5, 8))
    mask = model.generate_square_subsequent_mask(5)
    before = model.forward(source, target, tgt_mask=mask)
    target[:, 3:] = 0
    np.testing.assert_array_equal(model.forward(source, target, tgt_mask=mask)[:, :3], before[:, :3])


def test_layers_of_a_stack_are_copies(rng):
    layer = layers.TransformerEncoderLayer(**SMALL)
    stack = layers.TransformerEncoder(layer, 3)
    assert len({id(p) for p in stack.parameters()}) == 3 * len(list(layer.parameters()))
    x = rng.standard_normal((1, 2, 8))
    np.testing.assert_array_equal(stack.forward(x), layer.forward(layer.forward(layer.forward(x))))


def test_layers_of_a_stack_draw_different_masks_from_their_generator():
    layer = layers.TransformerEncoderLayer(8, 2, 6, 0.5, generator=np.random.default_rng(0))
    first, second = (
        inner.dropout.mask((100,), np.dtype(np.float32)) for inner in layers.TransformerEncoder(layer, 2).layers
    )
    assert not np.array_equal(first, second)


def test_initial_matrices_of_a_transformer_are_xavier_uniform():
    model = layers.Transformer(16, 2, 1, 1, 32)
    weight = model.encoder.layers[0].linear1.weight.data
    assert 0.9 < np.abs(weight).max() / np.sqrt(6 / (16 + 32)) <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.TransformerEncoderLayer(8, 3), "num_heads to be a divisor of embed_dim=8, such as 2, got .*3"),
        (
            lambda: layers.TransformerEncoderLayer(8, 2, activation="selu"),
            r"activation to be 'relu', 'gelu', or a module or function .* activations.SiLU\(\), got .*'selu'",
        ),
        (
            lambda: layers.TransformerEncoder(None, 2),
            r"encoder_layer to be a module such as TransformerEncoderLayer\(8, 2\), got .*None",
        ),
        (
            lambda: layers.TransformerDecoder(layers.TransformerDecoderLayer(8, 2), 0),
            "num_layers .* 1 or more, got .*0",
        ),
        (lambda: layers.Transformer(8, 2, custom_encoder=3), "custom_encoder to be a module or None, got .*3"),
        (
            lambda: layers.Transformer(8, 2, custom_decoder="none"),
            "custom_decoder to be a module or None, got .*'none'",
        ),
        (lambda: layers.Transformer.generate_square_subsequent_mask(-1), "sz to be .* of 0 or more"),
        (lambda: layers.Transformer.generate_square_subsequent_mask(2.5), "sz to be .* of 0 or more"),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_causal_mask_is_floating():
    mask = layers.Transformer.generate_square_subsequent_mask(3, np.float64)
    assert np.array_equal(mask, [[0, -np.inf, -np.inf], [0, 0, -np.inf], [0, 0, 0]]) and mask.dtype == np.float64
    with pytest.raises(DTypeError, match=r"dtype expected a real floating type .*, got int64"):
        layers.Transformer.generate_square_subsequent_mask(3, np.int64)


OPTIONS = {
    "encoder layer": "TransformerEncoderLayer(8, 2, dim_feedforward=16)",
    "decoder layer": "TransformerDecoderLayer(8, 2, dim_feedforward=4, dropout=0.0, norm_first=True, bias=False)",
    "activation": "TransformerEncoderLayer(8, 2, activation=SiLU(), layer_norm_eps=0.001, dtype='float64')",
    "encoder": "TransformerEncoder(TransformerEncoderLayer(8, 2, dim_feedforward=16), 3, norm=LayerNorm(8))",
    "decoder": "TransformerDecoder(TransformerDecoderLayer(8, 2, dim_feedforward=16), 1)",
    "transformer": "Transformer(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, activation=SiLU())",
    "custom": (
        "Transformer(d_model=8, nhead=2, num_decoder_layers=1, "
        "custom_encoder=TransformerEncoder(TransformerEncoderLayer(8, 2, dim_feedforward=16), 1))"
    ),
}


@pytest.mark.parametrize("call", OPTIONS.values(), ids=OPTIONS)
def test_repr_is_the_constructor_call(call):
    namespace = {**vars(layers), **vars(activations)}
    module = eval(call, namespace)  # noqa: S307  # of the constants above
    assert " ".join(repr(module).split()).replace("( ", "(").replace(", )", ")") == call
    rebuilt = eval(repr(copy.deepcopy(module)), namespace)  # noqa: S307
    assert repr(rebuilt) == repr(module) and list(rebuilt.state_dict()) == list(module.state_dict())


def test_state_dict_has_pytorchs_order():
    parts = [name.removesuffix(".weight") for name in layers.TransformerDecoderLayer(8, 2, 4).state_dict()]
    parts = [name for name in parts if not name.endswith("bias")]
    attentions = [f"{a}.{part}" for a in ("self_attn", "multihead_attn") for part in ("in_proj_weight", "out_proj")]
    assert parts == [*attentions, "linear1", "linear2", "norm1", "norm2", "norm3"]


def test_arguments_are_kept():
    activation = activations.SiLU()
    model = layers.Transformer(8, 2, 1, 1, 6, 0.25, activation, bias=False)
    assert model.activation is activation and model.custom_encoder is model.custom_decoder is None
    layer = model.encoder.layers[0]
    assert (layer.argument("dropout"), layer.dropout.p, layer.argument("bias")) == (0.25, 0.25, False)
    assert not any(name.endswith("bias") for name in model.state_dict())


def test_summary_of_an_encoder_layer():
    text = layers.TransformerEncoderLayer(**SMALL).summary((2, 3, 8))
    assert "MultiheadAttention(8, 2, batch_first=True, dtype='float64')" in text and "norm2" in text


class Translator(Module):
    """Tokens to logits of tokens, with tied embeddings."""

    def __init__(self, dropout=0.0, dtype=np.float64):
        self.token = layers.Embedding(7, 8, dtype=dtype)
        self.position = layers.LearnedPositionalEncoding(8, 5, batch_first=True, dtype=dtype)
        self.transformer = layers.Transformer(8, 2, 1, 1, 6, dropout, batch_first=True, dtype=dtype)
        self.head = layers.Dense(8, 7, bias=False, dtype=dtype)
        self.head.weight = self.token.weight

    def forward(self, source, target, **masks):
        embedded = (self.position(self.token(tokens)) for tokens in (source, target))
        return self.head(self.transformer(*embedded, **masks))


@pytest.fixture
def texts(rng):
    return rng.integers(1, 7, (6, 4)), rng.integers(1, 7, (6, 5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
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
        ({"tgt_is_causal": "no"}, OptionError, "tgt_is_causal to be True or False, got .*'no'"),
        ({"memory_is_causal": "no"}, OptionError, "is_causal to be True or False, got "),
    ],
)
@pytest.mark.parametrize("driver", ["explicit", "dynamic"])
def test_error_of_a_bad_mask_names_the_layer_and_nothing_changes(call, error, message, driver, texts):
    assert_refused(Translator(), texts, error, message, driver, **call)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s, t: (s + 7, t), DataError, r"Translator\.token .* expected .* from 0 to 6, got"),
        (lambda s, t: (s, t - 7), DataError, r"Translator\.token .* expected .* from 0 to 6, got -"),
        (lambda s, t: (s * 0.5, t), DTypeError, r"Translator\.token .* expected .*, got an array of float64"),
        (
            lambda s, t: (s, np.tile(t, 2)),
            ShapeError,
            r"Translator\.position .* at most .*5 .*, got a sequence of 10",
        ),
        (
            lambda s, t: (s[:2], t),
            ShapeError,
            r"Translator\.transformer Transformer.* src and tgt with the same batch size on axis 0",
        ),
    ],
)
@pytest.mark.parametrize("driver", ["explicit", "dynamic"])
def test_error_of_bad_tokens_names_the_layer_and_nothing_changes(change, error, message, driver, texts):
    assert_refused(Translator(), change(*texts), error, message, driver)


def assert_refused(model, inputs, error, message, driver, **call):
    """The call raises, and changes neither parameters nor gradients; the model can still be used."""
    before = [x.tobytes() for x in (*model.parameters(), *model.gradients())]
    with pytest.raises(error, match=message):
        model.forward(*inputs, **call) if driver == "explicit" else model(*map(Tensor, inputs), **call)
    assert [x.tobytes() for x in (*model.parameters(), *model.gradients())] == before
    model.forward(np.ones((1, 2), int), np.ones((1, 3), int))
    model.backward(np.ones((1, 3, 7)))


def test_state_dict_that_does_not_fit_is_listed_and_loads_nothing():
    model = Translator()
    before = {name: x.tobytes() for name, x in model.state_dict().items()}
    state = {name: x + 1 for name, x in model.state_dict().items()}
    del state["position.weight"]
    state["transformer.encoder.norm.bias"] = np.zeros(9)
    state["mouth.weight"] = np.zeros(1)
    state["head.weight"] = state["head.weight"] + 1
    with pytest.raises(StateError) as caught:
        model.load_state_dict(state)
    for problem in (
        "position.weight is missing",
        "mouth.weight is not in this model",
        "transformer.encoder.norm.bias should have shape (8,), got an array of float64, shape (9,)",
        "head.weight differs from token.weight, though the model shares one parameter between them",
        "Nothing was loaded",
    ):
        assert problem in str(caught.value)
    assert {name: x.tobytes() for name, x in model.state_dict().items()} == before


def test_errors_of_a_transformer_are_numpyml_errors(texts):
    with pytest.raises(NumpymlError):
        Translator().forward(texts[0], texts[1][..., np.newaxis])


def test_micro_batches_lead_to_the_same_step_as_the_batch(texts):
    """Three micro-batches with unequal padding, each weighted by its number of tokens."""
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


def test_tied_weights_get_the_sum_of_both_gradients(texts, rng):
    """The gradient of the shared table is the sum of those of two tables with the same values."""
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
    ("src", "tgt", "message"),
    [
        ((3, 4, 8), (2, 4, 8), "src and tgt with the same batch size on axis 0"),
        ((2, 4, 6), (2, 4, 8), "src and tgt with d_model=8 features"),
        ((2, 4, 8), (2, 4, 6), "src and tgt with d_model=8 features"),
    ],
)
def test_shapes_are_checked_with_custom_parts(src, tgt, message):
    encoder = layers.TransformerEncoder(layers.TransformerEncoderLayer(8, 2, 8), 1)
    decoder = layers.TransformerDecoder(layers.TransformerDecoderLayer(8, 2, 8), 1)
    model = layers.Transformer(8, 2, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    with pytest.raises(ShapeError, match=f"Transformer.* expected {message}"):
        model.forward(np.ones(src, np.float32), np.ones(tgt, np.float32))
