"""``layers.SinusoidalPositionalEncoding``, which PyTorch has no class for."""

import numpy as np
from torch import from_numpy, nn


class Waves(nn.Module):
    """Adds sines and cosines of the position to each vector."""

    def __init__(self, width, longest, dtype):
        super().__init__()
        angles = np.outer(np.arange(longest), 10000 ** (-np.arange(0, width, 2) / width))
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(longest, width)
        self.register_buffer("table", from_numpy(table).to(dtype), persistent=False)

    def forward(self, x):
        return x + self.table[: x.shape[1]]
