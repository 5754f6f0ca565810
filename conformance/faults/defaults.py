"""Faults in defaults: what is left out of a call has another value than PyTorch's, though the signature says so."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import Any

from conformance.faults.fault import Fault
from numpyml.nn import activations, layers, losses, optimizers, schedulers


def left_out(**values: Any) -> Any:
    """Where a call leaves out these arguments, it gets these values."""

    def wrong(right: Any) -> Any:
        known = inspect.signature(right)

        @wraps(right)
        def call(*arguments: Any, **options: Any) -> Any:
            passed = known.bind(*arguments, **options).arguments
            return right(*arguments, **options, **{name: x for name, x in values.items() if name not in passed})

        return call

    return wrong


def signed(**values: Any) -> Any:
    """The signature has these defaults, which a driver passes on."""

    def wrong(right: Any) -> Any:
        known = inspect.signature(right)

        @wraps(right)
        def call(*arguments: Any, **options: Any) -> Any:
            return right(*arguments, **options)

        changed = [p.replace(default=values.get(p.name, p.default)) for p in known.parameters.values()]
        vars(call)["__signature__"] = known.replace(parameters=changed)
        return call

    return wrong


def default(owner: Any, **values: Any) -> Fault:
    """A constructor with another default."""
    (name, value), *_ = values.items()
    title = f"{owner.__name__} with {name}={value!r} by default"
    base = next(base for base in owner.__mro__ if "__init__" in vars(base))
    return Fault(title, owner.__name__, "nothing_given", base, "__init__", left_out(**values))


FAULTS = [
    default(optimizers.AdamW, weight_decay=0),
    default(optimizers.Adam, betas=(0.9, 0.99)),
    default(optimizers.Adam, amsgrad=True),
    default(optimizers.SGD, learning_rate=1e-2),
    default(optimizers.SGD, momentum=0.9),
    default(layers.Dropout, p=0.4),
    default(layers.LayerNorm, eps=1e-4),
    default(layers.RMSNorm, eps=1e-4),
    default(layers.RotaryPositionalEmbedding, base=500.0),
    default(layers.MultiheadAttention, batch_first=True),
    default(layers.Embedding, padding_idx=0),
    default(layers.Flatten, start_dim=0),
    default(layers.TransformerEncoderLayer, norm_first=True),
    default(layers.TransformerDecoderLayer, layer_norm_eps=1e-3),
    default(layers.Transformer, num_encoder_layers=5),
    default(losses.Huber, delta=1.5),
    default(losses.MeanSquaredError, reduction="sum"),
    default(losses.BinaryCrossEntropyWithLogits, reduction="none"),
    default(losses.CrossEntropyWithLogits, label_smoothing=0.1),
    default(activations.GELU, approximate="tanh"),
    default(schedulers.StepLR, gamma=0.5),
    default(schedulers.ReduceLROnPlateau, patience=5),
    default(schedulers.CosineAnnealingLR, eta_min=1e-3),
    Fault(
        "CrossEntropyWithLogits with ignore_index=-1 by default",
        "CrossEntropyWithLogits",
        "output",
        losses.CrossEntropyWithLogits,
        "__init__",
        left_out(ignore_index=-1),
    ),
    Fault(
        "attention without weights by default",
        "MultiheadAttention",
        "output",
        layers.MultiheadAttention,
        "compute",
        signed(need_weights=False),
    ),
]
