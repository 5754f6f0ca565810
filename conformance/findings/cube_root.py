"""PyTorch has no cube root. The error of |x| to the power 1/3 is the rounding of 1/3, times log |x|."""

import mpmath
import torch

x = torch.tensor(1e-300, dtype=torch.float64)
y = x ** (1 / 3)
print("PyTorch", y.item())
print("true   ", float(mpmath.cbrt(x.item())))
