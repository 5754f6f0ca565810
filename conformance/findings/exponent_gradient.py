"""The gradient of a power in b, a to the b times log a: PyTorch multiplies a subnormal power, which has few digits."""

import mpmath
import torch

a, b = torch.tensor(1e-41), torch.tensor(1.05, requires_grad=True)
torch.pow(a, b).backward()
print("PyTorch", b.grad.item())
print("true   ", float(mpmath.mpf(a.item()) ** mpmath.mpf(b.item()) * mpmath.log(mpmath.mpf(a.item()))))
