"""The wider reference: what every component computes, written a second time, in NumPy's extended precision.

Nothing here comes from numpyml, nor is any of it PyTorch's code: values and derivatives are written down from their
definitions, in a form that is stable everywhere, also where a float64 has run out of digits. An element is right to a
few units in the last place of a 64-bit significand; a sum, to as many of the sum of its terms' magnitudes. So these
answers are a thousand times finer than float64, and arbitrate when two frameworks disagree.

Where mathematics leaves a choice (which of two equal numbers is the maximum, the slope of |x| at 0), where it has no
answer, and where arithmetic meets ∞ or NaN, the choice is PyTorch's.

    function("tanh")(operands, options, gys)                        -> outputs, gradients by operand
    module("nn.Linear")(options, inputs, parameters, gy, mask)      -> output and gradients by name
    how("tanh")                                                     -> what that reference is, in a line

Arrays come in and go out as np.longdouble; integer ones stay what they are.
"""

from __future__ import annotations

from conformance.references.functions import FUNCTIONS
from conformance.references.kinds import FunctionReference
from conformance.references.modules import MODULES, ModuleReference

__all__ = ["FunctionReference", "ModuleReference", "function", "how", "module"]


def function(name: str) -> FunctionReference | None:
    """The reference of a NumPy function, by its row's name; None where there is none."""
    return FUNCTIONS.get(name)


def module(torch_name: str) -> ModuleReference | None:
    """The reference of a module, by PyTorch's name for it ("nn.Linear"); None where there is none."""
    return MODULES.get(torch_name)


def how(name: str) -> str:
    """What the reference of this component is, in a line."""
    found = FUNCTIONS.get(name) or MODULES.get(name)
    return found.how if found else "numpyml's own code in extended precision, which PyTorch's float64 must confirm"
