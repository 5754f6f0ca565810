"""Handwritten digits, the dynamic style: a Tensor knows where it came from, and loss.backward() goes back there."""

import argparse

import numpy as np
import task

import numpyml
from numpyml import Tensor
from numpyml.nn import Module, layers, losses, optimizers


class Reader(Module):
    """The same layer again and again, each time on top of what was there."""

    def __init__(self, width, dtype):
        self.read = layers.Dense(64, width, dtype=dtype)
        self.think = layers.Dense(width, width, dtype=dtype)
        self.answer = layers.Dense(width, 10, dtype=dtype)

    def forward(self, x):
        x = np.tanh(self.read(x))
        for _ in range(3):
            x = x + np.tanh(self.think(x))
        return self.answer(x)


def build(dtype=np.float32):
    return Reader(64, dtype)


def train(net, data):
    """The loss of every step."""
    loss_fn = losses.CrossEntropyWithLogits()
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.001)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(20):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // 32):
            outputs = net(Tensor(data.X_train[rows]))
            loss = loss_fn(outputs, data.y_train[rows])
            optim.zero_grad()
            loss.backward()
            optim.step()
            yield loss.item()


def predict(net, data):
    """Logits of the images held out."""
    net.eval()
    with numpyml.no_grad():
        return net.forward(data.X_test)


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
