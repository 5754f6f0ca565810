"""Transformer layers and stacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyml.errors import ShapeError
from numpyml.kernels.attention import causal_bias
from numpyml.nn import init
from numpyml.nn.activations import GELU, ReLU
from numpyml.nn.layers.dense import Dense
from numpyml.nn.layers.dropout import Dropout
from numpyml.nn.layers.multihead_attention import MultiheadAttention
from numpyml.nn.layers.normalization import LayerNorm
from numpyml.nn.model import ModuleList
from numpyml.nn.module import Module
from numpyml.nn.parameter import parameter_dtype
from numpyml.options import flag, generator_or_none, integer, require
from numpyml.typing import Array

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

ACTIVATIONS: dict[str, Module] = {"relu": ReLU(), "gelu": GELU()}
Activation = str | Callable[[Any], Any]


class _TransformerLayer(Module):
    """What encoder and decoder layers share: the constructor and the feed-forward network.

    Submodules are in PyTorch's order, which is that of the state dict.
    """

    has_memory: bool
    """Whether there is a second attention, to the output of an encoder."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.d_model, self.nhead = d_model, nhead
        self.dim_feedforward = integer(self, "dim_feedforward", dim_feedforward, 0)
        self.layer_norm_eps, self.batch_first, self.bias = layer_norm_eps, batch_first, bias
        self.norm_first = flag(self, "norm_first", norm_first)
        self.dtype, self.generator = dtype, generator_or_none(self, "generator", generator)
        known = callable(activation) or (isinstance(activation, str) and activation in ACTIVATIONS)
        expected = "'relu', 'gelu', or a module or function of one array such as activations.SiLU()"
        require(known, self, "activation", activation, expected)

        def attention() -> MultiheadAttention:
            return MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype, generator=generator
            )

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        def drop() -> Dropout:
            return Dropout(dropout, generator=generator)

        self.self_attn = attention()
        if self.has_memory:
            self.multihead_attn = attention()
        self.linear1 = Dense(d_model, dim_feedforward, bias, dtype=dtype, generator=generator)
        self.dropout = drop()
        self.linear2 = Dense(dim_feedforward, d_model, bias, dtype=dtype, generator=generator)
        self.norm1, self.norm2 = norm(), norm()
        if self.has_memory:
            self.norm3 = norm()
        self.dropout1, self.dropout2 = drop(), drop()
        if self.has_memory:
            self.dropout3 = drop()
        self.activation = activation

    def argument(self, name: str) -> Any:
        """As for any module; the attribute ``dropout`` is a submodule, as in PyTorch."""
        return self.dropout.p if name == "dropout" else super().argument(name)

    def feed_forward(self, x: Any) -> Any:
        """W₂ dropout(act(W₁ x + b₁)) + b₂."""
        act = ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation
        return self.linear2(self.dropout(act(self.linear1(x))))

    def residual(self, x: Any, branch: Callable[[Any], Any], norm: LayerNorm) -> Any:
        """x + branch(norm(x)) where the norm comes first, else norm(x + branch(x))."""
        return x + branch(norm(x)) if self.norm_first else norm(x + branch(x))


class TransformerEncoderLayer(_TransformerLayer):
    """Self-attention and a feed-forward network, each with a residual connection.

        x ← x + attention(norm(x)),  x ← x + W₂ act(W₁ norm(x))      norm_first
        x ← norm(x + attention(x)),  x ← norm(x + W₂ act(W₁ x))      otherwise

    Args:
        d_model: features; nhead: heads, a divisor of it; dim_feedforward: features of the hidden layer.
        dropout: of the attention weights, of the hidden layer and of both branches.
        activation: 'relu', 'gelu', or a function or module.
        layer_norm_eps, batch_first, bias: see :class:`LayerNorm`, :class:`MultiheadAttention`, :class:`Dense`.
        norm_first: normalize before each branch instead of after the sum.
        dtype: of the parameters; generator: of initial values and dropout masks.

    ``forward(src, src_mask=None, src_key_padding_mask=None, is_causal=False)``, masks as for MultiheadAttention.

    Shapes: src and output (L, N, d_model), N first if batch_first, or without N.
    Raises: as the submodules do, and OptionError for an unknown activation.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerEncoderLayer.
    """

    has_memory = False

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        def attention(x: Any) -> Any:
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
            return self.dropout1(y)

        x = self.residual(src, attention, self.norm1)
        return self.residual(x, lambda x: self.dropout2(self.feed_forward(x)), self.norm2)


