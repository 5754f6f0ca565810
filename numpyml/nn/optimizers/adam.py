"""Adam and AdamW. The symbols are those of :mod:`numpyml.nn.optimizers.sgd`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from numpyml.nn.optimizers.base import Optimizer, regularized
from numpyml.nn.optimizers.flat import Run
from numpyml.nn.optimizers.options import Betas, Flag, NonNegative
from numpyml.typing import Array


class Adam(Optimizer):
    """Adaptive moment estimation: the mean of the gradients over the root of the mean of their squares.

        g ← −g                             if maximize
        g ← g + λ θ                        or θ ← θ − η λ θ, if decoupled_weight_decay
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        v̂ = v / (1 − β₂ᵗ)                  of the largest v so far, if amsgrad
        θ ← θ − η m / (1 − β₁ᵗ) / (√v̂ + ε)

    Args:
        parameters, gradients: see :class:`Optimizer`.
        learning_rate: η, 0 or more.
        betas: β₁ and β₂, each 0 or more and less than 1.
        eps: ε, 0 or more.
        weight_decay: λ, 0 or more.
        amsgrad: divide by the largest second moment so far.
        maximize: ascend the gradient instead.
        decoupled_weight_decay: shrink the parameters themselves, as AdamW does.

    State: exp_avg (m), exp_avg_sq (v), max_exp_avg_sq.
    Raises: see :class:`Optimizer`.
    Source: Kingma, Ba 2014, arXiv:1412.6980; Reddi et al. 2018, arXiv:1904.09237 (amsgrad). PyTorch: optim.Adam.
    """

    elementwise = True
    state_arrays = ("exp_avg", "exp_avg_sq")
    optional_state_arrays = ("max_exp_avg_sq",)

    def __init__(
        self,
        parameters: Any,
        gradients: Sequence[Array] | None = None,
        learning_rate: NonNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0,
        amsgrad: Flag = False,
        *,
        maximize: Flag = False,
        decoupled_weight_decay: Flag = False,
    ) -> None:
        super().__init__(parameters, gradients, locals())

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        return (*self.state_arrays, *(self.optional_state_arrays if options["amsgrad"] else ()))

    def update(self, p: Array, g: Array, state: Mapping[str, Array], scratch: Array, run: Run) -> None:
        group, (s, change) = run.options, scratch
        (beta1, beta2), rate = group["betas"], group["learning_rate"]
        if group["decoupled_weight_decay"] and group["weight_decay"]:
            # In float64: rounded to float32, 1 − η λ has few digits of η λ left.
            wide = np.result_type(p, np.float64)
            np.multiply(p, 1 - rate * group["weight_decay"], out=p, dtype=wide, casting="same_kind")
        g = regularized(p, g, s, change, group)
        m, v = state["exp_avg"], state["exp_avg_sq"]
        np.subtract(g, m, out=change)
        if beta1 >= 0.5:  # m + (1 − β₁)(g − m), or g − β₁ (g − m): the smaller factor has the smaller rounding
            change *= 1 - beta1
            m += change
        else:
            change *= beta1
            np.subtract(g, change, out=m)
        v *= beta2
        np.multiply(g, 1 - beta2, out=change)
        change *= g
        v += change
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        # √v̂ + ε = (√v + ε c) / c with c = √(1 − β₂ᵗ): one pass less
        c = sqrt(1 - beta2**run.step)
        np.sqrt(v, out=s)
        s += group["eps"] * c
        np.multiply(m, rate * c / (1 - beta1**run.step), out=change)
        change /= s
        p -= change


class AdamW(Adam):
    """Adam with decoupled weight decay.

        θ ← θ − η λ θ
        and then as Adam without weight decay

    Args:
        parameters, gradients: see :class:`Optimizer`.
        learning_rate, betas, eps, amsgrad, maximize: see :class:`Adam`.
        weight_decay: λ, 0 or more.

    State: exp_avg, exp_avg_sq, max_exp_avg_sq, as Adam's.
    Raises: see :class:`Optimizer`.
    Source: Loshchilov, Hutter 2019, arXiv:1711.05101. PyTorch: optim.AdamW.
    """

    def __init__(
        self,
        parameters: Any,
        gradients: Sequence[Array] | None = None,
        learning_rate: NonNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 1e-2,
        amsgrad: Flag = False,
        *,
        maximize: Flag = False,
    ) -> None:
        Optimizer.__init__(self, parameters, gradients, {**locals(), "decoupled_weight_decay": True})
