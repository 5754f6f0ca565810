"""The gradient of arctan2, b / (a² + b²): PyTorch squares both, and small squares underflow or have few digits."""

import mpmath
import torch

a, b = torch.tensor(1e-22, requires_grad=True), torch.tensor(2e-22)
torch.arctan2(a, b).backward()
print("PyTorch", a.grad.item())
print("true   ", float(b.item() / (mpmath.mpf(a.item()) ** 2 + mpmath.mpf(b.item()) ** 2)))
