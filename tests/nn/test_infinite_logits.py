"""An element of weight 0 counts for nothing, even where its loss is infinite."""

import numpy as np

from numpyml import Tensor
from numpyml.nn import losses


def test_binary_cross_entropy_with_logits_of_weight_zero() -> None:
    loss = losses.BinaryCrossEntropyWithLogits(np.array([0.0, 1.0]), reduction="sum")
    assert loss.forward(np.array([np.inf, 0.0]), np.array([0.0, 1.0])) == np.log(2)
    targets = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    loss(np.array([np.inf, 0.0]), targets).backward()
    np.testing.assert_array_equal(targets.grad, [0.0, 0.0])


def test_cross_entropy_with_logits_of_weight_zero() -> None:
    loss = losses.CrossEntropyWithLogits(np.array([0.0, 1.0]), reduction="sum")
    assert loss.forward(np.array([[-np.inf, 0.0], [0.0, 0.0]]), np.array([0, 1])) == np.log(2)
