"""Attention and Transformer layers, one row each, with masks of every kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.records import CAUSAL_HINT, NOT_FINITE, Accepted, Finding, OtherDefault, Refused, Remark, option
from conformance.references.attention import attention
from conformance.rows import CompositeRow, ModuleRow, Part
from conformance.strategies.arrays import LAYOUTS, floats, longer, seeds, single
from conformance.strategies.coverage import Draw, Strategy, among, between, pick
from numpyml.nn import layers
from numpyml.typing import Array

flags = among(False, True)
# No kinds whose equal numbers move together: since Σ gS = 0, the query's gradient would be an exact 0 that does not
# move, and no rounded result equals it. NaN is drawn in values only, without a mask: see the remark of the first row.
KINDS = ("ordinary", "ordinary", "sparse", "subnormal")
SCORED = (*KINDS, "saturated")
VALUES = ("wide", "nan")  # additional kinds of the values
lengths = longer(among(3, 1, 2, 5), 10)
# With 200, PyTorch's sums in float64 are too inaccurate to confirm a component that has no formula.
many_keys, several_keys = (longer(among(3, 1, 2, 5), n) for n in (200, 20))
batches = among(2, 1, 3, 0, None)  # None: no batch axis
MODEL = 32  # features: with fewer, LayerNorm's gradient cancels, see the remark of its row


# Masks


@st.composite
def masks(
    draw: Draw, name: str, shape: tuple[int, ...], seen: bool = False, nothing: bool = True, causal: bool = False
) -> Input | None:
    """None, booleans or floats. ``seen``: a True shows a key; without ``nothing``, every query sees the first key."""
    kinds = ("none", "boolean", "additive", *["causal"] * causal)
    kind = pick(draw, name, among(*kinds))
    if kind == "none":
        return None
    rng, layout = np.random.default_rng(draw(seeds)), draw(st.sampled_from(LAYOUTS))
    if kind == "causal":
        hidden = np.broadcast_to(np.triu(np.ones(shape[-2:], bool), 1), shape)
        return Input(np.where(hidden, -np.inf, 0.0) if draw(st.booleans()) else hidden ^ seen, layout, kind)
    hidden = rng.random(shape) < pick(draw, f"{name}, hidden", among(0.4, 0.0, *[1.0] * nothing))
    hidden[..., :1] &= nothing
    values: Array = (
        np.where(hidden, -np.inf, single(rng.standard_normal(shape))) if kind == "additive" else hidden ^ seen
    )
    return Input(values, layout, kind)


def hold_nan(inputs: Iterable[Input]) -> bool:
    """Whether any input has a NaN; no mask is drawn then."""
    return any(np.isnan(x.values).any() for x in inputs)


def present(**further: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in further.items() if value is not None}


def sequence(batch: int | None, length: int, features: int, batch_first: bool) -> tuple[int, ...]:
    """The shape of an attention layer's input."""
    if batch is None:
        return (length, features)
    return (batch, length, features) if batch_first else (length, batch, features)


def sizes(shape: tuple[int, ...], batch_first: bool) -> tuple[int | None, int]:
    """Batch size and length of an input of this shape; the batch size is None without a batch axis."""
    if len(shape) == 2:
        return None, shape[0]
    return (shape[0], shape[1]) if batch_first else (shape[1], shape[0])


def per_key(batch: int | None, length: int) -> tuple[int, ...]:
    """The shape of a key padding mask."""
    return (length,) if batch is None else (batch, length)


# Scaled dot-product attention


@st.composite
def dot_products(draw: Draw, options: dict[str, Any]) -> tuple[Input, ...]:
    """Query, key, value, and sometimes an additive mask, which has a gradient."""
    L, S = draw(lengths), pick(draw, "keys", many_keys)
    E, Ev = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    heads, shared = draw(st.integers(1, 2)), draw(st.integers(1, 2)) if options["enable_gqa"] else 1
    batch = pick(draw, "batch", among((), (2,), (0,), (2, 1)))
    lead = (*batch, heads * shared) if options["enable_gqa"] or draw(st.booleans()) else batch
    keys = (*batch, heads) if options["enable_gqa"] else lead
    shapes = [(*lead, L, E), (*keys, S, E), (*keys, S, Ev)]
    values = [kind for kind in (*SCORED, *VALUES) if kind != "nan" or not options["is_causal"]]
    arrays = [draw(floats(shape, kinds)) for shape, kinds in zip(shapes, (SCORED, SCORED, values), strict=True)]
    if not options["is_causal"] and pick(draw, "attn_mask", among("no floats", "floats")) == "floats":
        shape = draw(st.sampled_from([(L, S), (1, S), (*lead, L, S), (*(1 for _ in lead), L, S)]))
        arrays.append(draw(floats(shape, SCORED)))
    return tuple(arrays)


