"""Losses against their formulas in higher precision, at the limits, and against bad input."""

import math

import numpy as np
import pytest

from numpyml import Tensor
from numpyml.autograd.gradcheck import gradcheck
from numpyml.errors import CallOrderError, DataError, DTypeError, OptionError, ShapeError
from numpyml.nn import losses
from numpyml.nn.losses import (
    BinaryCrossEntropyWithLogits,
    CrossEntropyWithLogits,
    Huber,
    MeanSquaredError,
)

INF = np.inf


def reduced(elementwise, reduction, count=None):
    """The elementwise losses reduced, by the definition."""
    if reduction == "none":
        return elementwise
    return elementwise.sum() / (1 if reduction == "sum" else elementwise.size if count is None else count)


def softplus(x):
    return np.logaddexp(np.longdouble(0), np.asarray(x, np.longdouble))


REDUCTIONS = pytest.mark.parametrize("reduction", losses.REDUCTIONS)


@REDUCTIONS
def test_mean_squared_error(rng, reduction):
    x, t = rng.standard_normal((2, 4, 3))
    loss = MeanSquaredError(reduction=reduction)
    np.testing.assert_allclose(loss.forward(x, t), reduced((x - t) ** 2, reduction))


@REDUCTIONS
@pytest.mark.parametrize("delta", [0.3, 1.0, 10])
def test_huber(rng, reduction, delta):
    x, t = 3 * rng.standard_normal((2, 40))
    e = np.abs(x - t)
    expected = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))
    np.testing.assert_allclose(Huber(reduction, delta).forward(x, t), reduced(expected, reduction))


@REDUCTIONS
@pytest.mark.parametrize("weight", [None, 2.0, np.array([0.5, 0, 3])])
@pytest.mark.parametrize("pos_weight", [None, 0.5, np.array([1, 2, 0.0])])
def test_binary_cross_entropy_with_logits(rng, reduction, weight, pos_weight):
    x, t = 10 * rng.standard_normal((5, 3)), rng.random((5, 3))
    loss = BinaryCrossEntropyWithLogits(weight, reduction=reduction, pos_weight=pos_weight)
    p = 1 if pos_weight is None else pos_weight
    expected = (1 if weight is None else weight) * ((1 - t) * softplus(x) + p * t * softplus(-x))
    np.testing.assert_allclose(loss.forward(x, t), reduced(expected, reduction).astype(float), rtol=1e-13)


@REDUCTIONS
@pytest.mark.parametrize("smoothing", [0, 0.1, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4,), (6, 4), (6, 4, 2), (2, 4, 3, 2)])
@pytest.mark.parametrize("probabilities", [False, True])
def test_cross_entropy_with_logits(rng, reduction, smoothing, weighted, shape, probabilities):
    x = 3 * rng.standard_normal(shape)
    axis = min(1, len(shape) - 1)
    w = rng.random(4) if weighted else np.ones(4)
    along = w.reshape((4,) + (1,) * (len(shape) - axis - 1))
    log_p = x - np.logaddexp.reduce(x, axis=axis, keepdims=True)
    if probabilities:
        t = rng.dirichlet(np.ones(4), log_p.sum(axis).shape)
        t = hot = np.moveaxis(t, -1, axis)
        ignore, counted = {}, np.ones(log_p.sum(axis).shape, bool)
        count = counted.size
    else:
        t = rng.integers(0, 4, log_p.sum(axis).shape)
        ignore, counted = {"ignore_index": 1}, np.asarray(t != 1)
        hot = np.moveaxis(np.eye(4)[t], -1, axis)
        count = (w[t] * counted).sum()
    target = (1 - smoothing) * hot + smoothing / 4
    expected = -(target * along * log_p).sum(axis) * counted
    loss = CrossEntropyWithLogits(w if weighted else None, reduction=reduction, label_smoothing=smoothing, **ignore)
    if count:
        np.testing.assert_allclose(loss.forward(x, t), reduced(expected, reduction, count), rtol=1e-12)
        report = gradcheck(lambda z: loss(z, t), x)
        assert report.passed, str(report)


@REDUCTIONS
@pytest.mark.parametrize(
    "make",
    [
        MeanSquaredError,
        lambda reduction: Huber(reduction, 0.7),
        BinaryCrossEntropyWithLogits,
        lambda reduction: BinaryCrossEntropyWithLogits(np.array([1, 2, 3.0]), reduction=reduction, pos_weight=2.5),
        CrossEntropyWithLogits,
        lambda reduction: CrossEntropyWithLogits(np.array([1, 2, 3.0]), reduction=reduction, label_smoothing=0.2),
    ],
)
def test_gradients_of_outputs_and_of_targets(rng, make, reduction):
    x, u = rng.standard_normal((2, 5, 3))
    loss = make(reduction=reduction)
    report = gradcheck(lambda x, u: loss(x, 0.5 + 0.4 * np.tanh(u)), x, u)  # probabilities, however u is moved
    assert report.passed, str(report)


