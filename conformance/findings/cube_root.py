"""PyTorch has no cube root, and |x| to the power 1/3 is off by what 1/3 is rounded by, times log |x|."""

import mpmath
import torch

x = torch.tensor(1e-300, dtype=torch.float64)
y = x ** (1 / 3)
print("PyTorch", y.item())
print("true   ", float(mpmath.cbrt(x.item())))
