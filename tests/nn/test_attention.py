"""Scaled dot-product and multi-head attention."""

import numpy as np
import pytest

import numpyml
from numpyml.errors import DTypeError, OptionError, ShapeError
from numpyml.nn.layers import MultiheadAttention, ScaledDotProductAttention


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sequences(rng, *lengths, batch=2, features=4):
    return [rng.standard_normal((batch, n, features)) for n in lengths]


def test_output_is_a_weighted_mean_of_the_values(rng):
    Q, K, V = sequences(rng, 3, 5, 5)
    expected = softmax(Q @ K.swapaxes(1, 2) / 2) @ V
    np.testing.assert_allclose(ScaledDotProductAttention().forward(Q, K, V), expected)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": -0.7}, {"enable_gqa": True}])
def test_gradients_match_finite_differences(options, rng):
    heads = (4, 2, 2) if options.get("enable_gqa") else (1, 1, 1)
    Q, K, V = (rng.standard_normal((2, h, n, 3)) for h, n in zip(heads, (3, 4, 4), strict=True))
    assert numpyml.gradcheck(ScaledDotProductAttention(**options), Q, K, V).passed


def test_floating_mask_has_a_gradient(rng):
    Q, K, V = sequences(rng, 3, 4, 4)
    assert numpyml.gradcheck(ScaledDotProductAttention(), Q, K, V, rng.standard_normal((3, 4))).passed


def test_causal_query_does_not_see_later_keys(rng):
    layer = ScaledDotProductAttention(is_causal=True)
    Q, K, V = sequences(rng, 4, 4, 4)
    before = layer.forward(Q, K, V)
    K[:, 3], V[:, 3] = 9, 9
    after = layer.forward(Q, K, V)
    assert np.array_equal(before[:, :3], after[:, :3]) and not np.array_equal(before[:, 3], after[:, 3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_query_that_sees_no_key_gets_zeros_and_no_gradient(dtype, rng):
    layer = ScaledDotProductAttention()
    Q, K, V = (x.astype(dtype) for x in sequences(rng, 2, 3, 3))
    y = layer.forward(Q, K, V, np.array([[False] * 3, [True] * 3]))
    assert y.dtype == dtype and not y[:, 0].any() and y[:, 1].all()
    gQ, gK, gV = layer.backward(np.ones_like(y))[:3]
    assert not gQ[:, 0].any() and all(np.isfinite(g).all() for g in (gQ, gK, gV))


def test_large_scores_do_not_overflow():
    Q = np.full((1, 1, 4), 1e18, np.float32)
    y = ScaledDotProductAttention().forward(Q, np.concatenate([Q, -Q], 1), np.float32([[[1], [2]]]))
    assert np.array_equal(y, [[[1]]])


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (
            np.ones((2, 9), bool),
            ShapeError,
            r"attn_mask to broadcast to the scores' shape \(2, 3, 4\), got \(2, 9\); pass one row for each query",
        ),
        (
            np.ones((3, 4), int),
            DTypeError,
            "attn_mask to be boolean or floating, got .*int64.*; convert it to booleans, True where a key is seen",
        ),
        (True, DTypeError, "attn_mask to be an array or None, got .*True; pass one entry for each key"),
        (
            np.True_,
            ShapeError,
            r"attn_mask to have axes, got an array of bool, shape \(\); pass one entry",
        ),
        (1.0, ShapeError, r"attn_mask to have axes, got an array of float64, shape \(\)"),
        (np.array(True), ShapeError, r"attn_mask to have axes, got an array of bool, shape \(\)"),
    ],
)
def test_mask_that_does_not_fit_is_refused(mask, error, message, rng):
    with pytest.raises(error, match=message):
        ScaledDotProductAttention().forward(*sequences(rng, 3, 4, 4), mask)


def test_mask_together_with_is_causal_is_refused(rng):
    message = (
        "expected no attn_mask where is_causal=True, got an array of bool.*; set is_causal=False and hide the later"
    )
    with pytest.raises(OptionError, match=message):
        ScaledDotProductAttention(is_causal=True).forward(*sequences(rng, 3, 3, 3), np.ones((3, 3), bool))


