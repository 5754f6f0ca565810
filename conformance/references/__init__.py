"""References: the outputs and gradients of every component, from formulas in NumPy's extended precision.

Nothing here comes from numpyml or PyTorch: values and derivatives are written from their definitions, in forms that are
stable also where float64 has too few digits. An element is accurate to a few units in the last place of a 64-bit
significand; a sum, to a few units of the sum of its terms' magnitudes. So these answers are a thousand times more
accurate than float64, and decide when two frameworks disagree.

Where mathematics leaves a choice (which of two equal numbers is the maximum, the gradient of |x| at 0), where it has no
answer, and where arithmetic meets ∞ or NaN, the choice is PyTorch's.

A contract row has the reference of its component:

    row.reference(operands, options, gys)                       -> outputs, gradients by operand; of a function
    row.reference(options, inputs, parameters, gy, mask)        -> output and gradients by name; of a module

Floating arrays are np.longdouble; integer arrays keep their dtype.
"""

from __future__ import annotations

from conformance.references.kinds import FunctionReference, ModuleReference

__all__ = ["FunctionReference", "ModuleReference"]
