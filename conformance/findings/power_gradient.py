"""The gradient of a power in a, b times a to the b − 1: for this even b PyTorch rounds the odd b − 1 to b."""

import torch

a, b = torch.tensor(-1.0, requires_grad=True), torch.tensor(2.0**30)
torch.pow(a, b).backward()
print("PyTorch", a.grad.item())
print("true   ", b.item() * (-1.0) ** (int(b.item()) - 1))
