"""Modules of PyTorch's functions, for components that PyTorch has no class for."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional


class ScaledDotProductAttention(nn.Module):
    """``nn.functional.scaled_dot_product_attention``, its options given once."""

    def __init__(
        self, dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False
    ) -> None:
        super().__init__()
        self.dropout_p, self.options = dropout_p, {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}

    def forward(self, query: Any, key: Any, value: Any, attn_mask: Any = None) -> Any:
        p = self.dropout_p if self.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, p, **self.options)
