"""Layers, one file per family."""

from numpyml.nn.layers.attention import ScaledDotProductAttention
from numpyml.nn.layers.dense import Dense
from numpyml.nn.layers.dropout import Dropout
from numpyml.nn.layers.embedding import Embedding
from numpyml.nn.layers.flatten import Flatten
from numpyml.nn.layers.multihead_attention import MultiheadAttention
from numpyml.nn.layers.normalization import LayerNorm, RMSNorm
from numpyml.nn.layers.position import (
    LearnedPositionalEncoding,
    RotaryPositionalEmbedding,
    SinusoidalPositionalEncoding,
)
from numpyml.nn.layers.transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)

__all__ = [
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "LayerNorm",
    "LearnedPositionalEncoding",
    "MultiheadAttention",
    "RMSNorm",
    "RotaryPositionalEmbedding",
    "ScaledDotProductAttention",
    "SinusoidalPositionalEncoding",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]
