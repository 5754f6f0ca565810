"""Handwritten digits by four optimizers, with numpyml's."""

import argparse

import numpy as np
import task

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers


def build(dtype=np.float32):
    return model.Sequential(
        layers.Dense(64, 32, dtype=dtype),
        activations.ReLU(),
        layers.Dense(32, 10, dtype=dtype),
    )


def train(net, data, name):
    """The loss of every step."""
    loss_fn = losses.CrossEntropyWithLogits()
    options = dict(task.OPTIMIZERS[name])
    optimizer = getattr(optimizers, name.split(",")[0])
    optim = optimizer(net.parameters(), net.gradients(), learning_rate=options.pop("rate"), **options)
    net.train()
    for rows in data.batches:
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
    for name in task.VARIANTS:
        numpyml.manual_seed(seed)
        data, net = task.data(seed=seed), build()
        *_, loss = train(net, data, name)
        print(f"{name}: loss at the last step {loss:.4f}")
        for what, figure in task.scores(predict(net, data), data).items():
            print(f"{name}: {what} {figure:.4f}")
