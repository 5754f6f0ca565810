"""Handwritten digits, 1,797 images of 8 x 8 pixels: trained on three quarters, tested on the rest."""

import argparse

import numpy as np
import task

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers


def build(dtype=np.float32):
    return model.Sequential(
        layers.Dense(64, 256, dtype=dtype),
        activations.ReLU(),
        layers.Dropout(0.5),
        layers.Dense(256, 10, dtype=dtype),
    )


def train(net, data):
    """The loss of every step."""
    loss_fn = losses.CrossEntropyWithLogits()
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.001)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(40):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // 32):
            outputs = net.forward(data.X_train[rows])
            loss = loss_fn.forward(outputs, data.y_train[rows])
            optim.zero_grad()
            net.backward(loss_fn.backward())
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
