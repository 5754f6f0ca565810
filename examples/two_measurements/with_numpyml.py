"""Breast cancer by two measurements: benign or malignant? The README's loop: the backward is two calls."""

import argparse

import numpy as np
import task

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers


def build(dtype=np.float32):
    """2-25-10-1. No Sigmoid at the end: the loss takes logits, and applies the Sigmoid itself.

    With one more before it, every probability would lie between σ(0) = 0.5 and σ(1) = 0.73: no tumour could ever be
    called malignant, and no prediction be confident.
    """
    return model.Sequential(
        layers.Dense(2, 25, dtype=dtype),
        activations.ReLU(),
        layers.Dense(25, 10, dtype=dtype),
        activations.ReLU(),
        layers.Dense(10, 1, dtype=dtype),
    )


def train(net, data):
    """The loss of every step; each takes all the data."""
    loss_fn = losses.BinaryCrossEntropyWithLogits()
    # the optimizer needs both model parameters and gradients
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    for _epoch in range(1000):
        net.train()
        # Forward pass
        outputs = net.forward(data.X_train)
        loss = loss_fn.forward(outputs, data.y_train)

        # Backward pass
        optim.zero_grad()
        net.backward(loss_fn.backward())

        # Update parameters
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