@st.composite
def boolean_mask(draw: Draw, options: dict[str, Any], inputs: tuple[Input, ...]) -> dict[str, Any]:
    """A mask, unless one is among the inputs or implied by is_causal."""
    if options["is_causal"] or len(inputs) == 4 or hold_nan(inputs):
        return {}
    query, key = (x.values.shape for x in inputs[:2])
    return present(attn_mask=draw(masks("attn_mask", (*query[:-1], key[-2]), seen=True, causal=True)))


# Multi-head attention


@st.composite
def query_key_value(draw: Draw, o: dict[str, Any]) -> tuple[Input, ...]:
    """Query, key and value of multi-head attention."""
    L, S, batch = draw(lengths), pick(draw, "keys", several_keys), pick(draw, "batch", batches)
    E = o["embed_dim"]
    features = ((L, E, KINDS), (S, o["kdim"] or E, KINDS), (S, o["vdim"] or E, (*KINDS, *VALUES)))
    return tuple(draw(floats(sequence(batch, n, width, o["batch_first"]), kinds)) for n, width, kinds in features)


@st.composite
def attention_call(draw: Draw, o: dict[str, Any], inputs: tuple[Input, ...]) -> dict[str, Any]:
    """The keyword arguments of multi-head attention."""
    (batch, L), (_, S) = (sizes(x.values.shape, o["batch_first"]) for x in inputs[:2])
    needed = pick(draw, "need_weights", flags)
    of_all_heads = ((batch if batch is not None else 1) * o["num_heads"], L, S)
    shape = (L, S) if pick(draw, "a mask for each head", flags) is False else of_all_heads
    mask = padding = None
    if batch != 0 and not hold_nan(inputs):  # PyTorch cannot reshape the masks of an empty batch
        mask = draw(masks("attn_mask", shape, nothing=not needed, causal=True))
        padding = draw(masks("key_padding_mask", per_key(batch, S), nothing=not needed))
    # With added keys, is_causal makes PyTorch hide them, though the mask does not: findings/causal_hint.py.
    hint = mask is not None and mask.kind == "causal" and not (o["add_bias_kv"] or o["add_zero_attn"])
    is_causal = hint and pick(draw, "is_causal", flags)
    return present(
        need_weights=needed,
        average_attn_weights=pick(draw, "average_attn_weights", flags),
        attn_mask=mask,
        key_padding_mask=padding,
        is_causal=is_causal,
    )


# Transformer layers and stacks

LAYER: dict[str, Strategy[Any]] = {
    "d_model": among(MODEL, 36),
    "nhead": among(1, 2, 4),
    "dim_feedforward": among(8, 5),
    "dropout": among(0.0, 0.25, 0.1),
    "activation": among("relu", "gelu", Part("nn.SiLU")),
    "layer_norm_eps": among(1e-5, 1e-3),
    "batch_first": flags,
    "norm_first": flags,
    "bias": flags,
}


def part(layer: str, **options: Any) -> Part:
    return Part(f"nn.{layer}", {"d_model": MODEL, "nhead": 2, "dim_feedforward": 8, **options})


def layer_parts(layer: str) -> Strategy[Part]:
    """The layer that a stack copies: with default options, and with others."""
    chosen = {"activation": "gelu", "batch_first": True, "norm_first": True, "dropout": 0.25}
    return among(part(layer, dropout=0.0), part(layer, **chosen))


def stack(kind: str, layer: str) -> Part:
    return Part(f"nn.{kind}", {f"{kind[11:].lower()}_layer": part(layer, dropout=0.0), "num_layers": 1})


norms = among(None, Part("nn.LayerNorm", {"normalized_shape": MODEL}))


@st.composite
def sequences(draw: Draw, n: int, batch_first: bool, features: int, same_length: bool = False) -> tuple[Input, ...]:
    """``n`` inputs of sequences of vectors, of the same batch size."""
    batch, first = pick(draw, "batch", batches), draw(lengths)
    every = [first, *(first if same_length else draw(lengths) for _ in range(n - 1))]
    return tuple(draw(floats(sequence(batch, length, features, batch_first), KINDS)) for length in every)


