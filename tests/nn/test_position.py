"""Position encodings."""

import copy
import pickle

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.errors import DataError, DTypeError, OptionError, ShapeError
from numpyml.nn.layers import (
    LearnedPositionalEncoding,
    RotaryPositionalEmbedding,
    ScaledDotProductAttention,
    SinusoidalPositionalEncoding,
)


def sinusoidal(**options):
    return SinusoidalPositionalEncoding(4, 8, **options)


def learned(**options):
    return LearnedPositionalEncoding(4, 8, dtype=np.float64, **options)


def rotary(**options):
    return RotaryPositionalEmbedding(4, 8, **options)


ADDED = pytest.mark.parametrize("make", [sinusoidal, learned])
ALL = pytest.mark.parametrize("make", [sinusoidal, learned, rotary])


def test_sinusoids_are_those_of_the_paper():
    y = SinusoidalPositionalEncoding(6, 50).forward(np.zeros((50, 6)))
    p = np.arange(50)
    expected = [wave(p / 10000 ** (2 * i / 6)) for i in range(3) for wave in (np.sin, np.cos)]
    np.testing.assert_allclose(y, np.transpose(expected), rtol=0, atol=1e-14)


def test_odd_number_of_features_ends_with_a_sine():
    y = SinusoidalPositionalEncoding(3, 9).forward(np.zeros((9, 3)))
    np.testing.assert_allclose(y[:, 2], np.sin(np.arange(9) / 10000 ** (2 / 3)), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@ALL
def test_dtype_is_that_of_the_parameters_or_of_the_data(make, dtype):
    layer = make()
    y = layer.forward(np.ones((3, 4), dtype))
    assert y.dtype == (np.float64 if make is learned else dtype)


@ADDED
def test_sequences_of_a_batch_have_the_same_positions(make, rng):
    x = rng.standard_normal((2, 5, 4))
    alone = make(generator=np.random.default_rng(1)) if make is learned else make()
    first = copy.deepcopy(alone)
    first.batch_first = True
    y = first.forward(x)
    np.testing.assert_array_equal(y[1], alone.forward(x[1]))
    np.testing.assert_array_equal(y, alone.forward(x.swapaxes(0, 1)).swapaxes(0, 1))


@ALL
def test_positions_after_a_cache_continue_the_sequence(make, rng):
    layer, x = make(), rng.standard_normal((6, 4))
    parts = [layer.forward(x[:4]), layer.forward(x[4:5], np.array([4])), layer.forward(x[5:], positions=np.array([5]))]
    np.testing.assert_array_equal(np.concatenate(parts), layer.forward(x))


@ADDED
@pytest.mark.parametrize("batch_first", [True, False])
def test_sequences_may_have_different_positions(make, batch_first, rng):
    """As with padding on the left."""
    layer, x = make(batch_first=batch_first), rng.standard_normal((2, 3, 4))
    positions = np.array([[0, 1, 2], [0, 0, 1]])
    inputs = x if batch_first else x.swapaxes(0, 1)
    y = layer.forward(inputs, positions)
    expected = np.stack([layer.forward(x[i], positions[i]) for i in range(2)])
    np.testing.assert_array_equal(y if batch_first else y.swapaxes(0, 1), expected)


@pytest.mark.parametrize("options", [{}, {"interleaved": False}, {"base": 10.0}])
def test_heads_may_have_different_positions(options, rng):
    layer, x = rotary(**options), rng.standard_normal((2, 3, 5, 4))
    positions = rng.integers(0, 8, (2, 1, 5))
    y = layer.forward(x, positions)
    for i in range(2):
        for head in range(3):
            np.testing.assert_array_equal(y[i, head], layer.forward(x[i, head], positions[i, 0]))


@pytest.mark.parametrize("positions", [None, [3, 0, 3], [[3, 0, 3], [1, 2, 2]]])
@ALL
def test_gradients_match_finite_differences(make, positions, rng):
    layer = make() if make is rotary else make(batch_first=True)
    x = rng.standard_normal((2, 3, 4))
    inputs = [x] if positions is None else [x, np.array(positions)]
    assert numpyml.gradcheck(layer, *inputs).passed


def test_repeated_position_gets_the_sum_of_its_gradients(rng):
    layer, gy = learned(batch_first=True), rng.standard_normal((2, 3, 4))
    layer.forward(np.zeros((2, 3, 4)), np.array([[1, 1, 4], [1, 0, 4]]))
    gx, nothing = layer.backward(gy)
    expected = np.zeros((8, 4))
    expected[1], expected[4], expected[0] = gy[0, 0] + gy[0, 1] + gy[1, 0], gy[:, 2].sum(0), gy[1, 1]
    np.testing.assert_allclose(layer.weight.grad, expected)
    assert nothing is None and np.array_equal(gx, gy)


@pytest.mark.parametrize("dtype", "bhilBHIL")
@ALL
def test_positions_may_have_any_integer_dtype(make, dtype, rng):
    """Sums of 8-bit indices overflow, and NumPy makes floats of uint64 and int64."""
    layer, gy = make(), rng.standard_normal((3, 4))
    results = []
    for positions in (np.array([3, 0, 7]), np.array([3, 0, 7], dtype)):
        y = layer.forward(gy, positions)
        layer.zero_grad()
        results.append([y, layer.backward(gy)[0], *(g.copy() for g in layer.gradients())])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradient_at_the_last_position_of_eight_bits():
    layer = LearnedPositionalEncoding(1, 200)
    for dtype, position in ((np.int8, 127), (np.uint8, 199)):
        layer.zero_grad()
        layer.forward(np.zeros((1, 1)), np.array([position], dtype))
        layer.backward(np.ones((1, 1)))
        assert np.flatnonzero(layer.weight.grad).tolist() == [position]


@pytest.mark.parametrize("x", [None, True, "word"])
@ALL
def test_input_that_is_not_floating_is_refused(make, x):
    with pytest.raises(DTypeError, match="expected floating features, got "):
        make().forward(x)


def test_frozen_table_gets_no_gradient(rng):
    layer, x = learned().requires_grad_(False), Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    layer(x).backward(np.ones((3, 4)))
    assert not layer.weight.grad.any() and x.grad.all()


def test_pairs_are_rotated_by_angles_proportional_to_the_position():
    theta = np.arange(8)[:, np.newaxis] * [1, 1 / 100]
    pairs = np.stack([np.cos(theta), np.sin(theta)], axis=-1)  # of (1, 0)
    y = rotary().forward(np.tile([1.0, 0, 1, 0], (8, 1)))
    np.testing.assert_allclose(y, pairs.reshape(8, 4), atol=1e-15)
    y = rotary(interleaved=False).forward(np.tile([1.0, 1, 0, 0], (8, 1)))
    np.testing.assert_allclose(y, pairs.swapaxes(1, 2).reshape(8, 4), atol=1e-15)


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotary_attention_depends_on_distances_alone(interleaved, rng):
    """The same when all positions are shifted, different when those of the keys alone are."""
    rotate = RotaryPositionalEmbedding(6, 100, interleaved=interleaved)
    q, k, v = (rng.standard_normal((2, 3, 5, 6)) for _ in range(3))
    attention = ScaledDotProductAttention()

    def attended(query_positions, key_positions):
        return attention.forward(rotate.forward(q, query_positions), rotate.forward(k, key_positions), v)

    p = np.arange(5)
    here = attended(p, p)
    np.testing.assert_allclose(attended(p + 90, p + 90), here, rtol=1e-12)
    assert np.abs(attended(p, p + 1) - here).max() > 1e-3
    q[:, :, 1:], k[:, :, 1:] = q[:, :, :1], k[:, :, :1]  # the same vector at every position: scores by distance alone
    scores = rotate.forward(q) @ rotate.forward(k).swapaxes(-1, -2)
    for distance in range(-4, 5):
        along = np.diagonal(scores, distance, -2, -1)
        np.testing.assert_allclose(along, np.broadcast_to(along[..., :1], along.shape), atol=1e-12)


def test_gradients_of_rotary_attention(rng):
    rotate, attention = rotary(), ScaledDotProductAttention(is_causal=True)
    q, k, v = (rng.standard_normal((2, 5, 4)) for _ in range(3))
    assert numpyml.gradcheck(lambda q, k, v: attention(rotate(q), rotate(k), v), q, k, v).passed


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize(
    ("dim", "base"), [(4, 10000.0), (2, 1e-300), (4, 1e-12), (4, 1e300), (64, 10**300), (4, np.float32(1e-7))]
)
def test_rotation_keeps_norms_for_every_accepted_base(dim, base, interleaved, rng):
    x = rng.standard_normal((8, dim))
    y = RotaryPositionalEmbedding(dim, 8, base, interleaved).forward(x)
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1), rtol=1e-14)


