"""Cross-entropy of a confident correct prediction, log Σ e^(x − max): PyTorch adds a small number to 1 first."""

import mpmath
import torch

x = torch.tensor([[12.0, 0.0]])
y = torch.nn.functional.cross_entropy(x, torch.tensor([0]))
print("PyTorch", y.item())
print("true   ", float(mpmath.log1p(mpmath.exp(-12))))
