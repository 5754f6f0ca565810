"""The losses of a training run with PyTorch."""

from starts import OPTIMIZERS, data, weights

import torch
from torch import from_numpy, nn
from torch import optim as optimizers

torch.set_num_threads(1)  # threads that wait for work would slow NumPy's down


def train(name, start, dtype):
    """The loss at every step."""
    images, digits, batches = data(dtype)
    net = nn.Sequential(
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    ).to(from_numpy(images).dtype)
    net.load_state_dict({key: from_numpy(array) for key, array in weights(start, dtype).items()})
    loss_fn = nn.CrossEntropyLoss()
    options = dict(OPTIMIZERS[name])
    optimizer = getattr(optimizers, name.split(",")[0])
    optim = optimizer(net.parameters(), lr=options.pop("rate"), **options)

    history = []
    for rows in batches:
        outputs = net(from_numpy(images[rows]))
        loss = loss_fn(outputs, from_numpy(digits[rows]))
        optim.zero_grad()
        loss.backward()
        optim.step()
        history.append(loss.item())
    return history
