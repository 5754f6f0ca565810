"""The logarithm of a probability near 1, −log Σ e^(x − max): PyTorch, like numpyml, adds a small number to 1."""

import mpmath
import torch

x = torch.tensor([0.0, -40.0], dtype=torch.float64)
print("PyTorch", torch.log_softmax(x, 0)[0].item())
print("true   ", float(-mpmath.log1p(mpmath.exp(-40))))
