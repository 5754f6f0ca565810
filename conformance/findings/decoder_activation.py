"""A decoder layer with SiLU, copied, as TransformerDecoder copies it: PyTorch's copy uses relu instead.

``__setstate__`` looks for the activation among the attributes, and not among the modules, where it is.
"""

import copy

import torch

torch.manual_seed(0)
layer = torch.nn.TransformerDecoderLayer(4, 1, 8, 0.0, torch.nn.SiLU())
x = torch.randn(1, 4)
print("PyTorch", copy.deepcopy(layer)(x, x)[0, 0].item())
print("true   ", layer(x, x)[0, 0].item())
