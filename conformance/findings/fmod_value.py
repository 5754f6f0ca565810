"""fmod, the remainder of the truncated quotient: where a / b overflows, PyTorch's loop over long arrays gives NaN."""

from fractions import Fraction

import torch

a, b = torch.full((64,), 0.5), torch.full((64,), 5e-41)
print("PyTorch", torch.fmod(a, b)[0].item())
print("true   ", float(Fraction(a[0].item()) % Fraction(b[0].item())))
