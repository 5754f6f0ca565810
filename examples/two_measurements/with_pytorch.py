"""Breast cancer by two measurements: benign or malignant? The README's loop: PyTorch records the backward itself."""

import argparse

import task

import torch
from torch import from_numpy, nn
from torch import optim as optimizers


def build(dtype=torch.float32):
    """2-25-10-1. No Sigmoid at the end: the loss takes logits, and applies the Sigmoid itself.

    With one more before it, every probability would lie between σ(0) = 0.5 and σ(1) = 0.73: no tumour could ever be
    called malignant, and no prediction be confident.
    """
    return nn.Sequential(
        nn.Linear(2, 25, dtype=dtype),
        nn.ReLU(),
        nn.Linear(25, 10, dtype=dtype),
        nn.ReLU(),
        nn.Linear(10, 1, dtype=dtype),
    )


def train(net, data):
    """The loss of every step; each takes all the data."""
    loss_fn = nn.BCEWithLogitsLoss()
    # the optimizer needs model parameters alone
    optim = optimizers.SGD(net.parameters(), lr=0.1)
    for _epoch in range(1000):
        net.train()
        # Forward pass
        outputs = net(from_numpy(data.X_train))
        loss = loss_fn(outputs, from_numpy(data.y_train))

        # Backward pass
        optim.zero_grad()
        loss.backward()

        # Update parameters
        optim.step()
        yield loss.item()


def predict(net, data):
    """Logits of the held-out tumours."""
    net.eval()
    with torch.no_grad():
        return net(from_numpy(data.X_test)).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    data, net = task.data(seed=seed), build()
    *_, loss = train(net, data)
    print(f"loss at the last step {loss:.4f}")
    for name, figure in task.scores(predict(net, data), data).items():
        print(f"{name} {figure:.4f}")
