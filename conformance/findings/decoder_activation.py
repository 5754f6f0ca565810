"""A copy of a decoder layer with SiLU, as TransformerDecoder makes it: PyTorch's copy uses relu.

``__setstate__`` looks for the activation among the attributes, but it is among the modules.
"""

import copy

import torch

torch.manual_seed(0)
layer = torch.nn.TransformerDecoderLayer(4, 1, 8, 0.0, torch.nn.SiLU())
x = torch.randn(1, 4)
print("PyTorch", copy.deepcopy(layer)(x, x)[0, 0].item())
print("true   ", layer(x, x)[0, 0].item())
