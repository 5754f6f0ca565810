"""A function that returns a list may return a list of one."""

import numpy as np

from numpyml import Tensor


def test_split_into_one_part_has_a_gradient() -> None:
    x = Tensor(np.arange(3.0), requires_grad=True)
    (part,) = np.split(x, 1)
    part.backward(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(x.grad, [1.0, 2.0, 3.0])
