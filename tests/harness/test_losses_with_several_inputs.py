"""A loss of three inputs, written on the base class as it is, gives PyTorch's gradients through both drivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from numpyml import Tensor
from numpyml.errors import ShapeError
from numpyml.nn import losses


class TripletMargin(losses.Loss):
    """Mean of max(‖a − p + ε‖ − ‖a − n + ε‖ + 1, 0)."""

    inputs = differentiable = ("anchor", "positive", "negative")
    reduction = "mean"

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        near, far = (np.linalg.norm(anchor - other + 1e-6, axis=-1) for other in (positive, negative))
        return np.mean(np.maximum(near - far + 1, 0))


class WeightedSquares(losses.Loss):
    """Σ w (x − t)², whose ``backward`` returns the gradients of x and w, not of t."""

    inputs = ("outputs", "targets", "weights")
    differentiable = ("outputs", "weights")
    reduction = "none"

    def compute(self, outputs: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        e = outputs - targets
        return weights * e * e, (e, weights)

    def pullback(self, context: Any, gy: Any, needs_input_grad: Sequence[bool] = (True, True, True)) -> tuple[Any, ...]:
        e, weights = context
        return 2 * weights * e * gy, -2 * weights * e * gy, e * e * gy


@pytest.fixture
def arrays(rng: np.random.Generator) -> list[Any]:
    return list(rng.standard_normal((3, 6, 4)))


@pytest.fixture
def expected(arrays: list[Any]) -> tuple[float, list[Any]]:
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    loss = torch.nn.TripletMarginLoss()(*tensors)
    loss.backward()
    return loss.item(), [t.grad.numpy() for t in tensors]


def test_explicit_driver_returns_the_gradients_in_order(arrays: Any, expected: Any) -> None:
    loss = TripletMargin()
    assert loss.forward(*arrays) == pytest.approx(expected[0], rel=1e-12)
    gradients = loss.backward()
    assert isinstance(gradients, tuple)
    for gradient, right in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(gradient, right, rtol=1e-12, atol=1e-15)


def test_dynamic_driver_gives_the_same(arrays: Any, expected: Any) -> None:
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    loss = TripletMargin()(*tensors)
    loss.backward()
    assert loss.item() == pytest.approx(expected[0], rel=1e-12)
    for tensor, right in zip(tensors, expected[1], strict=True):
        np.testing.assert_allclose(tensor.grad, right, rtol=1e-12, atol=1e-15)


def test_backward_returns_the_differentiable_inputs_only(arrays: Any) -> None:
    x, t, w = arrays
    loss = WeightedSquares()
    loss.forward(x, t, w)
    with pytest.raises(ShapeError, match="one weight for each element's loss"):
        loss.backward()
    gx, gw = loss.backward(np.ones_like(x))
    np.testing.assert_array_equal(gx, 2 * w * (x - t))
    np.testing.assert_array_equal(gw, (x - t) ** 2)


def test_input_gradient_false_returns_none(arrays: Any) -> None:
    loss = TripletMargin()
    loss.forward(*arrays)
    assert loss.backward(input_gradient=False) is None
