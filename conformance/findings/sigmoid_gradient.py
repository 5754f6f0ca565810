"""The gradient of a sigmoid, σ (1 − σ): PyTorch computes it from σ alone, which is nearly 1."""

import mpmath
import torch

x = torch.tensor(17.0, requires_grad=True)
torch.sigmoid(x).backward()
e = mpmath.exp(-17)
print("PyTorch", x.grad.item())
print("true   ", float(e / (1 + e) ** 2))
