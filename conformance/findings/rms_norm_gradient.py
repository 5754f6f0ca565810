"""RMSNorm's gradient at (1, 2) times 1e16, by the other element: the cube of the norm overflows in PyTorch."""

import torch

x = (torch.tensor([1.0, 2.0]) * 1e16).requires_grad_()
torch.nn.functional.rms_norm(x, (2,))[0].backward()
print("PyTorch", x.grad[1].item())
print("true   ", -(2.5**-1.5) / 1e16)
