"""The gradient of hypot, a / hypot(a, b): PyTorch divides by a result that is subnormal and has few digits."""

import mpmath
import torch

a, b = torch.tensor(2e-44, requires_grad=True), torch.tensor(1e-44)
torch.hypot(a, b).backward()
print("PyTorch", a.grad.item())
print("true   ", float(mpmath.mpf(a.item()) / mpmath.hypot(a.item(), b.item())))
