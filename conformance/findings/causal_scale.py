"""Causal attention whose scale is negative: PyTorch's kernel hides a key by -infinity before it scales."""

import torch

x = torch.ones(1, 1, 2, 1)
y = torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True, scale=-1.0)
print("PyTorch", y[0, 0, 0, 0].item())
print("true   ", 1.0)
