"""The gradient of a softmax, p (g − Σ p g): PyTorch sums first, and for p near 1 nearly all digits cancel."""

import mpmath
import torch

x = torch.tensor([0.0, 17.0], requires_grad=True)
torch.softmax(x, 0).backward(torch.tensor([1.0, 0.5]))
p = mpmath.exp(-17) / (1 + mpmath.exp(-17))
print("PyTorch", x.grad[1].item())
print("true   ", float((1 - p) * p * (0.5 - 1)))
