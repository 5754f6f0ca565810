"""Handwritten digits by four optimizers, with PyTorch's."""

import argparse

import task

import torch
from torch import from_numpy, nn
from torch import optim as optimizers


def build(dtype=torch.float32):
    return nn.Sequential(
        nn.Linear(64, 32, dtype=dtype),
        nn.ReLU(),
        nn.Linear(32, 10, dtype=dtype),
    )


def train(net, data, name):
    """The loss of every step."""
    loss_fn = nn.CrossEntropyLoss()
    options = dict(task.OPTIMIZERS[name])
    optimizer = getattr(optimizers, name.split(",")[0])
    optim = optimizer(net.parameters(), lr=options.pop("rate"), **options)
    net.train()
    for rows in data.batches:
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
    for name in task.VARIANTS:
        torch.manual_seed(seed)
        data, net = task.data(seed=seed), build()
        *_, loss = train(net, data, name)
        print(f"{name}: loss at the last step {loss:.4f}")
        for what, figure in task.scores(predict(net, data), data).items():
            print(f"{name}: {what} {figure:.4f}")
