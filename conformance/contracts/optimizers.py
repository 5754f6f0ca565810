"""Optimizers, one row each."""

from __future__ import annotations

from conformance.records import NOT_FINITE, Refused, option
from conformance.rows import OptimizerRow
from conformance.strategies.coverage import among
from numpyml.nn import optimizers

rates = among(1e-3, 0.1, 1.0, 0.0)
decays = among(0, 1e-2, 0.3)
betas = among((0.9, 0.999), (0.5, 0.9), (0.0, 0.99), (0.9, 0.0))
epsilons = among(1e-8, 1e-3, 0.0)
GROUP = Refused(("option of a group",), "an option of a group is validated as one of the whole optimizer is")
FINITE = Refused(option("learning_rate eps weight_decay", "infinity"), NOT_FINITE)

ADAM = {
    "learning_rate": rates,
    "betas": betas,
    "eps": epsilons,
    "weight_decay": decays,
    "amsgrad": among(False, True),
    "maximize": among(False, True),
}

ROWS = [
    OptimizerRow(
        optimizers.SGD,
        "optim.SGD",
        {
            "learning_rate": rates,
            "momentum": among(0, 0.9, 0.5),
            "dampening": among(0, 0, 0.3),
            "weight_decay": decays,
            "nesterov": among(False, True),
            "maximize": among(False, True),
        },
        differences=(
            GROUP,
            Refused(option("learning_rate momentum weight_decay", "NaN", "infinity"), NOT_FINITE),
            Refused(
                option("dampening", "NaN", "infinity", "None", "a list", "a word"),
                "it must be finite, also without momentum; PyTorch uses it only with momentum",
            ),
        ),
        invalid_pairs=((("momentum", 0), ("nesterov", True)), (("dampening", 0.3), ("nesterov", True))),
    ),
    OptimizerRow(
        optimizers.Adam,
        "optim.Adam",
        {**ADAM, "decoupled_weight_decay": among(False, True)},
        differences=(GROUP, FINITE),
        initial_only=(("amsgrad", True),),
    ),
    OptimizerRow(optimizers.AdamW, "optim.AdamW", ADAM, differences=(GROUP, FINITE), initial_only=(("amsgrad", True),)),
]
