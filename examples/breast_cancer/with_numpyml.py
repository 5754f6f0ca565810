"""Breast cancer, 569 tumours by 30 measurements: benign or malignant? Trained on three quarters, tested on the rest."""

import argparse

import numpy as np
import task

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers


def build(dtype=np.float32):
    return model.Sequential(
        layers.Dense(30, 32, dtype=dtype),
        activations.ReLU(),
        layers.Dropout(0.2),
        layers.Dense(32, 1, dtype=dtype),
    )


def train(net, data):
    """The loss of every step."""
    loss_fn = losses.BinaryCrossEntropyWithLogits()
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.001, weight_decay=0.03)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(80):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // 32):
            outputs = net.forward(data.X_train[rows])
            loss = loss_fn.forward(outputs, data.y_train[rows])
            optim.zero_grad()
            net.backward(loss_fn.backward())
            optim.step()
            yield loss.item()


def predict(net, data):
    """Logits of the held-out tumours."""
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
