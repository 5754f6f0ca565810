"""CartPole by deep Q-learning (Mnih et al. 2015, doi:10.1038/nature14236)."""

import argparse
from copy import deepcopy

import numpy as np
import task

import numpyml
from numpyml import Tensor
from numpyml.nn import activations, layers, losses, model, optimizers, schedulers


def build(dtype=np.float32):
    """State -> value of each action, left and right."""
    return model.Sequential(
        layers.Dense(4, 128, dtype=dtype),
        activations.ReLU(),
        layers.Dense(128, 128, dtype=dtype),
        activations.ReLU(),
        layers.Dense(128, 2, dtype=dtype),
    )


def best(net, states):
    """The action of largest value in each state."""
    with numpyml.no_grad():
        return net.forward(states).argmax(axis=1)


def train(net, data):
    """The loss of every update."""
    target, top, weights = deepcopy(net), 0, None
    loss_fn = losses.Huber()
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=task.RATE)
    schedule = schedulers.LinearLR(optim, 1.0, 0.0, total_iters=task.STEPS)
    rng = np.random.default_rng(data.seed)
    state, _ = data.cart.reset(seed=data.seed)
    for step in range(task.STEPS):
        action = rng.integers(2) if rng.random() < task.exploration(step) else best(net, state[None])[0]
        after, reward, fallen, cut_off, _ = data.cart.step(int(action))
        data.memory.add(state, action, reward, after, fallen)  # a truncated episode is not terminal
        state = data.cart.reset()[0] if fallen or cut_off else after
        if step % task.SYNC == 0:
            target.load_state_dict(net.state_dict())
        if step < task.WARM_UP:
            continue
        if step % task.CHECK == 0:
            mean = task.returns(lambda states: best(net, states), data.validation, first=20_000).mean()
            if mean > top:
                top, weights = mean, deepcopy(net.state_dict())
            if top == 500:
                break
        states, actions, rewards, after_them, fallen = data.memory.sample(rng)
        with numpyml.no_grad():
            later = target.forward(after_them).max(axis=1)
        expected = rewards + task.DISCOUNT * (1 - fallen) * later
        worth = net(Tensor(states))[np.arange(task.BATCH), actions]
        loss = loss_fn(worth, expected)
        optim.zero_grad()
        loss.backward()
        optim.step()
        schedule.step()
        yield loss.item()
    net.load_state_dict(weights)


def predict(net, data):
    """The returns of the test episodes."""
    return task.returns(lambda states: best(net, states), data.held_out, first=10_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    seed = parser.parse_args().seed
    numpyml.manual_seed(seed)
    data, net = task.data(seed=seed), build()
    *_, loss = train(net, data)
    print(f"loss at the last step {loss:.4f}")
    for name, figure in task.scores(predict(net, data), data).items():
        print(f"{name} {figure:.4f}")