class TransformerDecoderLayer(_TransformerLayer):
    """Self-attention, attention to the encoder's output and a feed-forward network, each with a residual connection.

        x ← x + attention(norm(x)),  x ← x + attention(norm(x), memory),  x ← x + W₂ act(W₁ norm(x))      norm_first

    Otherwise each sum is normalized instead. Arguments as for :class:`TransformerEncoderLayer`.

    ``forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
    tgt_is_causal=False, memory_is_causal=False)``, masks as for MultiheadAttention.

    Shapes: tgt and output (L, N, d_model), memory (S, N, d_model); N first if batch_first, or without N.
    Raises: as the submodules do, and OptionError for an unknown activation.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerDecoderLayer.
    """

    has_memory = True

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        def attention(x: Any) -> Any:
            y, _ = self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)
            return self.dropout1(y)

        def memory_attention(x: Any) -> Any:
            masks = memory_key_padding_mask, False, memory_mask
            y, _ = self.multihead_attn(x, memory, memory, *masks, is_causal=memory_is_causal)
            return self.dropout2(y)

        x = self.residual(tgt, attention, self.norm1)
        x = self.residual(x, memory_attention, self.norm2)
        return self.residual(x, lambda x: self.dropout3(self.feed_forward(x)), self.norm3)


class _Stack(Module):
    """Copies of one layer, each applied to the output of the one before, and a module applied to the last output."""

    def __init__(self, name: str, layer: Module, num_layers: int, norm: Module | None) -> None:
        example = f"a module such as {type(self).__name__}Layer(8, 2)"
        require(isinstance(layer, Module), self, name, layer, example)
        integer(self, "num_layers", num_layers, 1)
        require(norm is None or isinstance(norm, Module), self, "norm", norm, "a module or None")
        generators = [getattr(inner, "generator", None) for inner in layer.modules()]
        shared = {id(g): g for g in generators if g is not None}  # of a copy, each layer would draw the same masks
        self.layers = ModuleList([copy.deepcopy(layer, dict(shared)) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def run_layers(self, x: Any, *memory: Any, **masks: Any) -> Any:
        for layer in self.layers:
            x = layer(x, *memory, **masks)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """A stack of copies of one encoder layer.

        x ← layerᵢ(x) for all i,  y = norm(x)

    Args:
        encoder_layer: the layer to copy; it is not used itself. The attribute is the first copy.
        num_layers: number of copies, 1 or more.
        norm: a module applied to the output, or None.

    ``forward(src, mask=None, src_key_padding_mask=None, is_causal=None)``, masks as for MultiheadAttention.

    Shapes: as the layer's. Raises: OptionError for an argument that is not a module; otherwise as the layers do.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerEncoder.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__("encoder_layer", encoder_layer, num_layers, norm)

    @property
    def encoder_layer(self) -> Module:
        """The first of the layers, all of which are copies of the constructor's argument."""
        return self.layers[0]

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        is_causal = is_causal is not None and flag(self, "is_causal", is_causal)
        return self.run_layers(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)


class TransformerDecoder(_Stack):
    """A stack of copies of one decoder layer.

        x ← layerᵢ(x, memory) for all i,  y = norm(x)

    Args:
        decoder_layer: the layer to copy; it is not used itself. The attribute is the first copy.
        num_layers: number of copies, 1 or more.
        norm: a module applied to the output, or None.

    ``forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
    tgt_is_causal=None, memory_is_causal=False)``, masks as for MultiheadAttention.

    Shapes: as the layer's. Raises: OptionError for an argument that is not a module; otherwise as the layers do.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerDecoder.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__("decoder_layer", decoder_layer, num_layers, norm)

    @property
    def decoder_layer(self) -> Module:
        """The first of the layers, all of which are copies of the constructor's argument."""
        return self.layers[0]

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        return self.run_layers(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal is not None and flag(self, "tgt_is_causal", tgt_is_causal),
            memory_is_causal=memory_is_causal,
        )


class Transformer(Module):
    """An encoder of the source and a decoder of the target, which attends to the encoder's output.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: see
            :class:`TransformerEncoderLayer`.
        num_encoder_layers, num_decoder_layers: number of layers in the two stacks.
        custom_encoder, custom_decoder: modules to use instead of these stacks.
        dtype: of the parameters; generator: of initial values and dropout masks.

    ``forward(src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None,
    tgt_key_padding_mask=None, memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None,
    memory_is_causal=False)``, masks as for MultiheadAttention. Nothing is causal by default: pass
    ``tgt_mask=Transformer.generate_square_subsequent_mask(L)``.

    Shapes: src (S, N, d_model), tgt and output (L, N, d_model); N first if batch_first, or without N.
    Raises: as the submodules do, ShapeError when src and tgt differ in batch size or have not d_model features, and
        OptionError for a custom part that is not a module.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.Transformer.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.d_model, self.nhead = d_model, nhead
        self.num_encoder_layers, self.num_decoder_layers = num_encoder_layers, num_decoder_layers
        self.dim_feedforward, self.dropout, self.layer_norm_eps = dim_feedforward, dropout, layer_norm_eps
        self.batch_first, self.norm_first, self.bias = batch_first, norm_first, bias
        self.dtype, self.generator = dtype, generator_or_none(self, "generator", generator)
        # In a tuple, modules are not submodules: encoder and decoder are, or contain copies.
        self._modules = activation, custom_encoder, custom_decoder
        for name, module in (("custom_encoder", custom_encoder), ("custom_decoder", custom_decoder)):
            require(module is None or isinstance(module, Module), self, name, module, "a module or None")
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        options: dict[str, Any] = {"dtype": dtype, "generator": generator}

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*layer, **options), num_encoder_layers, norm())
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*layer, **options), num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter, generator=generator)

    @property
    def activation(self) -> Activation:
        """The constructor's argument; the layers have copies of it."""
        return self._modules[0]

    @property
    def custom_encoder(self) -> Module | None:
        """The constructor's argument, which is the encoder unless it is None."""
        return self._modules[1]

    @property
    def custom_decoder(self) -> Module | None:
        """The constructor's argument, which is the decoder unless it is None."""
        return self._modules[2]

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        self._check_shapes(src.shape, tgt.shape)
        memory = self.encoder(src, src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    def _check_shapes(self, src: tuple[int, ...], tgt: tuple[int, ...]) -> None:
        """Custom parts might not check these."""
        if src[-1:] != (self.d_model,) or tgt[-1:] != (self.d_model,):
            raise ShapeError(
                f"expected src and tgt with d_model={self.d_model} features, got {src} and {tgt}; "
                "embed them to that width",
                self,
            )
        batch = 0 if self.batch_first else 1
        if len(src) == len(tgt) == 3 and src[batch] != tgt[batch]:
            raise ShapeError(
                f"expected src and tgt with the same batch size on axis {batch}, got {src} and {tgt}; "
                f"pair each source with one target, or set batch_first={not self.batch_first}",
                self,
            )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: DTypeLike = np.float32) -> Array:
        """The causal mask: −∞ above the diagonal, 0 elsewhere. (sz, sz).

        Raises: OptionError when sz is not an integer of 0 or more; DTypeError when dtype is not a floating type.
        """
        integer("generate_square_subsequent_mask", "sz", sz, 0)
        return causal_bias(sz, sz, parameter_dtype(dtype))
