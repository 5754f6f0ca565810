"""Handwritten digits, PyTorch's style, which is the dynamic one."""

import argparse

import numpy as np
import task

import torch
from torch import from_numpy, nn
from torch import optim as optimizers


class Reader(nn.Module):
    """One residual layer, applied repeatedly."""

    def __init__(self, width, dtype):
        super().__init__()
        self.first = nn.Linear(64, width, dtype=dtype)
        self.middle = nn.Linear(width, width, dtype=dtype)
        self.last = nn.Linear(width, 10, dtype=dtype)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        for _ in range(3):
            x = x + torch.tanh(self.middle(x))
        return self.last(x)


def build(dtype=torch.float32):
    return Reader(64, dtype)


def train(net, data):
    """The loss of every step."""
    loss_fn = nn.CrossEntropyLoss()
    optim = optimizers.Adam(net.parameters(), lr=0.001)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(20):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // 32):
            outputs = net(from_numpy(data.X_train[rows]))
            loss = loss_fn(outputs, from_numpy(data.y_train[rows]))
            optim.zero_grad()
            loss.backward()
            optim.step()
            yield loss.item()


def predict(net, data):
    """Logits of the held-out images."""
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
