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


def test_each_query_gets_a_weighted_mean_of_the_values(rng):
    Q, K, V = sequences(rng, 3, 5, 5)
    expected = softmax(Q @ K.swapaxes(1, 2) / 2) @ V
    np.testing.assert_allclose(ScaledDotProductAttention().forward(Q, K, V), expected)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": -0.7}, {"enable_gqa": True}])
def test_gradients_are_those_of_differences(options, rng):
    heads = (4, 2, 2) if options.get("enable_gqa") else (1, 1, 1)
    Q, K, V = (rng.standard_normal((2, h, n, 3)) for h, n in zip(heads, (3, 4, 4), strict=True))
    assert numpyml.gradcheck(ScaledDotProductAttention(**options), Q, K, V).passed


def test_a_mask_of_floats_has_a_gradient(rng):
    Q, K, V = sequences(rng, 3, 4, 4)
    assert numpyml.gradcheck(ScaledDotProductAttention(), Q, K, V, rng.standard_normal((3, 4))).passed


def test_a_causal_query_sees_nothing_behind_its_place(rng):
    layer = ScaledDotProductAttention(is_causal=True)
    Q, K, V = sequences(rng, 4, 4, 4)
    before = layer.forward(Q, K, V)
    K[:, 3], V[:, 3] = 9, 9
    after = layer.forward(Q, K, V)
    assert np.array_equal(before[:, :3], after[:, :3]) and not np.array_equal(before[:, 3], after[:, 3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_who_sees_no_key_gets_zeros_and_gives_no_gradient(dtype, rng):
    layer = ScaledDotProductAttention()
    Q, K, V = (x.astype(dtype) for x in sequences(rng, 2, 3, 3))
    y = layer.forward(Q, K, V, np.array([[False] * 3, [True] * 3]))
    assert y.dtype == dtype and not y[:, 0].any() and y[:, 1].all()
    gQ, gK, gV = layer.backward(np.ones_like(y))[:3]
    assert not gQ[:, 0].any() and all(np.isfinite(g).all() for g in (gQ, gK, gV))


def test_huge_scores_do_not_overflow():
    Q = np.full((1, 1, 4), 1e18, np.float32)
    y = ScaledDotProductAttention().forward(Q, np.concatenate([Q, -Q], 1), np.float32([[[1], [2]]]))
    assert np.array_equal(y, [[[1]]])


@pytest.mark.parametrize(
    ("mask", "error", "said"),
    [
        (np.ones((2, 9), bool), ShapeError, r"attn_mask to broadcast to the scores' shape \(2, 3, 4\), got \(2, 9\)"),
        (np.ones((3, 4), int), DTypeError, "attn_mask to be boolean or floating, got .*int64.*; convert it"),
        (True, DTypeError, "attn_mask to be an array or None, got bool True"),
        (np.True_, ShapeError, r"attn_mask to have axes, got an array of bool, shape \(\); pass one entry a key"),
        (1.0, ShapeError, r"attn_mask to have axes, got an array of float64, shape \(\)"),
        (np.array(True), ShapeError, r"attn_mask to have axes, got an array of bool, shape \(\)"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, error, said, rng):
    with pytest.raises(error, match=said):
        ScaledDotProductAttention().forward(*sequences(rng, 3, 4, 4), mask)


def test_a_mask_beside_is_causal_is_refused(rng):
    with pytest.raises(OptionError, match="attn_mask to be None where is_causal is True"):
        ScaledDotProductAttention(is_causal=True).forward(*sequences(rng, 3, 3, 3), np.ones((3, 3), bool))


def test_heads_that_are_no_multiple_are_refused(rng):
    Q, K = rng.standard_normal((3, 2, 4)), rng.standard_normal((2, 2, 4))
    with pytest.raises(ShapeError, match="a multiple of them for the queries"):
        ScaledDotProductAttention(enable_gqa=True).forward(Q, K, K)


def test_the_number_of_heads_divides_the_width():
    with pytest.raises(OptionError, match="num_heads to be a divisor of embed_dim=6, got int 4"):
        MultiheadAttention(6, 4)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("options", [{}, {"kdim": 3, "vdim": 5}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_heads_are_attention_between_projections(batch_first, options, rng):
    layer = MultiheadAttention(4, 2, batch_first=batch_first, dtype=np.float64, **options)
    kdim, vdim = options.get("kdim", 4), options.get("vdim", 4)
    xs = [rng.standard_normal((2, n, width)) for n, width in ((3, 4), (5, kdim), (5, vdim))]
    given = xs if batch_first else [x.swapaxes(0, 1) for x in xs]
    y, weights = layer.forward(*given)
    assert y.shape == given[0].shape and weights.shape == (2, 3, 5 + 2 * bool("add_bias_kv" in options))
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    assert numpyml.gradcheck(lambda *a: layer(*a)[0], *given).passed
    if not options:
        Q, K, V = (x @ W.T for x, W in zip(xs, np.split(layer.in_proj_weight.data, 3), strict=True))
        heads = [softmax(q @ k.swapaxes(1, 2) / np.sqrt(2)) @ v for q, k, v in
                 zip(*(np.split(x, 2, axis=-1) for x in (Q, K, V)), strict=True)]  # fmt: skip
        expected = np.concatenate(heads, -1) @ layer.out_proj.weight.data.T
        np.testing.assert_allclose(y if batch_first else y.swapaxes(0, 1), expected)


def test_padding_is_as_if_it_were_not_there(rng):
    layer = MultiheadAttention(4, 2, batch_first=True, dtype=np.float64)
    (x,) = sequences(rng, 5)
    padding = np.arange(5) >= np.array([[5], [3]])
    y, _ = layer.forward(x, x, x, padding)
    alone, _ = layer.forward(x[1, :3], x[1, :3], x[1, :3])
    np.testing.assert_allclose(y[1, :3], alone)


@pytest.mark.parametrize("scores", [1, 60])
def test_without_a_record_it_is_the_same_a_part_of_the_batch_at_a_time(scores, rng, monkeypatch):
    layer = MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
    (x,) = sequences(rng, 5, batch=3)
    padding, ahead = np.arange(5) >= np.array([[5], [3], [4]]), np.triu(np.ones((5, 5), bool), 1)
    per_head = rng.standard_normal((6, 5, 5))
    single = ScaledDotProductAttention()
    heads = x.reshape(3, 5, 2, 2).swapaxes(1, 2)
    one_for_all, one_each = rng.standard_normal((1, 1, 5, 5)), rng.standard_normal((3, 1, 1, 5))

    def outputs():
        numpyml.manual_seed(0)
        found = [layer.forward(x, x, x, padding, False, mask)[0] for mask in (None, ahead, per_head)]
        masks = (None, one_for_all, one_each, np.ones(5, bool))
        return found + [single.forward(heads, heads, heads, mask) for mask in masks]

    whole = outputs()
    monkeypatch.setattr("numpyml.nn.layers.attention.SCORES", scores)
    with numpyml.no_grad():
        for y, expected in zip(outputs(), whole, strict=True):
            assert np.array_equal(y, expected)


def test_a_query_that_sees_no_key_gets_weights_of_zero(rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    (x,) = sequences(rng, 3)
    y, weights = layer.forward(x, x, x, np.ones((2, 3), bool))
    assert not weights.any() and np.array_equal(y, np.broadcast_to(layer.out_proj.bias.data, y.shape))
    gxs = layer.backward(np.ones_like(y), np.ones_like(weights))
    assert not any(g.any() for g in gxs[:3])


def test_the_bias_of_the_keys_has_no_gradient(rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    (x,) = sequences(rng, 3)
    layer.forward(x, x, x, need_weights=False)
    layer.backward(rng.standard_normal(x.shape))
    gq, gk, gv = np.split(layer.in_proj_bias.grad, 3)
    assert not gk.any() and gq.all() and gv.all()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        ({"attn_mask": np.ones((3, 2), bool)}, ShapeError, r"attn_mask \(3, 3\) or \(4, 3, 3\), got \(3, 2\)"),
        ({"key_padding_mask": np.ones(3, bool)}, ShapeError, r"key_padding_mask \(2, 3\), got \(3,\)"),
        ({"attn_mask": np.ones((3, 3), int)}, DTypeError, "attn_mask to be boolean or floating"),
        ({"attn_mask": True}, DTypeError, "attn_mask to be an array or None, got bool True"),
        ({"key_padding_mask": False}, DTypeError, "key_padding_mask to be an array or None, got bool False"),
        ({"need_weights": None}, OptionError, "need_weights to be True or False, got None"),
        ({"average_attn_weights": None}, OptionError, "average_attn_weights to be True or False, got None"),
        ({"need_weights": np.ones(3)}, OptionError, "need_weights to be True or False, got an array"),
        ({"is_causal": np.ones(3)}, OptionError, "is_causal to be True or False, got an array"),
        ({"is_causal": "no", "attn_mask": np.ones((3, 3), bool)}, OptionError, "is_causal to be True or False, got "),
        ({"is_causal": True}, OptionError, "is_causal to be False where no mask is given, got bool True; it says that"),
    ],
)
def test_bad_masks_are_refused_and_change_nothing(call, error, said, rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    before = layer.state_dict()
    (x,) = sequences(rng, 3)
    with pytest.raises(error, match=said):
        layer.forward(x, x, x, **call)
    assert all(np.array_equal(x, layer.state_dict()[name]) for name, x in before.items())


@pytest.mark.parametrize("layer", [ScaledDotProductAttention(), MultiheadAttention(4, 2)])
def test_no_key_is_no_array(layer, rng):
    (x,) = sequences(rng, 3)
    name = type(layer).__name__
    with pytest.raises(DTypeError, match=f"{name}.* expected floating features as key, got NoneType None; pass an arr"):
        layer.forward(x, None, x)


@pytest.mark.parametrize("wrong", [True, None, 1, "word", np.ones((2, 3, 4), int)])
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("layer", [ScaledDotProductAttention(), MultiheadAttention(4, 2)])
def test_which_of_the_three_is_no_array_of_floats_is_told(layer, place, wrong, rng):
    xs = sequences(rng, 3, 3, 3)
    xs[place] = wrong
    name = ("query", "key", "value")[place]
    with pytest.raises(DTypeError, match=f"expected floating features as {name}, got "):
        layer.forward(*xs)


@pytest.mark.parametrize("value", [np.True_, np.False_])
def test_flags_may_be_numpys(value, rng):
    layer = MultiheadAttention(4, 2, batch_first=True)
    (x,) = sequences(rng, 3)
    _, weights = layer.forward(x, x, x, None, value, np.zeros((3, 3), bool), np.False_, value)
    assert weights.shape == (2, 2, 3, 3) if value else weights is None


def test_inputs_of_other_widths_are_told_what_is_expected(rng):
    x = rng.standard_normal((2, 3, 5))
    with pytest.raises(ShapeError, match=r"\(N, L, ·\) or \(L, ·\) with \(4, 4, 4\) features"):
        MultiheadAttention(4, 2, batch_first=True).forward(x, x, x)


def test_dropped_weights_are_those_that_are_returned(rng):
    layer = MultiheadAttention(4, 2, dropout=0.5, batch_first=True, generator=np.random.default_rng(1))
    (x,) = sequences(rng, 6)
    _, weights = layer.forward(x, x, x, average_attn_weights=False)
    assert 0.3 < np.mean(weights == 0) < 0.7
    layer.eval()
    assert layer.forward(x, x, x)[1].all()


def test_the_bias_gradient_of_thousands_of_values_keeps_its_digits(rng):
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
