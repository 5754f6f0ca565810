"""The reference: what every component computes, written a second time, in NumPy's extended precision.

Nothing here comes from numpyml, nor is any of it PyTorch's code: values and derivatives are written down from their
definitions, in a form that is stable everywhere, also where a float64 has run out of digits. An element is right to a
few units in the last place of a 64-bit significand; a sum, to as many of the sum of its terms' magnitudes. So these
answers are a thousand times finer than float64, and arbitrate when two frameworks disagree.

Where mathematics leaves a choice (which of two equal numbers is the maximum, the gradient of |x| at 0), where it has no
answer, and where arithmetic meets ∞ or NaN, the choice is PyTorch's.

A contract row carries the reference of its component:

    row.reference(operands, options, gys)                       -> outputs, gradients by operand; of a function
    row.reference(options, inputs, parameters, gy, mask)        -> output and gradients by name; of a module

Arrays come in and go out as np.longdouble; integer ones stay what they are.
"""

from __future__ import annotations

from conformance.references.kinds import FunctionReference, ModuleReference

__all__ = ["FunctionReference", "ModuleReference"]
