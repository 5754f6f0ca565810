"""The same weights, data and options: does numpyml give PyTorch's loss at every step?

In float64 the two should agree to rounding, whatever the start. In float32 every run strays from the float64 run by its
own rounding; numpyml should stray no further than PyTorch. How far that is depends on luck (a ReLU that rounding
switches on parts any two runs), so the figure for float32 is the median over several starts.
"""

from statistics import median

import numpy as np
import with_numpyml
import with_pytorch
from starts import OPTIMIZERS, STARTS, STEPS


def apart(a, b):
    """Largest relative distance of two runs at any step."""
    return np.max(np.abs(np.subtract(a, b)) / np.abs(b))


print(f"Losses at {STEPS} steps, {STARTS} starts: largest relative distance")
print(f"{'':16}{'float64':>30}{'float32 to float64, median':>36}")
print(f"{'':16}{'numpyml to PyTorch, at worst':>30}{'numpyml':>18}{'PyTorch':>18}")
for name in OPTIMIZERS:
    exact, ours, theirs = [], [], []
    for start in range(STARTS):
        reference = with_pytorch.train(name, start, np.float64)
        exact.append(apart(with_numpyml.train(name, start, np.float64), reference))
        ours.append(apart(with_numpyml.train(name, start, np.float32), reference))
        theirs.append(apart(with_pytorch.train(name, start, np.float32), reference))
    print(f"{name:16}{max(exact):30.1e}{median(ours):18.2e}{median(theirs):18.2e}")
