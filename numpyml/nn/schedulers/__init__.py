"""Learning-rate schedules: ``step()``, after each epoch or each batch, sets the rate of every parameter group."""

from numpyml.nn.schedulers.base import Scheduler
from numpyml.nn.schedulers.composed import SequentialLR
from numpyml.nn.schedulers.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from numpyml.nn.schedulers.one_cycle import OneCycleLR
from numpyml.nn.schedulers.plateau import ReduceLROnPlateau
from numpyml.nn.schedulers.steps import ExponentialLR, LambdaLR, LinearLR, MultiStepLR, StepLR

__all__ = [
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR",
    "OneCycleLR", "ReduceLROnPlateau", "Scheduler", "SequentialLR", "StepLR",
]  # fmt: skip
