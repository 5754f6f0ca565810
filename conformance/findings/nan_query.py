"""Attention of a query of NaN: over four axes, PyTorch's kernel gives 0, as for a query that may attend to no key."""

import torch

query, key = torch.full((1, 1, 1, 1), torch.nan), torch.ones(1, 1, 1, 1)
print("PyTorch", torch.nn.functional.scaled_dot_product_attention(query, key, key).item())
print("true   ", torch.nan)