@pytest.mark.parametrize(
    ("key", "value"), [((2, 2, 4), (2, 2, 4)), ((0, 2, 4), (0, 2, 4)), ((3, 2, 4), (1, 2, 4)), ((2, 4), (2, 4))]
)
def test_numbers_of_heads_that_do_not_fit_are_refused(key, value, rng):
    with pytest.raises(ShapeError, match=r"queries with a multiple of it, got query \(3, 2, 4\), .*; put the heads on"):
        ScaledDotProductAttention(enable_gqa=True).forward(np.ones((3, 2, 4)), np.ones(key), np.ones(value))


@pytest.mark.parametrize(
    ("query", "key", "value", "remedy"),
    [
        ((4,), (3, 4), (3, 4), "give each an axis for the sequence and one for the features"),
        ((2, 4), (3, 5), (3, 4), "give queries and keys the same number of features"),
        ((2, 4), (3, 4), (2, 4), "give each key one value"),
        ((2, 2, 4), (3, 3, 4), (3, 3, 4), "give all three the same batch and heads, or set enable_gqa=True"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(query, key, value, remedy):
    with pytest.raises(ShapeError, match=rf"expected query .* got .*, .* and .*; {remedy}") as caught:
        ScaledDotProductAttention().forward(np.ones(query), np.ones(key), np.ones(value))
    assert f"got {query}, {key} and {value}" in str(caught.value)


def test_batches_that_do_not_fit_are_refused_with_enable_gqa():
    with pytest.raises(ShapeError, match=r"give all three the same batch and heads$"):
        ScaledDotProductAttention(enable_gqa=True).forward(*map(np.ones, ((2, 4, 3, 4), (3, 2, 3, 4), (3, 2, 3, 4))))


@pytest.mark.parametrize(("embed_dim", "num_heads", "nearest"), [(6, 4, 3), (8, 3, 2), (4, 9, 4)])
def test_num_heads_must_divide_embed_dim(embed_dim, num_heads, nearest):
    message = f"num_heads to be a divisor of embed_dim={embed_dim}, such as {nearest}, got .*{num_heads}"
    with pytest.raises(OptionError, match=message):
        MultiheadAttention(embed_dim, num_heads)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("options", [{}, {"kdim": 3, "vdim": 5}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_heads_are_attention_between_projections(batch_first, options, rng):
    layer = MultiheadAttention(4, 2, batch_first=batch_first, dtype=np.float64, **options)
    kdim, vdim = options.get("kdim", 4), options.get("vdim", 4)
    xs = [rng.standard_normal((2, n, width)) for n, width in ((3, 4), (5, kdim), (5, vdim))]
    inputs = xs if batch_first else [x.swapaxes(0, 1) for x in xs]
    y, weights = layer.forward(*inputs)
    assert y.shape == inputs[0].shape and weights.shape == (2, 3, 5 + 2 * bool("add_bias_kv" in options))
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    assert numpyml.gradcheck(lambda *a: layer(*a)[0], *inputs).passed
    if not options:
        Q, K, V = (x @ W.T for x, W in zip(xs, np.split(layer.in_proj_weight.data, 3), strict=True))
        heads = [softmax(q @ k.swapaxes(1, 2) / np.sqrt(2)) @ v for q, k, v in
                 zip(*(np.split(x, 2, axis=-1) for x in (Q, K, V)), strict=True)]  # fmt: skip
        expected = np.concatenate(heads, -1) @ layer.out_proj.weight.data.T
        np.testing.assert_allclose(y if batch_first else y.swapaxes(0, 1), expected)


def test_padding_has_no_effect(rng):
    layer = MultiheadAttention(4, 2, batch_first=True, dtype=np.float64)
    (x,) = sequences(rng, 5)
    padding = np.arange(5) >= np.array([[5], [3]])
    y, _ = layer.forward(x, x, x, padding)
    alone, _ = layer.forward(x[1, :3], x[1, :3], x[1, :3])
    np.testing.assert_allclose(y[1, :3], alone)


@pytest.mark.parametrize("scores", [1, 60])
def test_output_in_parts_without_recording_is_the_same(scores, rng, monkeypatch):
    layer = MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
    (x,) = sequences(rng, 5, batch=3)
    padding, ahead = np.arange(5) >= np.array([[5], [3], [4]]), np.triu(np.ones((5, 5), bool), 1)
    per_head = rng.standard_normal((6, 5, 5))
    single = ScaledDotProductAttention()
    heads = x.reshape(3, 5, 2, 2).swapaxes(1, 2)
    one_for_all, one_each = rng.standard_normal((1, 1, 5, 5)), rng.standard_normal((3, 1, 1, 5))

    def outputs():
        numpyml.manual_seed(0)
        ys = [layer.forward(x, x, x, padding, False, mask)[0] for mask in (None, ahead, per_head)]
        masks = (None, one_for_all, one_each, np.ones(5, bool))
        return ys + [single.forward(heads, heads, heads, mask) for mask in masks]

    whole = outputs()
    monkeypatch.setattr("numpyml.kernels.thresholds.CACHED_SCORES", scores)
    with numpyml.no_grad():
        for y, expected in zip(outputs(), whole, strict=True):
            assert np.array_equal(y, expected)


def test_weights_of_a_query_that_sees_no_key_are_zero(rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    (x,) = sequences(rng, 3)
    y, weights = layer.forward(x, x, x, np.ones((2, 3), bool))
    assert not weights.any() and np.array_equal(y, np.broadcast_to(layer.out_proj.bias.data, y.shape))
    gxs = layer.backward(np.ones_like(y), np.ones_like(weights))
    assert not any(g.any() for g in gxs[:3])


def test_bias_of_the_keys_has_no_gradient(rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    (x,) = sequences(rng, 3)
    layer.forward(x, x, x, need_weights=False)
    layer.backward(rng.standard_normal(x.shape))
    gq, gk, gv = np.split(layer.in_proj_bias.grad, 3)
    assert not gk.any() and gq.all() and gv.all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            {"attn_mask": np.ones((3, 2), bool)},
            ShapeError,
            r"attn_mask \(3, 3\) or \(4, 3, 3\), got \(3, 2\); pass one row for each query .* batch \* num_heads = 4",
        ),
        (
            {"key_padding_mask": np.ones(3, bool)},
            ShapeError,
            r"key_padding_mask \(2, 3\), got \(3,\); pass one entry for each key of each sequence, the batch first",
        ),
        (
            {"attn_mask": np.ones((3, 3), int)},
            DTypeError,
            "attn_mask to be boolean or floating, got .*; convert it to booleans, True where a key is hidden",
        ),
        ({"attn_mask": True}, DTypeError, "attn_mask to be an array or None, got .*True; pass one entry for each key"),
        ({"key_padding_mask": False}, DTypeError, "key_padding_mask to be an array or None, got .*False; pass one"),
        ({"need_weights": None}, OptionError, "need_weights to be True or False, got None"),
        ({"average_attn_weights": None}, OptionError, "average_attn_weights to be True or False, got None"),
        ({"need_weights": np.ones(3)}, OptionError, "need_weights to be True or False, got an array"),
        ({"is_causal": np.ones(3)}, OptionError, "is_causal to be True or False, got an array"),
        ({"is_causal": "no", "attn_mask": np.ones((3, 3), bool)}, OptionError, "is_causal to be True or False, got "),
        ({"is_causal": True}, OptionError, "expected an attn_mask where is_causal=True, got attn_mask=None; .* pass"),
    ],
)
def test_bad_masks_are_refused_and_change_nothing(call, error, message, rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    before = layer.state_dict()
    (x,) = sequences(rng, 3)
    with pytest.raises(error, match=message):
        layer.forward(x, x, x, **call)
    assert all(np.array_equal(x, layer.state_dict()[name]) for name, x in before.items())


@pytest.mark.parametrize("layer", [ScaledDotProductAttention(), MultiheadAttention(4, 2)])
def test_missing_key_is_refused(layer, rng):
    (x,) = sequences(rng, 3)
    name = type(layer).__name__
    with pytest.raises(DTypeError, match=f"{name}.* expected floating features as key, got .*None; pass an array"):
        layer.forward(x, None, x)


@pytest.mark.parametrize("wrong", [True, None, 1, "word", np.ones((2, 3, 4), int)])
@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("layer", [ScaledDotProductAttention(), MultiheadAttention(4, 2)])
def test_input_that_is_not_floating_is_named(layer, index, wrong, rng):
    xs = sequences(rng, 3, 3, 3)
    xs[index] = wrong
    name = ("query", "key", "value")[index]
    with pytest.raises(DTypeError, match=f"expected floating features as {name}, got "):
        layer.forward(*xs)


@pytest.mark.parametrize("value", [np.True_, np.False_])
def test_flags_may_be_numpy_booleans(value, rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    (x,) = sequences(rng, 3)
    _, weights = layer.forward(x, x, x, None, value, np.zeros((3, 3), bool), np.False_, value)
    assert weights.shape == (2, 2, 3, 3) if value else weights is None


@pytest.mark.parametrize(
    ("query", "key", "value", "remedy"),
    [
        ((2, 3, 5), (2, 3, 5), (2, 3, 5), "project them to these widths, or build the layer with another embed_dim"),
        ((3, 4), (2, 3, 4), (2, 3, 4), "give all three a batch axis, or none of them"),
        ((4,), (4,), (4,), "give all three a batch axis, or none of them"),
        ((2, 3, 4), (2, 5, 4), (2, 3, 4), "give each key one value"),
        ((2, 3, 4), (3, 3, 4), (3, 3, 4), "give all three the same batch size on axis 0, or set batch_first=False"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(query, key, value, remedy):
    message = rf"query, key and value \(N, L, ·\) or \(L, ·\) with \(4, 4, 4\) features, .*; {remedy}"
    with pytest.raises(ShapeError, match=message) as caught:
        MultiheadAttention(4, 2, batch_first=True).forward(np.ones(query), np.ones(key), np.ones(value))
    assert f"got {query}, {key} and {value}" in str(caught.value)


def test_returned_weights_have_dropout_applied(rng):
    layer = MultiheadAttention(4, 2, dropout=0.5, batch_first=True, generator=np.random.default_rng(1))
    (x,) = sequences(rng, 6)
    _, weights = layer.forward(x, x, x, average_attn_weights=False)
    assert 0.3 < np.mean(weights == 0) < 0.7
    layer.eval()
    assert layer.forward(x, x, x)[1].all()


def test_gradient_of_a_saturated_query_keeps_precision():
    q, k, v, gy = (np.array(x, np.float32)[:, None] for x in ([1], [8, -8], [0.7, 0.3], [1]))
    layer = ScaledDotProductAttention(scale=1)
    layer.forward(q, k, v)
    p = 1 / (1 + np.exp(np.longdouble(-16)))  # of the first key
    expected = p / (1 + np.exp(np.longdouble(16))) * 16 * (v[0, 0].astype(np.longdouble) - v[1, 0])
    assert abs(layer.backward(gy)[0][0, 0] - expected) <= 4 * np.spacing(np.float32(expected))


def test_bias_gradient_of_a_long_sequence_is_precise(rng):
    x, g = rng.random((1, 200_000, 2), np.float32), rng.random((1, 3, 2), np.float32)
    gradients = []
    for dtype in (np.float32, np.float64):
        layer = MultiheadAttention(2, 1, batch_first=True, dtype=dtype)
        for name, p in layer.named_parameters():
            p.data[...] = 0.5 if name.endswith("weight") else 0
        layer.forward(x[:, :3].astype(dtype), *[x.astype(dtype)] * 2, need_weights=False)
        layer.backward(g.astype(dtype))
        gradients.append(layer.in_proj_bias.grad[4:])
    np.testing.assert_allclose(*gradients, rtol=1e-6)


@pytest.mark.parametrize("kind", [MultiheadAttention, ScaledDotProductAttention])
def test_dropout_of_attention_draws_from_its_own_generator(kind):
    x = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)

    def outputs(seed):
        generator = np.random.default_rng(seed)
        if kind is ScaledDotProductAttention:
            return kind(0.5, generator=generator).forward(x, x, x)
        layer = kind(4, 2, 0.5, generator=generator)
        for parameter in layer.parameters():
            parameter[...] = 0.1
        return layer.forward(x, x, x)[1]

    assert np.array_equal(outputs(7), outputs(7)) and not np.array_equal(outputs(7), outputs(8))


@pytest.mark.parametrize("average", [True, False])
def test_attention_weights_that_a_caller_writes_to_leave_the_gradients_as_they_are(average, rng):
    layer, x = MultiheadAttention(4, 2), rng.standard_normal((3, 2, 4)).astype(np.float32)
    gradients = []
    for write in (False, True):
        y, weights = layer.forward(x, x, x, average_attn_weights=average)
        gy, gw = np.ones_like(y), np.zeros_like(weights)
        if write:
            weights[...] = 0
        gradients.append(layer.backward(gy, gw))
    assert all(np.array_equal(a, b) for a, b in zip(*gradients, strict=True))
