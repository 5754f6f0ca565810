"""Binary cross-entropy of a confident correct prediction: PyTorch subtracts it from the logit, which is much larger."""

import mpmath
import torch

x, t = torch.tensor(-12.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
y = torch.nn.functional.binary_cross_entropy_with_logits(x, t)
print("PyTorch", y.item())
print("true   ", float(mpmath.log1p(mpmath.exp(-12))))
