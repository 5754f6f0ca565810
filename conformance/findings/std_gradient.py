"""The gradient of std, (x − mean) / (n std): PyTorch rounds the mean before it subtracts it from a close x."""

import mpmath
import torch

x = torch.tensor([0.2, 1.7, 3.2], requires_grad=True)
torch.std(x, correction=0).backward()
values = [mpmath.mpf(v) for v in x.tolist()]
mean = sum(values) / 3
deviation = mpmath.sqrt(sum((v - mean) ** 2 for v in values) / 3)
print("PyTorch", x.grad[1].item())
print("true   ", float((values[1] - mean) / (3 * deviation)))
