"""The gradient of a product is the product of the others: PyTorch divides the whole product, which underflows."""

import mpmath
import torch

x = torch.tensor([1e-30, 1e-20, 3.0], requires_grad=True)
torch.prod(x).backward()
print("PyTorch", x.grad[0].item())
print("true   ", float(3 * mpmath.mpf(x[1].item())))
