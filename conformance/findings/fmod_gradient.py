"""The gradient of fmod in b, minus the truncated quotient: PyTorch rounds a / b to 10, but the quotient is 9."""

from fractions import Fraction

import torch

a, b = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
torch.fmod(a, b).backward()
print("PyTorch", b.grad.item())
print("true   ", float(-(Fraction(1.0) // Fraction(0.1))))
