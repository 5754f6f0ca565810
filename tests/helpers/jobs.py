"""A training with everything that draws random numbers or keeps a state."""

import sys

import numpy as np

import numpyml
from numpyml.data import ArrayDataset, DataLoader
from numpyml.nn import activations, layers, losses, model, optimizers, schedulers
from numpyml.random import default_generator
from numpyml.training import fit


def line(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3), np.float32)
    return x, (x @ np.array([[1.0], [-2.0], [0.5]], np.float32)).astype(np.float32)


class Job:
    """A model with everything that draws random numbers or keeps a state."""

    def __init__(self, seed=0, *, every="epoch", dropout=0.2, schedule=None, batch_size=8):
        numpyml.manual_seed(seed)
        self.net = model.Sequential(
            layers.Dense(3, 8), activations.ReLU(), layers.Dropout(dropout),
            layers.Dropout(dropout, generator=np.random.default_rng(seed)), layers.Dense(8, 1),
        )  # fmt: skip
        self.optim = optimizers.Adam(self.net.parameters(), self.net.gradients(), learning_rate=0.01)
        self.schedule = (schedule or (lambda o: schedulers.StepLR(o, 2, 0.7)))(self.optim)
        self.loader = DataLoader(
            ArrayDataset(*line()), batch_size, shuffle=True, generator=np.random.default_rng(seed + 1)
        )
        self.every = every

    def fit(self, epochs, **options):
        return fit(
            self.net, losses.MeanSquaredError(), self.optim, self.loader, epochs=epochs, validation=line(20, 1),
            scheduler=self.schedule, scheduler_every=self.every, progress=False, **options,
        )  # fmt: skip

    def everything(self, history):
        """All that the next step depends on, and all figures, as one text."""
        generators = default_generator(), self.loader.generator, self.net[3].generator
        records = [{k: v for k, v in record.items() if k != "seconds"} for record in history]
        with np.printoptions(floatmode="unique", threshold=sys.maxsize):
            return repr((
                self.net.state_dict(), self.optim.state_dict(), self.schedule.state_dict(), records,
                history.best_epoch, [g.bit_generator.state for g in generators],
            ))  # fmt: skip
