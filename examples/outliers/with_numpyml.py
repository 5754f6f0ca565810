"""Diabetes with outliers: Huber's loss bounds the gradient of an outlier, squared error does not."""

import argparse

import numpy as np
import task

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers

LOSSES = {"MSE": losses.MeanSquaredError, "Huber": losses.Huber}


def build(dtype=np.float32):
    return model.Sequential(
        layers.Dense(10, 32, dtype=dtype),
        activations.ReLU(),
        layers.Dense(32, 1, dtype=dtype),
    )


def train(net, data, loss):
    """The loss of every step."""
    loss_fn = LOSSES[loss]()
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.001)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(60):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // 32):
            outputs = net.forward(data.X_train[rows])
            loss = loss_fn.forward(outputs, data.y_train[rows])
            optim.zero_grad()
            net.backward(loss_fn.backward())
            optim.step()
            yield loss.item()


def predict(net, data):
    """Predicted progression of the held-out patients."""
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
