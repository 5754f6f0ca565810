"""The gradient of logaddexp, 1 / (1 + e^(b − a)): the exponential overflows in PyTorch, and the gradient is 0."""

import mpmath
import torch

a, b = torch.tensor(0.0, requires_grad=True), torch.tensor(92.0)
torch.logaddexp(a, b).backward()
print("PyTorch", a.grad.item())
print("true   ", float(1 / (1 + mpmath.exp(92))))
