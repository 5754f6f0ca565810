"""Where numpyml and PyTorch differ on purpose, and where PyTorch is wrong: a line each with the reason.

Nothing else is excused anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from conformance.frameworks import under_test
from numpyml import names

# PyTorch's arguments that are not ours, anywhere or of one component.
ABSENT = {
    **names.ABSENT,
    "_weight": "private to PyTorch; from_pretrained takes a table",
    "_freeze": "private to PyTorch; from_pretrained takes it as freeze",
    "tensor": "initial values are written into an array",
    "kaiming_uniform_.mode": "fan_in is counted, as PyTorch does by default",
    "kaiming_uniform_.nonlinearity": "a leaky ReLU's gain, as PyTorch does by default",
}
# Arguments of ours that are not PyTorch's.
ADDED = {
    "dtype": "every check runs in both precisions instead of drawing this option",
    "generator": "PyTorch's layers have none; the checks of randomness use it",
    "parameters": "PyTorch's params",
    "array": "PyTorch's tensor",
    "gradients": "PyTorch finds them on its parameters",
}

# Components whose answer at infinite logits is the limit, where PyTorch says NaN. The checks then compare with PyTorch
# at logits so large that nothing but the limit is left.
LIMITS = {
    "BinaryCrossEntropyWithLogits": "x = ±inf has a limit; PyTorch computes inf - inf or 0 * inf",
    "GELU": "x = -inf has a limit, 0; PyTorch computes -inf * 0",
    "SiLU": "x = -inf has a limit, 0; PyTorch computes -inf / inf",
    "CrossEntropyWithLogits": "a logit of +inf, or -inf beside finite ones, has a limit; PyTorch computes inf - inf",
}

# Answers that are NaN though PyTorch's are numbers: (row, the beginning of the answers' name). Of one operand it is so
# where that is NaN, of several where the output is. The checks then ask for NaN there, and for PyTorch's answer
# everywhere else.
AT_NAN = {
    ("absolute", "gradient"): "|NaN| has no slope; PyTorch has 0",
    ("fabs", "gradient"): "|NaN| has no slope; PyTorch has 0",
    ("sign", "output"): "NumPy's sign of NaN is NaN, PyTorch's is 0",
    ("linalg.norm", "gradient"): "a norm is NaN as soon as one number is; of other orders than 2, PyTorch has 0 there",
    ("power", "gradient of a"): "(−2) to the 1e-30 is no number and has no slope; PyTorch rounds b − 1 to a whole −1",
}

# What takes masks, and hands them on to MultiheadAttention.
ATTENTIVE = (
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerDecoder",
    "Transformer",
)

# Values that a row is not given, since the answers differ there on purpose: (row, kind of values, precision).
NOT_GIVEN: dict[tuple[str, str, str], str] = {
    **{
        (row, "wide", "float32"): "Tensors give NumPy's own bits, and NumPy's squares overflow before they are added"
        for row in ("var", "std", "linalg.norm")
    },
}

# State that PyTorch keeps in buffers and numpyml in the constructor's arguments.
OPTIONS_NOT_STATE = {
    ("BinaryCrossEntropyWithLogits", "weight"): "a loss has no state; its weights are options",
    ("BinaryCrossEntropyWithLogits", "pos_weight"): "a loss has no state; its weights are options",
    ("CrossEntropyWithLogits", "weight"): "a loss has no state; its weights are options",
}


@dataclass(frozen=True)
class Stricter:
    """Calls that PyTorch accepts and numpyml refuses: component ('' for all), beginning and end of a spoiling."""

    component: str
    spoilt: str
    reason: str
    beside: str = ""


HINTED = ", beside the hint that a mask is causal"
_FLAG = "a flag is True or False; PyTorch takes whatever counts as true"
_RATE = "a rate lies from 0 to 1; PyTorch looks at it when it drops something, if ever"
_POSITIVE = "it is finite and not negative; PyTorch computes NaN, or something else than was meant"
_WHOLE = "a number of places is whole; PyTorch's arange takes a fraction"
_INITIAL = "no initial value would be a finite number"
_DAMPING = "it is a finite number, also while there is no momentum; PyTorch looks at it where there is"
_IDLE = "it is above 0, also while there is no max_norm; PyTorch looks at it where there is, and not at construction"
_REFUSED: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {  # component -> option -> values, reason
    "SGD": {
        **dict.fromkeys(("learning_rate", "momentum", "weight_decay"), (("NaN", "infinity"), _POSITIVE)),
        "dampening": (("NaN", "infinity", "None", "a list", "a word"), _DAMPING),
    },
    **{
        row: dict.fromkeys(("learning_rate", "eps", "weight_decay"), (("infinity",), _POSITIVE))
        for row in ("Adam", "AdamW")
    },
    "normal_": {"mean": (("NaN", "infinity"), _INITIAL), "std": (("infinity",), _INITIAL)},
    "kaiming_uniform_": {
        "a": (
            ("None", "infinity"),
            "a slope is a finite number; PyTorch takes None for 0.01, and infinity for zeros",
        )
    },
    "MultiheadAttention": {"dropout": (("-1", "a fraction", "NaN", "infinity"), _RATE)},
    "ScaledDotProductAttention": {
        "dropout_p": (("-1", "a fraction", "NaN", "infinity"), _RATE),
        "scale": (("NaN", "infinity"), "every score would be NaN"),
    },
    "Softmax": {"dim": (("None",), "PyTorch picks an axis, and warns that it will not stay")},
    "LogSoftmax": {"dim": (("None",), "PyTorch picks an axis, and warns that it will not stay")},
    "Huber": {"delta": (("infinity",), "no loss would be finite")},
    "CrossEntropyWithLogits": {"label_smoothing": (("-1", "NaN"), "a share of the probability lies from 0 to 1")},
    "Embedding": {
        "max_norm": (("-1", "NaN", "infinity"), _POSITIVE),
        "norm_type": (("-1", "NaN", "None", "a list", "a word"), _IDLE),
    },
    "SinusoidalPositionalEncoding": {"max_len": (("a fraction",), _WHOLE)},
    "RotaryPositionalEmbedding": {
        "max_len": (("a fraction",), _WHOLE),
        "base": (("-1", "NaN", "None", "a list", "infinity"), "no angle would be a number, or the one that was meant"),
    },
    **{row: {"eps": (("-1", "NaN", "infinity"), _POSITIVE)} for row in ("LayerNorm", "RMSNorm")},
    **{
        row: {"layer_norm_eps": (("-1", "NaN", "infinity"), _POSITIVE)}
        for row in ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")
    },
}

STRICTER = [
    *(
        Stricter(row, "option of a group", "a group is held to what PyTorch asks of the whole optimizer")
        for row in ("SGD", "Adam", "AdamW")
    ),
    *(
        Stricter("", f"option {flag}: ", _FLAG)
        for flag in (
            "add_bias_kv",
            "add_zero_attn",
            "amsgrad",
            "batch_first",
            "bias",
            "decoupled_weight_decay",
            "elementwise_affine",
            "interleaved",
            "maximize",
            "nesterov",
            "norm_first",
        )
    ),
    *(
        Stricter(row, f"option {option}: {value}", why)
        for row, options in _REFUSED.items()
        for option, (values, why) in options.items()
        for value in values
    ),
    *(
        Stricter("linalg.norm", spoilt, "norms made of singular values have no derivative here")
        for spoilt in ("option ord", "option axis", "operand with an axis")
    ),
    Stricter("einsum", "option subscripts", "subscripts are a string; NumPy takes what it happens to be able to read"),
    Stricter("floor_divide", "incoming gradient", "PyTorch has no backward for it, and so looks at no gradient"),
    Stricter("", "input as integers", "features are real floats; PyTorch lets some layers compute on integers"),
    Stricter("", "input as booleans", "features are real floats; PyTorch lets some layers compute on booleans"),
    Stricter("", "input as complex", "features are real floats; PyTorch lets some layers compute on complex numbers"),
    *(
        Stricter(row, f"input {way}", "told that a mask is causal, PyTorch may never look at it", HINTED)
        for row in ATTENTIVE
        for way in ("longer on the first axis", "with an axis less")
    ),
    Stricter("ScaledDotProductAttention", "input with an axis more", "a mask has no more axes than the scores"),
    Stricter("ScaledDotProductAttention", "input longer", "of an empty batch, PyTorch looks at no other axis"),
    *(
        Stricter(row, f"{role} {way}", "outputs and targets that would be broadcast against each other are a trap")
        for row in ("MeanSquaredError", "Huber")
        for role in ("input", "target")
        for way in ("with an axis more", "with an axis less", "longer on the first axis", "longer on the last axis")
    ),
    *(
        Stricter(row, f"target {way}", "targets are probabilities, from 0 to 1")
        for row in ("BinaryCrossEntropyWithLogits", "CrossEntropyWithLogits")
        for way in ("above 1", "below 0")
    ),
    Stricter(
        "BinaryCrossEntropyWithLogits", "target as complex", "targets are real; PyTorch's loss is a complex number then"
    ),
    Stricter(
        "CrossEntropyWithLogits", "input with an axis less", "one forecast has one class index, not a list of one"
    ),
    Stricter(
        "CrossEntropyWithLogits", "target with an axis more", "one forecast has one class index, not a list of one"
    ),
]

# Calls that PyTorch refuses and numpyml accepts: (component, beginning of the spoiling) -> reason.
LAXER = {
    ("ScaledDotProductAttention", "input with an axis"): "of an empty batch, PyTorch's output lacks the other's axes",
    (
        "ScaledDotProductAttention",
        "input longer on the first axis",
    ): "an empty batch is broadcast here, and stays empty",
    ("kaiming_uniform_", "array of 1 axes"): "an array (fan_out,) has a fan_in of 1; PyTorch asks for two axes",
    ("", "option weight"): "weights may be anything that np.asarray takes, not tensors alone",
    ("", "option pos_weight"): "weights may be anything that np.asarray takes, not tensors alone",
    ("", "input in another precision"): "data of another floating dtype is cast to the parameters'",
    ("", "target in another precision"): "targets are cast to the outputs' dtype",
    ("", "target as integers"): "whole numbers are numbers: they are cast to the outputs' dtype",
    ("", "target as booleans"): "whole numbers are numbers: they are cast to the outputs' dtype",
}


@dataclass(frozen=True)
class Finding:
    """What PyTorch gets wrong: answers of a component, by the beginning of their name; and the script to see it.

    ``precision`` is the one that it was met in; '' where it is met in both.
    """

    component: str
    answers: str
    script: str  # in conformance/findings
    reason: str
    precision: str = ""


SATURATED = "a slope is taken from a value that is all but 1, so that few of its digits are left"
LONG = "thousands of numbers are added one by one in float32"
SQUARES = "squares overflow, and infinity divides"
CUBE = "it divides by the cube of the size, which overflows"
RUNNING = "a running mean is rounded with every number that it takes in"
COPIED = "a TransformerDecoderLayer whose activation is a module uses relu once it was copied"
FINDINGS = [
    Finding("Sigmoid", "gradient", "sigmoid_slope.py", SATURATED),
    *(Finding(row, "gradient of weight", "long_sum.py", LONG, "float32") for row in ("Dense", "Embedding")),
    *(Finding("LogSoftmax", answers, "long_sum.py", LONG, "float32") for answers in ("output", "gradient")),
    Finding("LogSoftmax", "output", "log_softmax_value.py", "what is small is added to 1, here as well", "float64"),
    Finding("Softmax", "output", "long_sum.py", LONG, "float32"),
    Finding("LayerNorm", "gradient of bias", "long_sum.py", LONG, "float32"),  # no square is in it
    Finding("LayerNorm", "", "layer_norm_value.py", SQUARES, "float32"),
    Finding("LayerNorm", "output", "layer_norm_mean.py", RUNNING, "float64"),
    Finding("RMSNorm", "gradient of x", "rms_norm_slope.py", CUBE, "float32"),
    *(Finding("RMSNorm", answers, "rms_norm_value.py", SQUARES, "float32") for answers in (
        "output", "gradient of weight",
    )),
    Finding("Sequential", "gradient", "sigmoid_slope.py", f"the sigmoids inside: {SATURATED}"),
    Finding("ModuleList", "gradient", "sigmoid_slope.py", f"the sigmoids inside: {SATURATED}"),
    Finding("ModuleDict", "gradient", "sigmoid_slope.py", f"the sigmoids inside: {SATURATED}"),
    *(Finding(row, "output", "sigmoid_value.py", "an exponential overflows, and 1 / ∞ is 0") for row in (
        "Sigmoid", "Sequential", "ModuleList", "ModuleDict",
    )),
    Finding("tanh", "gradient", "tanh_slope.py", SATURATED),
    Finding("Tanh", "gradient", "tanh_slope.py", SATURATED),
    Finding("GELU", "", "gelu_tail.py", "1 + erf(x/√2) has few digits left where erf is all but -1"),
    Finding("SiLU", "gradient", "silu_slope.py", "1 − σ is rounded before it is multiplied by x"),
    *(Finding(f, "gradient", "softmax_slope.py", "where one weight is all but 1, what is left of it cancels") for f in (
        "Softmax", "ScaledDotProductAttention", "MultiheadAttention",
    )),
    *(Finding(f, "gradient", "gelu_tail.py", "the GELU inside: few digits are left where erf is all but -1") for f in (
        "TransformerEncoderLayer", "TransformerDecoderLayer", "TransformerEncoder", "TransformerDecoder", "Transformer",
    )),
    Finding("ScaledDotProductAttention", "output", "causal_scale.py", "a key is hidden by −∞ times a negative scale"),
    Finding("ScaledDotProductAttention", "nothing drawn", "nan_query.py", "a NaN counts as a query that sees no key"),
    Finding("MultiheadAttention", "nothing drawn", "causal_hint.py", "is_causal hides the keys that add_... adds"),
    Finding("TransformerDecoder", "nothing drawn", "decoder_activation.py", COPIED),
    Finding("Transformer", "nothing drawn", "decoder_activation.py", COPIED),
    *(Finding(f, "gradient", "sinh_slope.py", "the slope overflows, not so times g") for f in ("sinh", "cosh")),
    Finding("expm1", "gradient", "expm1_slope.py", "1 is added to a result that is all but -1"),
    *(Finding(f, "gradient", "arcsin_slope.py", "1 - x² rounds off what tells x from 1", "float32") for f in (
        "arcsin", "arccos", "arctanh", "arccosh",
    )),
    *(Finding(f, "gradient", "arcsinh_slope.py", "x² overflows", "float32") for f in ("arcsinh", "arccosh")),
    *(Finding(f, "gradient", "logaddexp_slope.py", "an exponential overflows, and small slopes vanish") for f in (
        "logaddexp", "logaddexp2",
    )),
    Finding("hypot", "gradient", "hypot_slope.py", "the result it divides by is subnormal and has few digits"),
    Finding("arctan2", "gradient", "arctan2_slope.py", "it divides by a² + b², which overflows or has few digits left"),
    Finding("fmod", "gradient of b", "fmod_slope.py", "a / b is rounded before it is cut off"),
    Finding("power", "gradient of a", "power_slope.py", "b - 1 is rounded, from odd to even: the sign is lost"),
    Finding("power", "gradient of b", "exponent_slope.py", "the power is subnormal, has few digits, and is multiplied"),
    *(Finding(f, "output", "fmod_value.py", "a / b overflows on the way, and what is left is NaN") for f in (
        "fmod", "remainder",
    )),
    Finding("remainder", "gradient of b", "remainder_slope.py", "how often b fits into a overflows, not so times g"),
    Finding("reciprocal", "gradient", "reciprocal_slope.py", "1/x² overflows, not so times g"),
    Finding("prod", "gradient", "prod_slope.py", "the whole product, which is divided by x, is 0, ∞ or NaN"),
    Finding("einsum", "nothing drawn", "einsum_value.py", "a product of two of three overflows, here, too", "float32"),
    Finding("std", "output", "std_value.py", RUNNING),
    Finding("std", "gradient", "std_slope.py", "the mean is rounded before it is taken from x"),
    Finding("cbrt", "", "cube_root.py", "PyTorch has no cube root; the power 1/3 is what it offers"),
    Finding("BinaryCrossEntropyWithLogits", "output", "bce_value.py", "a small loss is taken from a large logit"),
    Finding("BinaryCrossEntropyWithLogits", "gradient of outputs", "sigmoid_slope.py", SATURATED),
    Finding("BinaryCrossEntropyWithLogits", "gradient of targets", "bce_targets.py", "two logarithms are subtracted"),
    Finding("CrossEntropyWithLogits", "output", "cross_entropy_value.py", "what is small is added to 1"),
    Finding("CrossEntropyWithLogits", "gradient of targets", "cross_entropy_value.py", "what is small is added to 1"),
    Finding("CrossEntropyWithLogits", "gradient of outputs", "cross_entropy_slope.py", SATURATED),
]  # fmt: skip

# What is different without any one call that shows it.
REMARKS = [
    "functions of NumPy: NumPy decides which calls are refused; PyTorch takes more in one place, less in another.",
    (
        "power: -inf to a single exponent of 1/2 is not compared: NumPy, whose bits Tensors have, takes the root, "
        "which is NaN; the power is inf."
    ),
    (
        "cumsum: of 64 numbers at most. NumPy, whose bits Tensors have, adds them up one by one in float32, PyTorch in "
        "float64. The gradient here is added up in float64, too."
    ),
    (
        "prod: numbers whose product leaves the range in one order and not in another are not compared: which it is "
        "depends on how NumPy and PyTorch add up their loops."
    ),
    (
        "std and linalg.norm: numbers whose squares underflow are compared beside ordinary ones: alone, NumPy's own "
        "value is 0."
    ),
    (
        "remainder and fmod: numbers of extreme sizes are not compared beside infinite ones: of how often b fits into "
        "a, an infinite sum in float64 may be inf - inf in float32."
    ),
    (
        "dot, inner, tensordot and einsum: an array whose only number is 0 is not compared beside ∞ or NaN: NumPy's "
        "dot leaves such a factor out, and says 0 where 0 times ∞ is NaN. matmul and Dense say NaN."
    ),
    (
        "einsum: of three operands, numbers of 1e±30 and infinite ones are not compared: each framework multiplies "
        "them in an order of its own, and a product of two may leave the range in one of them alone."
    ),
    (
        "linalg.norm: of an order p whose 1/p is rounded, such as 3, numbers of 1e±30 are not compared: NumPy's sum to "
        "the 1/p, of which Tensors have the bits, loses a digit there."
    ),
    (
        "Attention: NaN stands among the values alone, beside no mask. What PyTorch makes of a query or key of NaN "
        "depends on the kernel that runs (conformance/findings/nan_query.py), as does whether a NaN passes a mask; "
        "here it does."
    ),
    "linalg.norm: of orders ±inf, the gradient beside NaN is NaN here, 0 in PyTorch.",
    "linalg.norm: of orders above 2, the gradient at a zero beside NaN is 0 here, NaN in PyTorch.",
    "CrossEntropyWithLogits: NaN among the logits of an ignored target counts for nothing; PyTorch's gradient is NaN.",
    (
        "CrossEntropyWithLogits: where smoothing may leave an even target (label_smoothing=1, or a class of weight 0), "
        "logits of 1e±30 are not compared: all but 0, they give a forecast that is all but even, and what is left of "
        "the slope cancels, here as in PyTorch."
    ),
    "GELU(approximate='tanh'): at ±inf the limit, 0 or x; PyTorch computes NaN, as its gradient does wherever x³ ends.",
    "Softmax and LogSoftmax: dim has to be given; PyTorch's None picks axis 0 or 1, and warns that it will not stay.",
    "Sequential without a layer is refused.",
    (
        "LayerNorm and RMSNorm are compared over 32 elements and more, and numbers of 1e±30 beside others of their "
        "size: where one is nearly all there is, the gradient, which takes out the part along it, cancels, here as in "
        "PyTorch."
    ),
    (
        "MultiheadAttention: a query that may see no key gets the weights 0, so its output is the projection's bias. "
        "PyTorch gives that where it need not return the weights, and NaN where it must; the first is compared."
    ),
    "A parameter's grad is an array of zeros before the first backward, never None.",
    "Optimizers move every parameter that is not frozen, also one whose gradient is zero: there is no grad of None.",
    "The second backward of one forward is an error in the explicit driver, too.",
    "backward() of a loss returns the gradient of the outputs alone; the dynamic driver gives the targets', too.",
]


def _record() -> Any:
    """Where the differences of the framework under test stand: numpyml's here, another's in its adapter."""
    framework = under_test()
    return sys.modules[__name__] if framework.NAME == "numpyml" else framework


def stricter(component: str, spoilt: str) -> str:
    """The reason why the framework refuses what PyTorch accepts; empty where none is on record."""
    found = (
        d.reason
        for d in getattr(_record(), "STRICTER", [])
        if d.component in ("", component) and spoilt.startswith(d.spoilt) and spoilt.endswith(d.beside)
    )
    return next(found, "")


def laxer(component: str, spoilt: str) -> str:
    """The reason why the framework accepts what PyTorch refuses; empty where none is on record."""
    record = getattr(_record(), "LAXER", {})
    return next(
        (why for (name, start), why in record.items() if name in ("", component) and spoilt.startswith(start)), ""
    )


def limits(component: str) -> str:
    """The reason why infinite logits give the limit and not PyTorch's NaN; empty where none is on record."""
    return str(getattr(_record(), "LIMITS", {}).get(component, ""))


