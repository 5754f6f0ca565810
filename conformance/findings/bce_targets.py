"""Binary cross-entropy's gradient of its targets is minus the logit: PyTorch subtracts two logarithms near log 2."""

import mpmath
import torch

x, t = torch.tensor(-1e-4), torch.tensor(1.0, requires_grad=True)
torch.nn.functional.binary_cross_entropy_with_logits(x, t, pos_weight=torch.tensor(1.0)).backward()
print("PyTorch", t.grad.item())
print("true   ", float(-mpmath.mpf(x.item())))
