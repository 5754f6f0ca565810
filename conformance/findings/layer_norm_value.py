"""LayerNorm of 1 and -1, times 1e20: PyTorch's squares overflow, and the result is 0."""

import torch

x = torch.tensor([1.0, -1.0]) * 1e20
print("PyTorch", torch.nn.functional.layer_norm(x, (2,))[0].item())
print("true   ", 1.0)
