"""CartPole, a pole to be balanced, learnt by trial: deep Q-learning, Huber's loss, target network, replay buffer."""

from types import SimpleNamespace

import gymnasium
import numpy as np

DATA = "Gymnasium's CartPole-v1, and nothing but what happens in it"
CLAIM = "solved: a mean return of at least 475, of 500, in 100 episodes that start where no training episode did"
STEPS, WARM_UP, EVERY, SYNC = 30_000, 1_000, 2, 250  # in steps of the cart
UPDATES = (STEPS - WARM_UP) // EVERY
BATCH, RATE, DISCOUNT = 64, 1e-3, 0.99


class Memory:
    """A ring of what happened: state, action, reward, the state after it, and whether that was the end."""

    def __init__(self, dtype, size=100_000):
        self.count = 0
        self.rings = [
            np.zeros((size, 4), dtype),
            np.zeros(size, np.int64),
            np.zeros(size, dtype),
            np.zeros((size, 4), dtype),
            np.zeros(size, dtype),
        ]

    def add(self, *happened):
        for ring, value in zip(self.rings, happened, strict=True):
            ring[self.count % len(ring)] = value
        self.count += 1

    def sample(self, rng):
        rows = rng.integers(min(self.count, len(self.rings[0])), size=BATCH)
        return [ring[rows] for ring in self.rings]


def exploration(step):
    """How often the cart is pushed anywhere: from always to every 25th time."""
    return max(0.04, 1 - 0.96 * step / 6_000)


def carts(dtype, count):
    return [gymnasium.wrappers.DtypeObservation(gymnasium.make("CartPole-v1"), dtype) for _ in range(count)]


def data(dtype=np.float32, seed=0):
    """A cart to train with, a memory for it, and carts to be evaluated by."""
    return SimpleNamespace(cart=carts(dtype, 1)[0], memory=Memory(dtype), held_out=carts(dtype, 100), seed=seed)


def returns(choose, data):
    """How many steps each of the carts held out is kept going; ``choose`` maps states (n, 4) to actions (n,)."""
    states = np.stack([cart.reset(seed=10_000 + i)[0] for i, cart in enumerate(data.held_out)])
    rewards, going = np.zeros(len(states)), np.arange(len(states))
    while len(going):
        ended = []
        for i, action in zip(going, choose(states[going]), strict=True):
            states[i], reward, fallen, cut_off, _ = data.held_out[i].step(int(action))
            rewards[i] += reward
            ended.append(fallen or cut_off)
        going = going[~np.array(ended)]
    return rewards


def scores(predictions, data):
    """Figures from the returns of the episodes that were not trained on."""
    return {"mean return of 100 episodes": predictions.mean()}
