"""The sigmoid of -720, e^-720 or 2e-313: in PyTorch the exponential of 720 is infinite, and 1 / ∞ is 0."""

import mpmath
import torch

print("PyTorch", torch.sigmoid(torch.tensor(-720.0, dtype=torch.float64)).item())
print("true   ", float(mpmath.exp(-720)))
