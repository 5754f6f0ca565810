"""The same weights, data and options: does numpyml give PyTorch's loss at every step?

In float64 the two should agree to rounding. In float32 each strays from the float64 run by its own rounding, which the
optimizer amplifies; numpyml should stray no further than PyTorch does.
"""

import numpy as np
import with_numpyml
import with_pytorch
from start import OPTIMIZERS, STEPS


def apart(a, b):
    """Relative distance of two runs, step by step."""
    return np.abs(np.subtract(a, b)) / np.abs(b)


print(f"{'relative distance of losses':30}{'float64 to PyTorch':>20}{'float32 to float64':>24}{'PyTorch the same':>20}")
for name in OPTIMIZERS:
    ours, theirs = with_numpyml.train(name, np.float64), with_pytorch.train(name, np.float64)
    ours32, theirs32 = with_numpyml.train(name, np.float32), with_pytorch.train(name, np.float32)
    for measure in (np.max, lambda d: np.sqrt(np.mean(d * d)), np.mean):
        print(
            f"{name:30}{measure(apart(ours, theirs)):20.1e}{measure(apart(ours32, ours)):24.1e}"
            f"{measure(apart(theirs32, ours)):20.1e}"
        )
