"""Loss functions: ``loss.forward(outputs, targets)``, then ``loss.backward()``.

Every loss consists of elementwise losses l and a reduction of them:

    'none'  l        'sum'  Σ l        'mean'  Σ l / number of elements (or as the loss documents)

In the formulas x are the outputs, t the targets, g the gradient of the reduced loss (1 unless one is given).
"""

from numpyml.nn.losses.base import REDUCTIONS as REDUCTIONS
from numpyml.nn.losses.base import ElementwiseLoss as ElementwiseLoss
from numpyml.nn.losses.base import Loss
from numpyml.nn.losses.binary_cross_entropy import BinaryCrossEntropyWithLogits
from numpyml.nn.losses.cross_entropy import CrossEntropyWithLogits
from numpyml.nn.losses.regression import Huber, MeanSquaredError

__all__ = ["BinaryCrossEntropyWithLogits", "CrossEntropyWithLogits", "Huber", "Loss", "MeanSquaredError"]
