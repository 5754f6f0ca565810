"""The derivatives of NumPy's functions, one file per subject; each row is below its pullback.

:mod:`numpyml.autograd.table` explains how to read a row. Importing this package completes the table.
"""

from numpyml.autograd.derivatives import elementwise as elementwise
from numpyml.autograd.derivatives import gradientless as gradientless
from numpyml.autograd.derivatives import indexing as indexing
from numpyml.autograd.derivatives import joining as joining
from numpyml.autograd.derivatives import linalg as linalg
from numpyml.autograd.derivatives import products as products
from numpyml.autograd.derivatives import reductions as reductions
from numpyml.autograd.derivatives import shapes as shapes
from numpyml.autograd.table import COMPOSITES as COMPOSITES
from numpyml.autograd.table import TABLE as TABLE