def is_given(row: str, kinds: Iterable[str], precision: str) -> bool:
    """Whether a row is given all of these kinds together in this precision."""
    return not any((row, kind, precision) in NOT_GIVEN for kind in kinds)


def at_nan(row: str, answer: str, record: Any = None) -> bool:
    """Whether this answer may be NaN where PyTorch's is a number; on the record of the framework, or this."""
    kept = getattr(_record(), "AT_NAN", {}) if record is None else record
    return any(row == name and answer.startswith(start) for name, start in kept)


def option_not_state(component: str, name: str) -> str:
    """The reason why an entry of PyTorch's state dict is an option here; empty where it is state."""
    return str(getattr(_record(), "OPTIONS_NOT_STATE", {}).get((component, name), ""))


def finding(component: str, answer: str, precision: str) -> str:
    """Why PyTorch is wrong there; empty where that is not on record."""
    found = (
        f
        for f in FINDINGS
        if f.component == component and answer.startswith(f.answers) and f.precision in ("", precision)
    )
    return next((f"{f.reason} (conformance/findings/{f.script})" for f in found), "")


WRONG = "What PyTorch gets wrong"


def wrong() -> dict[str, list[str]]:
    """What PyTorch gets wrong, in words."""
    lines = []
    for f in FINDINGS:
        answers = (f.answers or "all") + f" in {f.precision}" * bool(f.precision)
        lines.append(f"{f.component}, {answers}: {f.reason} (conformance/findings/{f.script})")
    return {WRONG: lines}


