"""The gradient of arcsinh, 1 / √(x² + 1): PyTorch squares x, which overflows."""

import mpmath
import torch

x = torch.tensor(1e25, requires_grad=True)
torch.arcsinh(x).backward()
print("PyTorch", x.grad.item())
print("true   ", float(1 / mpmath.hypot(1, 1e25)))
