"""RMSNorm of 1 and -1, times 1e20: PyTorch's squares overflow, and the result is divided by infinity."""

import torch

x = torch.tensor([1.0, -1.0]) * 1e20
print("PyTorch", torch.nn.functional.rms_norm(x, (2,))[0].item())
print("true   ", 1.0)
