"""Handwritten digits, the dynamic style: Tensors record their history, and loss.backward() follows it."""

import argparse

import numpy as np
import task

import numpyml
from numpyml import Tensor
from numpyml.nn import Module, layers, losses, optimizers


class Reader(Module):
    """One residual layer, applied repeatedly."""

    def __init__(self, width, dtype):
        self.first = layers.Dense(64, width, dtype=dtype)
        self.middle = layers.Dense(width, width, dtype=dtype)
        self.last = layers.Dense(width, 10, dtype=dtype)

    def forward(self, x):
        x = np.tanh(self.first(x))
        for _ in range(3):
            x = x + np.tanh(self.middle(x))
        return self.last(x)


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
    """Logits of the held-out images."""
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
