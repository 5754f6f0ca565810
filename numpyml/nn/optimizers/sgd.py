"""Stochastic gradient descent.

In the formulas of all optimizers θ is a parameter, g its gradient, η the learning rate and λ the weight decay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpyml.nn.optimizers.base import Optimizer, regularized
from numpyml.nn.optimizers.flat import Run
from numpyml.nn.optimizers.options import Finite, Flag, NonNegative
from numpyml.options import require
from numpyml.typing import Array


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

        g ← −g                             if maximize
        g ← g + λ θ
        b ← μ b + (1 − τ) g                with momentum μ; b = g at the first step
        g ← g + μ b   if nesterov, else b
        θ ← θ − η g

    Args:
        parameters, gradients: see :class:`Optimizer`.
        learning_rate: η, 0 or more.
        momentum: μ, 0 or more.
        dampening: τ.
        weight_decay: λ, 0 or more.
        nesterov: Nesterov's momentum; needs momentum and no dampening.
        maximize: ascend the gradient instead.

    State: momentum_buffer (b).
    Raises: see :class:`Optimizer`.
    Source: Sutskever et al. 2013, ICML. PyTorch: optim.SGD.
    """

    elementwise = True
    optional_state_arrays = ("momentum_buffer",)

    def __init__(
        self,
        parameters: Any,
        gradients: Sequence[Array] | None = None,
        learning_rate: NonNegative = 1e-3,
        momentum: NonNegative = 0,
        dampening: Finite = 0,
        weight_decay: NonNegative = 0,
        nesterov: Flag = False,
        *,
        maximize: Flag = False,
    ) -> None:
        super().__init__(parameters, gradients, locals())

    @classmethod
    def validate(cls, options: Mapping[str, Any]) -> None:
        super().validate(options)
        valid = not options["nesterov"] or (options["momentum"] > 0 and options["dampening"] == 0)
        require(valid, cls.__name__, "nesterov", True, "False where momentum is 0 or dampening is not")

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        return self.optional_state_arrays if options["momentum"] else ()

    def update(self, p: Array, g: Array, state: Mapping[str, Array], scratch: Array, run: Run) -> None:
        group, (s, change) = run.options, scratch
        g = regularized(p, g, s, change, group)
        if group["momentum"]:
            b = state["momentum_buffer"]
            if "momentum_buffer" in run.new_state:
                b[...] = g
            else:
                b *= group["momentum"]
                np.multiply(g, 1 - group["dampening"], out=change)
                b += change
            if group["nesterov"]:
                np.multiply(b, group["momentum"], out=change)
                change += g
                g = change
            else:
                g = b
        np.multiply(g, group["learning_rate"], out=change)
        p -= change