@pytest.mark.parametrize("loss", [MeanSquaredError(), Huber(), BinaryCrossEntropyWithLogits()])
def test_mean_of_nothing_is_nan_and_sum_is_zero(loss):
    empty = np.zeros((0, 3), np.float32)
    assert math.isnan(loss.forward(empty, empty))
    assert loss.backward().shape == (0, 3)
    assert type(loss)(reduction="sum").forward(empty, empty) == 0
    assert math.isnan(CrossEntropyWithLogits().forward(empty, np.zeros(0, int)))
    assert CrossEntropyWithLogits(reduction="sum").forward(empty, np.zeros(0, int)) == 0


def test_every_target_ignored_gives_nan_as_a_mean_and_no_gradient():
    loss, x = CrossEntropyWithLogits(), np.ones((3, 2))
    assert math.isnan(loss.forward(x, np.full(3, -100)))
    np.testing.assert_array_equal(loss.backward(), np.zeros((3, 2)))


def test_ignored_predictions_do_not_contribute_even_if_not_finite():
    loss = CrossEntropyWithLogits(ignore_index=5)
    x = np.array([[1.0, 2], [np.nan, INF]])
    assert loss.forward(x, np.array([0, 5])) == CrossEntropyWithLogits().forward(x[:1], np.array([0]))
    assert not loss.backward()[1].any()


