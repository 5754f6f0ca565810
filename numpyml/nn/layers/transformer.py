"""The Transformer, of its parts: a block is a few residual lines."""

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
from numpyml.options import flag, integer, require
from numpyml.typing import Array

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

NAMED: dict[str, Module] = {"relu": ReLU(), "gelu": GELU()}
Activation = str | Callable[[Any], Any]


class _Layer(Module):
    """What the two kinds of layer share: self-attention, and two dense layers applied to every place alike."""

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def _parts(
        self, d_model: int, nhead: int, dim_feedforward: int, dropout: float, activation: Activation, batch_first: bool,
        norm_first: bool, bias: bool, crossing: bool, options: dict[str, Any], eps: float,
    ) -> None:  # fmt: skip
        """All submodules, in PyTorch's order."""
        self.d_model, self.nhead, self.dim_feedforward = d_model, nhead, dim_feedforward
        self.layer_norm_eps = eps
        self.batch_first, self.norm_first = batch_first, flag(self, "norm_first", norm_first)
        self.dtype, self.generator = options["dtype"], options["generator"]
        known = callable(activation) or (isinstance(activation, str) and activation in NAMED)
        require(known, self, "activation", activation, "'relu', 'gelu' or a function of one array")
        integer(self, "dim_feedforward", dim_feedforward, 0)
        for name in ("self_attn", "multihead_attn")[: 1 + crossing]:
            attention = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **options)
            setattr(self, name, attention)
        self.linear1 = Dense(d_model, dim_feedforward, bias, **options)
        self.dropout = Dropout(dropout, generator=self.generator)
        self.linear2 = Dense(dim_feedforward, d_model, bias, **options)
        for i in range(2 + crossing):
            setattr(self, f"norm{i + 1}", LayerNorm(d_model, eps, bias=bias, dtype=self.dtype))
        for i in range(2 + crossing):
            setattr(self, f"dropout{i + 1}", Dropout(dropout, generator=self.generator))
        self.activation = activation

    def argument(self, name: str) -> Any:
        """As any module's; ``dropout`` and ``bias`` are told by the parts that were made of them."""
        if name == "dropout":
            return self.dropout.p
        return self.linear1.bias is not None if name == "bias" else super().argument(name)

    def feed_forward(self, x: Any) -> Any:
        """Two dense layers with the activation between them."""
        act = NAMED[self.activation] if isinstance(self.activation, str) else self.activation
        return self.linear2(self.dropout(act(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then a feed-forward network, each beside a residual connection.

        x ← x + attention(norm(x)),  x ← x + W₂ act(W₁ norm(x))      norm_first
        x ← norm(x + attention(x)),  x ← norm(x + W₂ act(W₁ x))      otherwise

    Args:
        d_model: features; nhead: heads, a divisor of it; dim_feedforward: of the hidden layer.
        dropout: of the attention's weights, of the hidden layer and of both branches.
        activation: 'relu', 'gelu', or a function or module.
        layer_norm_eps, batch_first, bias: see :class:`LayerNorm`, :class:`MultiheadAttention`, :class:`Dense`.
        norm_first: normalise before each branch instead of after it.
        dtype: of the parameters; generator: of initial values and masks.

    ``forward(src, src_mask=None, src_key_padding_mask=None, is_causal=False)``, masks as MultiheadAttention's.

    Shapes: src and output (L, N, d_model), N first if batch_first, or without N.
    Raises: as the parts do, and OptionError for an unknown activation.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerEncoderLayer.
    """

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
        self._parts(
            d_model, nhead, dim_feedforward, dropout, activation, batch_first, norm_first, bias, False,
            {"dtype": dtype, "generator": generator}, layer_norm_eps,
        )  # fmt: skip

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        def attention(x: Any) -> Any:
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
            return self.dropout1(y)

        x = src
        if self.norm_first:
            x = x + attention(self.norm1(x))
            return x + self.dropout2(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + attention(x))
        return self.norm2(x + self.dropout2(self.feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output, a feed-forward network, each beside a residual connection.

        x ← x + attention(norm(x)),  x ← x + attention(norm(x), memory),  x ← x + W₂ act(W₁ norm(x))      norm_first

    Otherwise norm stands after each sum. Arguments as :class:`TransformerEncoderLayer`'s.

    ``forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
    tgt_is_causal=False, memory_is_causal=False)``, masks as MultiheadAttention's.

    Shapes: tgt and output (L, N, d_model), memory (S, N, d_model); N first if batch_first, or without N.
    Raises: as the parts do, and OptionError for an unknown activation.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerDecoderLayer.
    """

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
        self._parts(
            d_model, nhead, dim_feedforward, dropout, activation, batch_first, norm_first, bias, True,
            {"dtype": dtype, "generator": generator}, layer_norm_eps,
        )  # fmt: skip

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

        def crossing(x: Any) -> Any:
            masks = memory_key_padding_mask, False, memory_mask
            y, _ = self.multihead_attn(x, memory, memory, *masks, is_causal=memory_is_causal)
            return self.dropout2(y)

        x = tgt
        if self.norm_first:
            x = x + attention(self.norm1(x))
            x = x + crossing(self.norm2(x))
            return x + self.dropout3(self.feed_forward(self.norm3(x)))
        x = self.norm1(x + attention(x))
        x = self.norm2(x + crossing(x))
        return self.norm3(x + self.dropout3(self.feed_forward(x)))


class _Stack(Module):
    """Copies of one layer, one after the other, and a last norm."""

    def _stack(self, layer: Any, num_layers: int, norm: Any) -> None:
        require(isinstance(layer, Module), self, "the layer", layer, "a module")
        require(norm is None or isinstance(norm, Module), self, "norm", norm, "a module or None")
        integer(self, "num_layers", num_layers, 1)
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def argument(self, name: str) -> Any:
        """As any module's; the layer that was copied is like the first copy."""
        return self.layers[0] if name in ("encoder_layer", "decoder_layer") else super().argument(name)


class TransformerEncoder(_Stack):
    """A stack of copies of one encoder layer.

        x ← layerᵢ(x) for all i,  y = norm(x)

    Args:
        encoder_layer: the layer; it is copied, and not used itself.
        num_layers: how many copies, at least one.
        norm: a module for the end, or None.

    ``forward(src, mask=None, src_key_padding_mask=None, is_causal=None)``, masks as MultiheadAttention's.

    Shapes: as the layer's. Raises: OptionError for what is no module; else as the layers do.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerEncoder.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self._stack(encoder_layer, num_layers, norm)

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        x = src
        is_causal = is_causal is not None and flag(self, "is_causal", is_causal)
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(_Stack):
    """A stack of copies of one decoder layer.

        x ← layerᵢ(x, memory) for all i,  y = norm(x)

    Args:
        decoder_layer: the layer; it is copied, and not used itself.
        num_layers: how many copies, at least one.
        norm: a module for the end, or None.

    ``forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
    tgt_is_causal=None, memory_is_causal=False)``, masks as MultiheadAttention's.

    Shapes: as the layer's. Raises: OptionError for what is no module; else as the layers do.
    Source: Vaswani et al. 2017, arXiv:1706.03762. PyTorch: nn.TransformerDecoder.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self._stack(decoder_layer, num_layers, norm)

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
        masks = {
            "tgt_mask": tgt_mask,
            "memory_mask": memory_mask,
            "tgt_key_padding_mask": tgt_key_padding_mask,
            "memory_key_padding_mask": memory_key_padding_mask,
            "tgt_is_causal": tgt_is_causal is not None and flag(self, "tgt_is_causal", tgt_is_causal),
            "memory_is_causal": memory_is_causal,
        }
        x = tgt
        for layer in self.layers:
            x = layer(x, memory, **masks)
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """The whole: an encoder reads the source, a decoder writes the target and looks at what the encoder made of it.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: see
            :class:`TransformerEncoderLayer`.
        num_encoder_layers, num_decoder_layers: how many of each.
        custom_encoder, custom_decoder: modules in place of these stacks.
        dtype: of the parameters; generator: of initial values and masks.

    ``forward(src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None,
    tgt_key_padding_mask=None, memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None,
    memory_is_causal=False)``, masks as MultiheadAttention's. Nothing is causal of itself: pass
    ``tgt_mask=Transformer.generate_square_subsequent_mask(L)``.

    Shapes: src (S, N, d_model), tgt and output (L, N, d_model); N first if batch_first, or without N.
    Raises: as the parts do, ShapeError when src and tgt are of two batches, or of other features than d_model, and
    OptionError for a custom part that is no module.
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
        for name, custom in (("custom_encoder", custom_encoder), ("custom_decoder", custom_decoder)):
            require(custom is None or isinstance(custom, Module), self, name, custom, "a module or None")
        self.num_encoder_layers, self.num_decoder_layers = num_encoder_layers, num_decoder_layers
        self.custom_encoder, self.custom_decoder = custom_encoder is not None, custom_decoder is not None
        self.d_model, self.nhead, self.dim_feedforward, self.dropout = d_model, nhead, dim_feedforward, dropout
        self.activation = activation if isinstance(activation, str) else (activation,)  # no child of this module
        self.layer_norm_eps, self.norm_first, self.bias = layer_norm_eps, norm_first, bias
        self.batch_first = batch_first
        self.dtype, self.generator = dtype, generator
        options: dict[str, Any] = {"dtype": dtype, "generator": generator}
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

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

    def argument(self, name: str) -> Any:
        """As any module's; what may be a module was not kept under its name."""
        if name in ("custom_encoder", "custom_decoder"):
            return getattr(self, name.removeprefix("custom_")) if getattr(self, name) else None
        if name == "activation" and isinstance(self.activation, tuple):
            return self.activation[0]
        return super().argument(name)

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
        self._require_alike(src.shape, tgt.shape)
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

    def _require_alike(self, src: tuple[int, ...], tgt: tuple[int, ...]) -> None:
        """What custom parts might not look at."""
        if src[-1:] != (self.d_model,) or tgt[-1:] != (self.d_model,):
            raise ShapeError(
                f"expected src and tgt of d_model = {self.d_model} features, got {src} and {tgt}; "
                "embed them to that width",
                self,
            )
        batch = 0 if self.batch_first else 1
        if len(src) == len(tgt) == 3 and src[batch] != tgt[batch]:
            raise ShapeError(
                f"expected src and tgt of one batch, axis {batch}, got {src} and {tgt}; give each target its source, "
                f"or choose batch_first={not self.batch_first}",
                self,
            )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: DTypeLike = np.float32) -> Array:
        """The causal mask: −∞ above the diagonal, 0 elsewhere. (sz, sz).

        Raises: OptionError when sz is no whole number of 0 or more; DTypeError when dtype is no floating type.
        """
        integer("generate_square_subsequent_mask", "sz", sz, 0)
        return causal_bias(sz, sz, parameter_dtype(dtype))
