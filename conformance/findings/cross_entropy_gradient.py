"""Cross-entropy's gradient at a confident correct prediction, p − 1: PyTorch subtracts 1 from p, which is nearly 1."""

import mpmath
import torch

x = torch.tensor([[12.0, 0.0]], requires_grad=True)
torch.nn.functional.cross_entropy(x, torch.tensor([0])).backward()
print("PyTorch", x.grad[0, 0].item())
print("true   ", float(-1 / (1 + mpmath.exp(12))))