@st.composite
def attention_masks(draw: Draw, batch: int | None, L: int, S: int, names: tuple[str, str, str]) -> dict[str, Any]:
    """The masks of one attention, under the layer's names of them."""
    mask_name, padding_name, causal_name = names
    if batch == 0:  # PyTorch cannot reshape the masks of an empty batch
        return {}
    mask = draw(masks(mask_name, (L, S), causal=True))
    padding = draw(masks(padding_name, per_key(batch, S)))
    is_causal = True if mask is not None and mask.kind == "causal" and pick(draw, causal_name, flags) else None
    return present(**{mask_name: mask, padding_name: padding, causal_name: is_causal})


ENCODER_MASKS = ("src_mask", "src_key_padding_mask", "is_causal")
STACK_MASKS = ("mask", "src_key_padding_mask", "is_causal")
TARGET_MASKS = ("tgt_mask", "tgt_key_padding_mask", "tgt_is_causal")
MEMORY_MASKS = ("memory_mask", "memory_key_padding_mask", "memory_is_causal")


def encoder_call(names: tuple[str, str, str], o: dict[str, Any], xs: tuple[Input, ...]) -> Strategy[dict[str, Any]]:
    batch, L = sizes(xs[0].values.shape, batch_first(o))
    return attention_masks(batch, L, L, names)


@st.composite
def decoder_call(draw: Draw, o: dict[str, Any], xs: tuple[Input, ...]) -> dict[str, Any]:
    (batch, L), (_, S) = (sizes(x.values.shape, batch_first(o)) for x in xs)
    return draw(attention_masks(batch, L, L, TARGET_MASKS)) | draw(attention_masks(batch, L, S, MEMORY_MASKS))


@st.composite
def transformer_call(draw: Draw, o: dict[str, Any], xs: tuple[Input, ...]) -> dict[str, Any]:
    if swaps_batch_and_length(o):
        return {}
    (batch, S), _ = (sizes(x.values.shape, o["batch_first"]) for x in xs)
    source = draw(attention_masks(batch, S, S, ("src_mask", "src_key_padding_mask", "src_is_causal")))
    return source | draw(decoder_call(o, xs[::-1]))


def swaps_batch_and_length(o: dict[str, Any]) -> bool:
    """Whether a custom part, which takes the length first, is given the batch first."""
    return o["batch_first"] and (o["custom_encoder"] is not None or o["custom_decoder"] is not None)


def batch_first(o: dict[str, Any]) -> bool:
    """Whether inputs have the batch first; of a stack, its layer decides."""
    layer = o.get("encoder_layer", o.get("decoder_layer"))
    return bool(o["batch_first"] if layer is None else layer.options.get("batch_first", False))


IGNORED_MASK = Refused(
    ("input longer on the first axis", "input with an axis less"),
    "PyTorch may ignore the shape of a mask that is declared causal",
    CAUSAL_HINT,
)


def rate(name: str) -> Refused:
    """A rate of dropout that is out of range."""
    return Refused(
        option(name, "-1", "a fraction", "NaN", "infinity"),
        "a rate lies from 0 to 1; PyTorch validates it when something is dropped, if at all",
    )


CANCELS = Finding("gradient", "softmax_gradient.py", "where one probability is nearly 1, its difference from 1 cancels")
INNER_GELU = Finding("gradient", "gelu_tail.py", "the GELU inside: few digits are left where erf is nearly -1")
COPIED = Finding(
    "nothing drawn",
    "decoder_activation.py",
    "a copied TransformerDecoderLayer whose activation is a module uses relu instead",
)
EPS = Refused(option("layer_norm_eps", "-1", "NaN", "infinity"), NOT_FINITE)

