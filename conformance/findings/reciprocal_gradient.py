"""The gradient of 1 / x at 1e-20, times 1e-10: PyTorch squares 1e20 first, which is too large for float32."""

import torch

x = torch.tensor(1e-20, requires_grad=True)
torch.reciprocal(x).backward(torch.tensor(1e-10))
print("PyTorch", x.grad.item())
print("true   ", -1e30)