@pytest.mark.parametrize(
    ("x", "t", "loss", "gradient"),
    [
        (1e4, 1, 0, 0),
        (1e4, 0, 1e4, 1),
        (-1e4, 1, 1e4, -1),
        (INF, 1, 0, 0),
        (INF, 0, INF, 1),
        (INF, 0.5, INF, 0.5),
        (-INF, 0, 0, 0),
        (-INF, 1, INF, -1),
        (np.nan, 1, np.nan, np.nan),
    ],
)
@pytest.mark.parametrize("pos_weight", [None, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_at_the_limits(x, t, loss, gradient, pos_weight, dtype):
    bce = BinaryCrossEntropyWithLogits(pos_weight=pos_weight)
    np.testing.assert_equal(float(bce.forward(np.array([x], dtype), np.array([t], dtype))), loss)
    np.testing.assert_array_equal(bce.backward(), np.array([gradient], dtype))


def test_binary_cross_entropy_keeps_precision_where_saturated():
    bce = BinaryCrossEntropyWithLogits()
    np.testing.assert_allclose(bce.forward(np.float32([30]), np.float32([1])), np.exp(-30.0), rtol=1e-6)
    np.testing.assert_allclose(bce.backward(), [-np.exp(-30.0)], rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "t", "loss", "gradient"),
    [
        ([1e4, 0], 0, 0, [0, 0]),
        ([1e4, 0], 1, 1e4, [1, -1]),
        ([INF, 0], 0, 0, [0, 0]),
        ([INF, 0], 1, INF, [1, -1]),
        ([-INF, 0], 1, 0, [0, 0]),
        ([-INF, 0], 0, INF, [-1, 1]),
        ([INF, INF], 0, np.nan, [np.nan, np.nan]),
        ([-INF, -INF], 0, np.nan, [np.nan, np.nan]),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_at_the_limits(x, t, loss, gradient, soft):
    ce, x = CrossEntropyWithLogits(), np.array([x])
    targets = np.eye(2)[[t]] if soft else np.array([t])
    np.testing.assert_equal(float(ce.forward(x, targets)), loss)
    np.testing.assert_array_equal(ce.backward(), [gradient])


def test_integer_and_boolean_targets_are_converted():
    x = np.array([0.5, -1], np.float32)
    for loss in (MeanSquaredError(), Huber(), BinaryCrossEntropyWithLogits()):
        expected = loss.forward(x, np.array([1, 0], np.float32))
        assert loss.forward(x, np.array([1, 0])) == expected
        assert loss.forward(x, np.array([True, False])) == expected
        assert loss.forward(x, np.array([1.0, 0.0])).dtype == np.float32


@pytest.mark.parametrize("loss", [MeanSquaredError(), Huber(), BinaryCrossEntropyWithLogits()])
def test_targets_are_never_broadcast(loss):
    with pytest.raises(ShapeError, match=r"outputs' shape \(4, 1\), got \(4,\)"):
        loss.forward(np.ones((4, 1)), np.ones(4))


@pytest.mark.parametrize(
    "loss", [MeanSquaredError(), Huber(), BinaryCrossEntropyWithLogits(), CrossEntropyWithLogits()]
)
@pytest.mark.parametrize("bad", [np.array([["a", "b"]]), np.array([[None, None]]), np.array([[1j, 2]])])
def test_data_that_is_not_real_is_refused(loss, bad):
    with pytest.raises(DTypeError):
        loss.forward(bad, np.ones((1, 2)))
    with pytest.raises(DTypeError):
        loss.forward(np.ones((1, 2)), bad)


def test_swapped_arguments_are_refused(rng):
    x = rng.standard_normal((4, 3)) * 5
    with pytest.raises(DTypeError, match="swapped"):
        CrossEntropyWithLogits().forward(np.arange(4) % 3, x)
    with pytest.raises(DataError, match="swapped"):
        BinaryCrossEntropyWithLogits().forward((x > 0).astype(float), x)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_targets_outside_0_to_1_are_refused(bad):
    t = np.array([[0.5, bad]])
    for loss in (BinaryCrossEntropyWithLogits(), CrossEntropyWithLogits()):
        with pytest.raises(DataError, match="from 0 to 1"):
            loss.forward(np.ones((1, 2)), t)


@pytest.mark.parametrize("bad", [-1, 3, 255])
def test_a_class_index_out_of_range_is_refused(bad):
    with pytest.raises(DataError, match=f"from 0 to 2 .*got {bad}; number the classes from 0, or give the outputs one"):
        CrossEntropyWithLogits().forward(np.ones((2, 3)), np.array([0, bad]))


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        (np.array([0.5, 1.0]), DTypeError, "integer class indices"),
        (np.array([True, False]), DTypeError, "integer class indices"),
        (np.zeros((2, 3), int), ShapeError, r"class indices of shape \(2,\)"),
        (np.zeros(3, int), ShapeError, r"class indices of shape \(2,\)"),
        (np.zeros((2, 2)), ShapeError, r"probabilities of shape \(2, 3\)"),
    ],
)
def test_targets_of_another_shape_or_dtype_are_refused(t, error, message):
    with pytest.raises(error, match=message):
        CrossEntropyWithLogits().forward(np.ones((2, 3)), t)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeanSquaredError(reduction="avg"), "reduction to be one of 'none', 'mean', 'sum'"),
        (lambda: Huber(delta=0), "delta to be above 0"),
        (lambda: Huber(delta=INF), "delta to be a finite number"),
        (lambda: CrossEntropyWithLogits(label_smoothing=1.1), "label_smoothing to be a number from 0 to 1"),
        (lambda: CrossEntropyWithLogits(ignore_index=0.5), "ignore_index to be an integer"),
        (lambda: CrossEntropyWithLogits([1, np.nan]), "weight to be an array of finite weights"),
        (lambda: BinaryCrossEntropyWithLogits(pos_weight=[np.inf]), "pos_weight to be an array of finite weights"),
    ],
)
def test_an_option_out_of_range_is_an_error(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_weights_must_fit_the_outputs():
    with pytest.raises(ShapeError, match="one entry for each of the 3 classes"):
        CrossEntropyWithLogits(np.ones(2)).forward(np.ones((2, 3)), np.array([0, 1]))
    with pytest.raises(ShapeError, match="pos_weight to broadcast"):
        BinaryCrossEntropyWithLogits(pos_weight=np.ones(2)).forward(np.ones((2, 3)), np.ones((2, 3)))


def test_an_ignore_index_beside_probabilities_is_refused():
    with pytest.raises(OptionError, match="leave ignore_index out"):
        CrossEntropyWithLogits(ignore_index=0).forward(np.ones((2, 3)), np.ones((2, 3)) / 3)


def test_backward_needs_a_gradient_without_reduction(rng):
    loss = MeanSquaredError(reduction="none")
    x, t, gy = rng.standard_normal((3, 4))
    loss.forward(x, t)
    with pytest.raises(ShapeError, match="one weight for each element's loss"):
        loss.backward()
    np.testing.assert_allclose(loss.backward(gy), 2 * gy * (x - t))
    with pytest.raises(CallOrderError):
        loss.backward()


def test_a_loss_on_tensors_gives_both_gradients(rng):
    x, t = (Tensor(a, requires_grad=True) for a in rng.standard_normal((2, 3)))
    MeanSquaredError(reduction="sum")(x, t).backward()
    np.testing.assert_allclose(x.grad, 2 * (x.data - t.data))
    np.testing.assert_allclose(t.grad, -x.grad)


def test_infinite_binary_losses_of_weight_zero_do_not_contribute():
    loss = BinaryCrossEntropyWithLogits(np.array([0.0, 1.0]), reduction="sum")
    assert loss.forward(np.array([np.inf, 0.0]), np.array([0.0, 1.0])) == np.log(2)
    targets = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    loss(np.array([np.inf, 0.0]), targets).backward()
    np.testing.assert_array_equal(targets.grad, [0.0, 0.0])


def test_infinite_losses_of_a_class_of_weight_zero_do_not_contribute():
    loss = CrossEntropyWithLogits(np.array([0.0, 1.0]), reduction="sum")
    assert loss.forward(np.array([[-np.inf, 0.0], [0.0, 0.0]]), np.array([0, 1])) == np.log(2)


def test_binary_cross_entropy_has_the_same_gradient_at_both_zeros():
    loss = BinaryCrossEntropyWithLogits(reduction="sum")
    targets = np.array([0.25, 0.25])
    loss.forward(np.array([0.0, -0.0]), targets)
    np.testing.assert_array_equal(loss.backward(), [0.25, 0.25])
    weighted = BinaryCrossEntropyWithLogits(reduction="sum", pos_weight=np.array([2.0, 2.0]))
    weighted.forward(np.array([0.0, -0.0]), targets)
    np.testing.assert_array_equal(weighted.backward(), [0.125, 0.125])


@REDUCTIONS
@pytest.mark.parametrize("kind", [MeanSquaredError, Huber, BinaryCrossEntropyWithLogits])
def test_0d_arrays_keep_their_dtype(kind, reduction):
    loss, x, t = kind(reduction=reduction), np.array(0.3, np.float32), np.array(1, np.float32)
    assert loss.forward(x, t).dtype == np.float32
    assert loss.backward(np.float32(1)).dtype == np.float32


@pytest.mark.parametrize("kind", [MeanSquaredError, Huber, BinaryCrossEntropyWithLogits])
@pytest.mark.parametrize("make", [np.ones, np.zeros])
def test_the_mean_of_many_float16_losses_does_not_overflow(kind, make):
    x, t = make(100_000, np.float16) + np.float16(1), np.ones(100_000, np.float16)
    half, single = kind(), kind()
    y = half.forward(x, t)
    assert y.dtype == np.float16
    assert y == np.float16(single.forward(x.astype("f"), t))
    gx = half.backward()
    assert gx.dtype == np.float16
    np.testing.assert_allclose(gx, single.backward(), atol=6e-8)


@pytest.mark.parametrize("weight", [None, np.ones(2)])
@pytest.mark.parametrize("smoothing", [0, 0.1])
@REDUCTIONS
def test_cross_entropy_of_many_float16_predictions_does_not_overflow(weight, smoothing, reduction):
    n = 1000 if reduction == "sum" else 100_000
    x, t = np.zeros((n, 2), np.float16), np.ones(n, int)
    half, single = (CrossEntropyWithLogits(weight, reduction=reduction, label_smoothing=smoothing) for _ in range(2))
    y = half.forward(x, t)
    assert y.dtype == np.float16 and y.shape == (() if reduction != "none" else (n,))
    np.testing.assert_allclose(y, single.forward(x.astype("f"), t), rtol=2e-3)
    gy = (np.ones(n),) if reduction == "none" else ()
    gx = half.backward(*gy)
    assert gx.dtype == np.float16
    np.testing.assert_allclose(gx, single.backward(*gy), rtol=2e-3, atol=6e-8)


def test_many_float16_classes_are_summed_in_float32():
    x = np.zeros((1, 5000), np.float16)
    assert CrossEntropyWithLogits().forward(x, np.array([3])) == np.float16(np.log(5000))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0])])