@ALL
def test_sequence_longer_than_max_len_is_refused(make, rng):
    layer = make()
    before = layer.state_dict()
    with pytest.raises(
        ShapeError, match=r"at most max_len=8 positions, got a sequence of 9; cut it, or build .* max_len=9"
    ):
        layer.forward(rng.standard_normal((9, 4)))
    assert all(np.array_equal(x, layer.state_dict()[name]) for name, x in before.items())
    layer.forward(rng.standard_normal((8, 4)))


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        ([0, 1, 8], DataError, "positions from 0 to 7, got 8; build the layer with a larger max_len"),
        ([0, -1, 2], DataError, "positions from 0 to 7, got -1"),
        (
            [0.0, 1.0, 2.0],
            DTypeError,
            r"positions to be integers, got an array of float64.*; pass .* np.arange\(past, past \+ 3\)",
        ),
        ([True, False, True], DTypeError, "positions to be integers, got an array of bool"),
        ([0, 1], ShapeError, r"expected positions \(3,\), .* got \(2,\); pass one position for each vector"),
        (True, DTypeError, "positions to be integers, got "),
        (0, ShapeError, r"expected positions \(3,\), .* got \(\)"),
        ([[0, 1, 2]] * 3, ShapeError, r"expected positions \(3,\), .* got \(3, 3\)"),
    ],
)
@ALL
def test_bad_positions_are_refused(make, positions, error, message, rng):
    layer = make() if make is rotary else make(batch_first=True)
    for value in (positions, np.array(positions)):
        with pytest.raises(error, match=message):
            layer.forward(rng.standard_normal((2, 3, 4)), value)


