"""Optimizers: how parameters follow their gradients, the simplest first.

In the formulas θ is a parameter, g its gradient, η the learning rate, λ the weight decay; all of them work on the
arrays in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from numpyml.nn.optimizers.base import Optimizer, Run
from numpyml.options import flag, number, require
from numpyml.typing import Array

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


class SGD(Optimizer):
    """Follow the gradient, with a memory of where it led before.

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
        nesterov: look ahead; needs momentum and no dampening.
        maximize: climb instead.

    State: momentum_buffer (b).
    Raises: see :class:`Optimizer`.
    Source: Sutskever et al. 2013, ICML. PyTorch: optim.SGD.
    """

    kept_on_demand = ("momentum_buffer",)

    def __init__(
        self,
        parameters: Any,
        gradients: Sequence[Array] | None = None,
        learning_rate: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            gradients,
            learning_rate=learning_rate,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    @classmethod
    def validate(cls, options: Mapping[str, Any]) -> None:
        for name in ("learning_rate", "momentum", "weight_decay"):
            number(cls.__name__, name, options[name])
        number(cls.__name__, "dampening", options["dampening"], -np.inf)
        for name in ("nesterov", "maximize"):
            flag(cls.__name__, name, options[name])
        look_ahead = not options["nesterov"] or (options["momentum"] > 0 and options["dampening"] == 0)
        require(look_ahead, cls.__name__, "nesterov", True, "False where momentum is 0 or dampening is not")

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return self.kept_on_demand if group["momentum"] else ()

    def update(self, p: Array, g: Array, state: Mapping[str, Array], scratch: Array, run: Run) -> None:
        group, (s, move) = run.options, scratch
        g = regularized(p, g, s, move, group)
        if group["momentum"]:
            b = state["momentum_buffer"]
            if run.fresh:
                b[...] = g
            else:
                b *= group["momentum"]
                np.multiply(g, 1 - group["dampening"], out=move)
                b += move
            if group["nesterov"]:
                np.multiply(b, group["momentum"], out=move)
                move += g
                g = move
            else:
                g = b
        np.multiply(g, group["learning_rate"], out=move)
        p -= move


class Adam(Optimizer):
    """Follow the mean of the gradients, each divided by its usual size.

        g ← −g                             if maximize
        g ← g + λ θ                        or θ ← θ − η λ θ, if decoupled_weight_decay
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        v̂ = v / (1 − β₂ᵗ)                  the largest v so far, if amsgrad
        θ ← θ − η m / (1 − β₁ᵗ) / (√v̂ + ε)

    Args:
        parameters, gradients: see :class:`Optimizer`.
        learning_rate: η, 0 or more.
        betas: β₁ and β₂, each 0 or more and less than 1.
        eps: ε, 0 or more.
        weight_decay: λ, 0 or more.
        amsgrad: never forget a large gradient.
        maximize: climb instead.
        decoupled_weight_decay: shrink the parameters themselves, as AdamW does.

    State: exp_avg (m), exp_avg_sq (v), max_exp_avg_sq.
    Raises: see :class:`Optimizer`.
    Source: Kingma, Ba 2014, arXiv:1412.6980; Reddi et al. 2018, arXiv:1904.09237 (amsgrad). PyTorch: optim.Adam.
    """

    always_kept = ("exp_avg", "exp_avg_sq")
    kept_on_demand = ("max_exp_avg_sq",)

    def __init__(
        self,
        parameters: Any,
        gradients: Sequence[Array] | None = None,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            gradients,
            learning_rate=learning_rate,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    @classmethod
    def validate(cls, options: Mapping[str, Any]) -> None:
        for name in ("learning_rate", "eps", "weight_decay"):
            number(cls.__name__, name, options[name])
        betas = options["betas"]
        require(isinstance(betas, (tuple, list)) and len(betas) == 2, cls.__name__, "betas", betas, "a pair of numbers")
        for beta in betas:
            number(cls.__name__, "betas", beta, 0, 1)
            require(beta < 1, cls.__name__, "betas", beta, "below 1")
        for name in ("amsgrad", "maximize", "decoupled_weight_decay"):
            flag(cls.__name__, name, options[name])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return (*self.always_kept, *(self.kept_on_demand if group["amsgrad"] else ()))

    def update(self, p: Array, g: Array, state: Mapping[str, Array], scratch: Array, run: Run) -> None:
        group, (s, move) = run.options, scratch
        (beta1, beta2), rate = group["betas"], group["learning_rate"]
        if group["decoupled_weight_decay"] and group["weight_decay"]:
            # In float64: rounded to float32, 1 − η λ has few digits of η λ left.
            wide = np.result_type(p, np.float64)
            np.multiply(p, 1 - rate * group["weight_decay"], out=p, dtype=wide, casting="same_kind")
        g = regularized(p, g, s, move, group)
        m, v = state["exp_avg"], state["exp_avg_sq"]
        np.subtract(g, m, out=move)
        if beta1 >= 0.5:  # from the nearer end: so the step that is rounded is the shorter one
            move *= 1 - beta1
            m += move
        else:
            move *= beta1
            np.subtract(g, move, out=m)
        v *= beta2
        np.multiply(g, 1 - beta2, out=move)
        move *= g
        v += move
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        # √v̂ + ε = (√v + ε c) / c with c = √(1 − β₂ᵗ): one pass less
        c = sqrt(1 - beta2**run.step)
        np.sqrt(v, out=s)
        s += group["eps"] * c
        np.multiply(m, rate * c / (1 - beta1**run.step), out=move)
        move /= s
        p -= move


class AdamW(Adam):
    """Adam that shrinks the parameters themselves, apart from the gradient's mean and size.

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
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters, gradients, learning_rate, betas, eps, weight_decay, amsgrad,
            maximize=maximize, decoupled_weight_decay=True,
        )  # fmt: skip


def regularized(p: Array, g: Array, s: Array, move: Array, group: Mapping[str, Any]) -> Array:
    """g, negated to maximize and with the weight decay added: in scratch s, where anything is to be done."""
    if group["maximize"]:
        g = np.negative(g, out=s)
    decay = 0 if group.get("decoupled_weight_decay") else group["weight_decay"]
    if decay:
        np.multiply(p, decay, out=move)
        g = np.add(g, move, out=s)
    return g
