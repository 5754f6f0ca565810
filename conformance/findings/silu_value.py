"""SiLU of -90 in float32: e to the 90 overflows, and x / ∞ is 0."""

import numpy as np
import torch

x = torch.tensor(-90.0)
print("PyTorch", torch.nn.functional.silu(x).item())
print("true   ", float(np.longdouble(-90) * np.exp(np.longdouble(-90))))
