"""The gradient of arcsin, 1 / √(1 − x²): PyTorch squares x first, which rounds off its difference from 1."""

import mpmath
import torch

x = torch.tensor(0.99999, requires_grad=True)
torch.arcsin(x).backward()
print("PyTorch", x.grad.item())
print("true   ", float(1 / mpmath.sqrt((1 - mpmath.mpf(x.item())) * (1 + mpmath.mpf(x.item())))))
