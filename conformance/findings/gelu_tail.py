"""GELU of a negative x: PyTorch adds 1 to an erf that is nearly −1, and to a tanh likewise."""

import mpmath
import torch

x = torch.tensor(-5.0)
print("PyTorch", torch.nn.functional.gelu(x).item())
print("true   ", float(-5 * mpmath.ncdf(-5)))
