"""CartPole by deep Q-learning, with Huber's loss, a target network and a replay buffer."""

import runpy
from pathlib import Path
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import gymnasium
import numpy as np

DATA = "Gymnasium's CartPole-v1, without any other data"
CLAIM = "solved: a mean return of at least 475, of 500, in 100 episodes from new initial states"
STEPS, WARM_UP, SYNC, CHECK = 30_000, 1_000, 50, 500  # SYNC is small: values propagate one step back per sync
BATCH, RATE, DISCOUNT = 64, 1e-3, 0.99
STATES = np.array([1.2, 1.0, 0.1, 1.0])  # position, velocity, angle, angular velocity: scales to similar size
REWARD = 0.05  # per step: the value of a state is at most 5, closer to the initial outputs than 100


class Memory:
    """Replay buffer: state, action, reward, next state, and whether the episode ended."""

    def __init__(self, dtype, size=100_000):
        self.count = 0
        self.rings = [
            np.zeros((size, 4), dtype),
            np.zeros(size, np.int64),
            np.zeros(size, dtype),
            np.zeros((size, 4), dtype),
            np.zeros(size, dtype),
        ]

    def add(self, *transition):
        for ring, value in zip(self.rings, transition, strict=True):
            ring[self.count % len(ring)] = value
        self.count += 1

    def sample(self, rng):
        rows = rng.integers(min(self.count, len(self.rings[0])), size=BATCH)
        return [ring[rows] for ring in self.rings]


def exploration(step):
    """Probability of a random action, from 1 to 1/25."""
    return max(0.04, 1 - 0.96 * step / 6_000)


def carts(count, dtype):
    def scaled(state):
        return (state / STATES).astype(dtype)

    environments = [gymnasium.make("CartPole-v1") for _ in range(count)]
    return [gymnasium.wrappers.TransformObservation(cart, scaled, cart.observation_space) for cart in environments]


def data(dtype=np.float32, seed=0):
    """A training environment, its replay buffer, environments for early stopping, and others for the report."""
    return SimpleNamespace(
        cart=gymnasium.wrappers.TransformReward(*carts(1, dtype), lambda reward: REWARD * reward),
        memory=Memory(dtype),
        validation=carts(20, dtype),
        held_out=carts(100, dtype),
        seed=seed,
    )


def returns(choose, carts, first):
    """Steps that each pole stays up, at most 500; ``choose`` maps states (n, 4) to actions (n,).

    They start from the seeds ``first``, ``first + 1``, ...
    """
    states = np.stack([cart.reset(seed=first + i)[0] for i, cart in enumerate(carts)])
    steps, going = np.zeros(len(carts)), np.arange(len(carts))
    while len(going):
        ended = []
        for i, action in zip(going, choose(states[going]), strict=True):
            states[i], reward, fallen, cut_off, _ = carts[i].step(int(action))
            steps[i] += reward
            ended.append(fallen or cut_off)
        going = going[~np.array(ended)]
    return steps


def scores(predictions, data):
    """Scores from the returns of the test episodes."""
    return {"mean return of 100 episodes": predictions.mean()}
