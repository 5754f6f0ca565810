"""The standard deviation of a 1 and n - 1 zeros, √(n - 1) / n: PyTorch's running mean is rounded n times."""

import mpmath
import torch

n = 1000
x = torch.zeros(n, dtype=torch.float64)
x[0] = 1
print("PyTorch", torch.std(x, correction=0).item())
print("true   ", float(mpmath.sqrt(n - 1) / n))
