"""Sigmoidal functions, and units gated by one: sigmoid, tanh, SiLU, GELU."""

from __future__ import annotations

import numpy as np

from numpyml.autograd.tape import is_recording
from numpyml.kernels import elementwise, erf
from numpyml.nn.module import Module, as_floats
from numpyml.options import choice
from numpyml.typing import Array

# √(8/π) and the coefficient of x³ in GELU's approximation, in the widest precision
ROOT = np.sqrt(2 / np.arctan(np.longdouble(1)))
CUBIC = ROOT * np.longdouble(44715) / 1_000_000


class Sigmoid(Module):
    """Logistic function, with values in (0, 1).

        y = σ(x) = 1 / (1 + e⁻ˣ)
        gx = gy y (1 − y)

    Shapes: y as x, any. The context is the derivative y (1 − y) = e / (1 + e)², e = e^−|x|: computed from y alone it
        would have few correct digits where y is near 1.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.Sigmoid.
    """

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        return elementwise.sigmoid(as_floats(x, None, self), is_recording())

    def pullback(self, derivative: Array, gy: Array) -> Array:
        return gy * derivative


class Tanh(Module):
    """Hyperbolic tangent, with values in (−1, 1).

        y = tanh(x)
        gx = gy (1 − y²)

    Shapes: y as x, any. The context is the derivative 1 − y² = 4e / (1 + e)², e = e^−2|x|: computed from y alone it
        would have few correct digits where y is near 1.
    Raises: DTypeError when x is not floating.
    PyTorch: nn.Tanh.
    """

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        return elementwise.tanh(as_floats(x, None, self), is_recording())

    def pullback(self, derivative: Array, gy: Array) -> Array:
        return gy * derivative


class SiLU(Module):
    """Sigmoid linear unit (SiLU, swish): x σ(x).

        y = x σ(x)
        gx = gy σ(x) (1 + x σ(−x))

    Shapes: y as x, any. The context is the derivative.
    Raises: DTypeError when x is not floating.
    Source: Elfwing, Uchibe, Doya 2018, arXiv:1702.03118. PyTorch: nn.SiLU.
    """

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        return elementwise.sigmoid_gate(as_floats(x, None, self), 1, 0, is_recording())

    def pullback(self, derivative: Array, gy: Array) -> Array:
        return gy * derivative


class GELU(Module):
    """Gaussian error linear unit: x Φ(x), where Φ is the standard normal distribution function.

        y = x Φ(x)
        gx = gy (Φ(x) + x φ(x)),   φ(x) = e^(−x²/2) / √(2π)                             approximate='none'

        y = x σ(u),   u = √(8/π) (x + 0.044715 x³)
        gx = gy σ(u) (1 + x σ(−u) u′),   u′ = √(8/π) (1 + 3·0.044715 x²)                approximate='tanh'

    Here ½ (1 + tanh(u/2)) is written σ(u), which does not cancel where x < 0.

    Args:
        approximate: 'none' or 'tanh'.

    Shapes: y as x, any. The context is the derivative.
    Raises: OptionError when approximate is another word; DTypeError when x is not floating.
    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415. PyTorch: nn.GELU.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = choice(self, "approximate", approximate, ("none", "tanh"))

    def compute(self, x: Array) -> tuple[Array, Array | None]:
        x = as_floats(x, None, self)
        if self.approximate == "none":
            return erf.gelu(x, is_recording())
        return elementwise.sigmoid_gate(x, ROOT, CUBIC, is_recording())

    def pullback(self, derivative: Array, gy: Array) -> Array:
        return gy * derivative
