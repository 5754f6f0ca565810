"""The gradient of a power in a, b times a to the b − 1: for an even b that is odd, and PyTorch rounds b − 1 to b."""

import torch

a, b = torch.tensor(-1.0, requires_grad=True), torch.tensor(2.0**30)
torch.pow(a, b).backward()
print("PyTorch", a.grad.item())
print("true   ", b.item() * (-1.0) ** (int(b.item()) - 1))
