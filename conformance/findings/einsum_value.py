"""1e30 times 1e30 times 1e-30: the product of the first two overflows in float32, in PyTorch as in NumPy."""

import torch

a, b = torch.tensor([[1e30]]), torch.tensor([[1e-30]])
print("PyTorch", torch.einsum("ij,jk,kl->il", a, a, b).item())
print("true   ", 1e30)