@ADDED
def test_one_row_of_positions_for_two_sequences_is_refused(make, rng):
    with pytest.raises(ShapeError, match=r"positions \(3,\) or \(2, 3\), got \(1, 3\); pass one row for each sequence"):
        make(batch_first=True).forward(rng.standard_normal((2, 3, 4)), np.array([[0, 1, 2]]))


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((3, 5), "embed it to that width, or build the layer with d_model=5"),
        ((4,), "give it an axis for the sequence"),
        ((2, 2, 3, 4), "give it an axis for the sequence and at most one for the batch"),
    ],
)
@ADDED
def test_other_shapes_are_refused(make, shape, remedy, rng):
    with pytest.raises(ShapeError, match=rf"expected x \(L, N, ·\) or \(L, ·\) with 4 features, got .*; {remedy}"):
        make().forward(rng.standard_normal(shape))


@pytest.mark.parametrize("shape", [(3, 5), (4,)])
def test_heads_of_another_width_are_refused(shape, rng):
    with pytest.raises(ShapeError, match=r"expected x \(..., L, 4\), got .*; split it into heads first"):
        rotary().forward(rng.standard_normal(shape))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SinusoidalPositionalEncoding(0), "d_model to be .* of 1 or more, got .*0"),
        (lambda: SinusoidalPositionalEncoding(4, 0), "max_len to be .* of 1 or more"),
        (lambda: LearnedPositionalEncoding(4, 2.5), "max_len to be .* of 1 or more"),
        (lambda: LearnedPositionalEncoding(4, 2, batch_first=1), "batch_first to be True or False"),
        (lambda: RotaryPositionalEmbedding(5), "dim to be even, got .*5"),
        (lambda: RotaryPositionalEmbedding(4, base=0), "base to be above 0"),
        (
            lambda: RotaryPositionalEmbedding(4, base=1e-300),
            "base to be 1 or more, or so large that no angle, max_len .*2/4.*, exceeds .* got .*1e-300",
        ),
        (lambda: RotaryPositionalEmbedding(64, base=1e-40), "base to be 1 or more"),
        (lambda: RotaryPositionalEmbedding(4, interleaved="no"), "interleaved to be True or False"),
    ],
)
def test_bad_options_are_refused(call, message):
    with pytest.raises(OptionError, match=message):
        call()


def test_table_is_shared_and_not_pickled():
    layer = SinusoidalPositionalEncoding(256)
    assert len(pickle.dumps(layer)) < 1000
    x = np.zeros((1, 1, 256), np.float32)
    layer.forward(x)[...] = 7  # what is returned is the caller's own
    assert SinusoidalPositionalEncoding(256).forward(x).max() == 1
