"""A training whose parts all have a state."""

import sys

import numpy as np

from numpyml.errors import StateError
from numpyml.nn import activations, layers, losses, model, optimizers
from numpyml.random import default_generator


def net(hidden=6, dtype=np.float32):
    stack = layers.Dense(4, hidden, dtype=dtype), activations.ReLU(), layers.Dropout(0.3), layers.Dense(hidden, 2)
    return model.Sequential(*stack)


def adam(module, **options):
    return optimizers.Adam(module.parameters(), module.gradients(), **{"learning_rate": 0.01, **options})


class Decay:
    """A scheduler as they all are: a state in a dict, and a count."""

    def __init__(self, optimizer):
        self.optimizer, self.count, self.best, self.seen = optimizer, 0, float("inf"), {}

    def step(self):
        self.count += 1
        self.seen[self.count] = ("rate", self.count / 3)
        self.optimizer.param_groups[0]["learning_rate"] *= 0.9

    def state_dict(self):
        return {"count": self.count, "best": self.best, "seen": dict(self.seen)}

    def load_state_dict(self, state):
        if set(state) != {"count", "best", "seen"}:
            raise StateError(f"Decay expected count, best and seen, got {sorted(state)}")
        self.count, self.best, self.seen = state["count"], state["best"], state["seen"]


class Run:
    """A training with everything that has a state."""

    def __init__(self):
        self.net = net()
        self.optimizer = adam(self.net, amsgrad=True)
        self.scheduler = Decay(self.optimizer)
        self.rng = np.random.Generator(np.random.MT19937(7))

    def train(self, steps):
        loss_fn = losses.MeanSquaredError()
        for _ in range(steps):
            x = self.rng.standard_normal((5, 4), np.float32)
            loss_fn.forward(self.net.forward(x), x[:, :2])
            self.optimizer.zero_grad()
            self.net.backward(loss_fn.backward())
            self.optimizer.step()
            self.scheduler.step()

    def parts(self):
        return {
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "data_order": self.rng,
            "dropout": default_generator(),
        }

    def everything(self):
        """All that a step could change, as one text."""
        with np.printoptions(floatmode="unique", threshold=sys.maxsize):
            states = self.net.state_dict(), self.optimizer.state_dict(), self.scheduler.state_dict()
            return repr((*states, self.rng.bit_generator.state, default_generator().bit_generator.state))