def test_saturated_predictions_raise_no_floating_point_error(dtype, weight):
    x = np.array([[1e4, -1e4], [-1e4, 1e4], [80, -100]], dtype)
    t = np.array([[1, 0], [0.5, 1], [1, 0]], dtype)
    with np.errstate(all="raise"):
        assert np.isfinite(BinaryCrossEntropyWithLogits(weight, reduction="sum").forward(x, t))
        assert np.isfinite(BinaryCrossEntropyWithLogits(pos_weight=weight).forward(x, t))
        assert np.isfinite(CrossEntropyWithLogits(weight).forward(x, np.array([0, 1, 1])))
        assert np.isfinite(CrossEntropyWithLogits(weight).forward(x, np.array([[1, 0], [0.5, 0.5], [0, 1]])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [1, 4, 12, 29, 80])
@pytest.mark.parametrize("weight", [None, np.array([0.75, 2.0, 1.0])])
@pytest.mark.parametrize("targets", [np.array([0]), np.array([[1.0, 0, 0]])])
def test_gradient_of_confident_predictions_keeps_precision(dtype, distance, weight, targets):
    loss = CrossEntropyWithLogits(weight, reduction="sum")
    x = np.array([[0, -distance, -distance - 1]], dtype)
    loss.forward(x, targets.astype(dtype) if targets.ndim > 1 else targets)
    others = np.exp(np.longdouble([-distance, -distance - 1])).sum()
    expected = -others / (1 + others) * (1 if weight is None else weight[0])
    assert abs(loss.backward()[0][0] - expected) <= 4 * np.spacing(dtype(abs(expected)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_of_smoothed_targets_keeps_precision_where_saturated(dtype):
    w, smoothing = np.array([0.5, 2.0, 0.25, 1.5]), 0.1
    loss = CrossEntropyWithLogits(w, reduction="sum", label_smoothing=smoothing)
    _, context = loss.compute(np.array([[INF, -0.75, 1e4, 0.25]], dtype), np.array([0]))
    expected = np.longdouble(str(smoothing)) / 4 * w[1:].sum()  # p = 1: the targets of the other classes
    for g in np.linspace(0.05, 1, 100, dtype=dtype):
        gx, _ = loss.pullback(context, g)
        assert abs(gx[0, 0] - g * expected) <= 2 * np.spacing(dtype(g * expected))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("probabilities", [False, True])
def test_gradient_of_smoothed_targets_keeps_precision_at_uniform_predictions(dtype, probabilities):
    w, smoothing = np.array([1.0, 0.0, 3.0, 0.125]), 0.1
    t = np.array([[0, 1, 0, 0]], dtype) if probabilities else np.array([1])
    loss = CrossEntropyWithLogits(w, reduction="sum", label_smoothing=smoothing)
    loss.forward(np.zeros((1, 4), dtype), t)
    expected = np.longdouble(str(smoothing)) / 4 * (w.sum() / 4 - w)  # the weight of the target's class is 0
    assert (np.abs(loss.backward()[0] - expected) <= np.spacing(np.abs(expected).astype(dtype))).all()


@pytest.mark.parametrize("smoothing", [1e-40, 1e-9, 1e-7])
def test_tiny_label_smoothing_does_not_overflow(smoothing):
    loss = CrossEntropyWithLogits(label_smoothing=smoothing)
    x, t = np.array([[0, 1, 0]], np.float32), np.array([1])
    np.testing.assert_allclose(loss.forward(x, t), CrossEntropyWithLogits().forward(x, t), rtol=1e-6)
    assert np.isfinite(loss.backward()).all()


def test_smoothed_loss_of_many_classes_keeps_its_digits(rng):
    x = rng.standard_normal((64, 300))
    targets = rng.integers(0, 300, 64)
    loss = losses.CrossEntropyWithLogits(reduction="none", label_smoothing=0.1).forward(x, targets)
    wide = x.astype(np.longdouble)
    log_p = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    expected = -(0.9 * log_p[np.arange(64), targets] + 0.1 * log_p.mean(axis=1))
    assert np.abs(loss - expected).max() < 3e-15


def test_infinite_logits_with_a_negative_weight_of_the_positive_give_the_limit():
    loss = BinaryCrossEntropyWithLogits(pos_weight=[-2.0], reduction="none")
    assert loss.forward(np.array([-np.inf, -np.inf, np.inf]), np.array([0.5, 0.0, 0.5])).tolist() == [
        -np.inf,
        0,
        np.inf,
    ]


def test_mean_whose_weights_add_up_to_zero_is_divided_by_zero():
    loss = CrossEntropyWithLogits([1.0, -2.0])
    assert np.isnan(loss.forward(np.zeros((3, 2)), np.array([0, 0, 1])))  # 0 / 0
    assert loss.forward(np.array([[0, 1.0], [0, 1], [0, 0]]), np.array([0, 0, 1])) == np.inf


def test_gradient_over_very_many_classes_keeps_its_digits(rng):
    x, targets = rng.standard_normal((1, 70_000, 2)), np.array([[69_333, 68_379]])
    loss = losses.CrossEntropyWithLogits(reduction="sum")
    loss.forward(x, targets)
    p = np.exp(x.astype(np.longdouble))
    p /= p.sum(axis=1, keepdims=True)
    p[0, targets[0], [0, 1]] -= 1
    assert (np.abs(loss.backward() / p - 1)).max() < 2e-15