ROWS = [
    ModuleRow(
        layers.ScaledDotProductAttention,
        "counterparts.ScaledDotProductAttention",
        {"dropout_p": among(0.0, 0.3), "is_causal": flags, "scale": among(None, 0.3, -1.5), "enable_gqa": flags},
        dot_products,
        attention,
        call=boolean_mask,
        drops=True,
        function="torch.nn.functional.scaled_dot_product_attention",
        differences=(
            rate("dropout_p"),
            Refused(option("scale", "NaN", "infinity"), "every score would be NaN"),
            Refused(("input with an axis more",), "a mask has no more axes than the scores"),
            Refused(("input longer",), "of an empty batch, PyTorch validates no other axis"),
            Accepted(("input with an axis",), "of an empty batch, PyTorch's output lacks the other input's axes"),
            Accepted(("input longer on the first axis",), "an empty batch is broadcast and stays empty"),
            Remark(
                "NaN is compared in the values only, and without a mask. PyTorch's result for NaN in a query or key "
                "depends on its kernel (conformance/findings/nan_query.py), as does whether a mask hides NaN; in "
                "numpyml it does not."
            ),
        ),
        findings=(
            CANCELS,
            Finding("output", "causal_scale.py", "a hidden key gets −∞ times a negative scale"),
            Finding("nothing drawn", "nan_query.py", "a query of NaN is treated as one that may attend to no key"),
        ),
    ),
    CompositeRow(
        layers.MultiheadAttention,
        "nn.MultiheadAttention",
        {
            "embed_dim": among(4, 8),
            "num_heads": among(1, 2, 4),
            "dropout": among(0.0, 0.0, 0.3),
            "bias": flags,
            "add_bias_kv": flags,
            "add_zero_attn": flags,
            "kdim": among(None, None, 4, 3),
            "vdim": among(None, None, 4, 5),
            "batch_first": flags,
        },
        query_key_value,
        call=attention_call,
        drops=True,
        differences=(
            IGNORED_MASK,
            rate("dropout"),
            Remark(
                "a query that may attend to no key has weights of 0, so its output is the projection's bias. PyTorch "
                "computes the same without need_weights, and NaN with it; the first is compared."
            ),
        ),
        findings=(
            CANCELS,
            Finding(
                "nothing drawn", "causal_hint.py", "is_causal hides the keys that add_bias_kv and add_zero_attn add"
            ),
        ),
    ),
    CompositeRow(
        layers.TransformerEncoderLayer,
        "nn.TransformerEncoderLayer",
        LAYER,
        lambda o: sequences(1, o["batch_first"], o["d_model"]),
        call=lambda o, xs: encoder_call(ENCODER_MASKS, o, xs),
        drops=True,
        differences=(IGNORED_MASK, EPS),
        findings=(INNER_GELU,),
    ),
    CompositeRow(
        layers.TransformerDecoderLayer,
        "nn.TransformerDecoderLayer",
        LAYER,
        lambda o: sequences(2, o["batch_first"], o["d_model"]),
        call=decoder_call,
        drops=True,
        differences=(IGNORED_MASK, EPS),
        findings=(INNER_GELU,),
    ),
    CompositeRow(
        layers.TransformerEncoder,
        "nn.TransformerEncoder",
        {"encoder_layer": layer_parts("TransformerEncoderLayer"), "num_layers": between(1, 2), "norm": norms},
        lambda o: sequences(1, batch_first(o), MODEL),
        call=lambda o, xs: encoder_call(STACK_MASKS, o, xs),
        drops=True,
        differences=(IGNORED_MASK,),
        findings=(INNER_GELU,),
    ),
    CompositeRow(
        layers.TransformerDecoder,
        "nn.TransformerDecoder",
        {"decoder_layer": layer_parts("TransformerDecoderLayer"), "num_layers": between(1, 2), "norm": norms},
        lambda o: sequences(2, batch_first(o), MODEL),
        call=decoder_call,
        drops=True,
        differences=(IGNORED_MASK,),
        findings=(INNER_GELU, COPIED),
    ),
    CompositeRow(
        layers.Transformer,
        "nn.Transformer",
        {
            **LAYER,
            "d_model": among(MODEL),
            "nhead": among(1, 2, 4, 8),
            "activation": among("relu", "gelu"),  # PyTorch loses a module: findings/decoder_activation.py
            "num_encoder_layers": between(1, 2),
            "num_decoder_layers": between(1, 2),
            "custom_encoder": among(None, None, stack("TransformerEncoder", "TransformerEncoderLayer")),
            "custom_decoder": among(None, None, stack("TransformerDecoder", "TransformerDecoderLayer")),
        },
        lambda o: sequences(2, o["batch_first"], MODEL, swaps_batch_and_length(o)),
        call=transformer_call,
        drops=True,
        constructed_only=("d_model", "num_encoder_layers", "num_decoder_layers"),
        differences=(
            IGNORED_MASK,
            EPS,
            OtherDefault(
                "generate_square_subsequent_mask(dtype=<class 'numpy.float32'>)", "PyTorch's default precision, by name"
            ),
        ),
        findings=(INNER_GELU, COPIED),
    ),
]