def told() -> dict[str, list[str]]:
    """All divergences in words, for a reader."""
    lines: dict[str, Callable[[Any], list[str]]] = {
        "ABSENT": lambda kept: [f"{name}: {why}" for name, why in kept.items()],
        "ADDED": lambda kept: [f"{name}: {why}" for name, why in kept.items()],
        "LIMITS": lambda kept: [f"{row}: {why}" for row, why in kept.items()],
        "AT_NAN": lambda kept: [f"{row}, {answers}: {why}" for (row, answers), why in kept.items()],
        "NOT_GIVEN": lambda kept: [f"{', '.join(key)}: {why}" for key, why in kept.items()],
        "OPTIONS_NOT_STATE": lambda kept: [f"{row}, {name}: {why}" for (row, name), why in kept.items()],
        "STRICTER": _refused_in_words,
        "LAXER": lambda kept: [f"{row or 'all'}, {what}: {why}" for (row, what), why in kept.items()],
        "REMARKS": list,
    }
    record = _record()
    return {TITLES[name]: in_words(getattr(record, name)) for name, in_words in lines.items() if hasattr(record, name)}


def _refused_in_words(kept: Iterable[Stricter]) -> list[str]:
    """A line for what one reason refuses."""
    found: dict[tuple[str, str], list[str]] = {}
    for d in kept:
        found.setdefault((d.component or "all", d.reason), []).append(d.spoilt.rstrip(": "))
    return [f"{component}, {'; '.join(spoilt)}: {reason}" for (component, reason), spoilt in found.items()]


TITLES = {
    "ABSENT": "PyTorch's arguments that are not here",
    "ADDED": "Arguments that PyTorch lacks",
    "LIMITS": "Limits where PyTorch says NaN",
    "AT_NAN": "NaN, where PyTorch has a number",
    "NOT_GIVEN": "Values that are not compared",
    "OPTIONS_NOT_STATE": "State that is an option here",
    "STRICTER": "Refused, though PyTorch accepts it",
    "LAXER": "Accepted, though PyTorch refuses it",
    "REMARKS": "Everywhere",
}
