"""The gradient of remainder in b, minus the floored quotient: in PyTorch that overflows, and g times it is ∞."""

from fractions import Fraction

import torch

a, b = torch.tensor(0.5), torch.tensor(1e-39, requires_grad=True)
torch.remainder(a, b).backward(torch.tensor(0.125))
print("PyTorch", b.grad.item())
print("true   ", float(-(Fraction(a.item()) // Fraction(b.item())) / 8))
