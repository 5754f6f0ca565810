"""The gradient of tanh, 1 − tanh²: PyTorch computes it from tanh alone, which is nearly 1."""

import mpmath
import torch

x = torch.tensor(8.0, requires_grad=True)
torch.tanh(x).backward()
print("PyTorch", x.grad.item())
print("true   ", float(mpmath.sech(8) ** 2))
