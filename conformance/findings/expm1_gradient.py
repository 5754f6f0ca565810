"""The gradient of expm1 is eˣ: PyTorch adds 1 to the result, which is nearly −1."""

import mpmath
import torch

x = torch.tensor(-15.0, requires_grad=True)
torch.expm1(x).backward()
print("PyTorch", x.grad.item())
print("true   ", float(mpmath.exp(-15)))
