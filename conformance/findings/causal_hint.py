"""A causal mask with is_causal, and an added key of zeros: is_causal changes PyTorch's output.

Every query may attend to the added key; with is_causal, PyTorch hides all keys after the query's position.
"""

import torch

torch.manual_seed(0)
layer = torch.nn.MultiheadAttention(4, 1, add_zero_attn=True)
x, mask = torch.randn(3, 4), torch.triu(torch.ones(3, 3, dtype=torch.bool), 1)
options = {"attn_mask": mask, "need_weights": False}
print("PyTorch", layer(x, x, x, is_causal=True, **options)[0].square().sum().item())
print("true   ", layer(x, x, x, **options)[0].square().sum().item())
