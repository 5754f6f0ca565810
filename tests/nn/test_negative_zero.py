"""A logit of -0.0 is a logit of 0."""

import numpy as np

from numpyml.nn import losses


def test_binary_cross_entropy_with_logits_has_one_gradient_at_both_zeros() -> None:
    loss = losses.BinaryCrossEntropyWithLogits(reduction="sum")
    targets = np.array([0.25, 0.25])
    loss.forward(np.array([0.0, -0.0]), targets)
    np.testing.assert_array_equal(loss.backward(), [0.25, 0.25])
    weighted = losses.BinaryCrossEntropyWithLogits(reduction="sum", pos_weight=np.array([2.0, 2.0]))
    weighted.forward(np.array([0.0, -0.0]), targets)
    np.testing.assert_array_equal(weighted.backward(), [0.125, 0.125])
