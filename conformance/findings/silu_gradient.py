"""The gradient of SiLU, σ (1 + x (1 − σ)): PyTorch rounds 1 − σ, which has few digits, before it multiplies by x."""

import mpmath
import torch

mpmath.mp.dps = 30
x = torch.tensor(30.0, dtype=torch.float64, requires_grad=True)
torch.nn.functional.silu(x).backward()
s = 1 / (1 + mpmath.exp(-30))
print("PyTorch", x.grad.item())
print("true   ", float(s * (1 + 30 * (1 - s))))
