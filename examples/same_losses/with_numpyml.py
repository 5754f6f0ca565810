"""The losses of a training run with numpyml."""

from starts import OPTIMIZERS, data, weights

from numpyml.nn import activations, layers, losses, model, optimizers


def train(name, start, dtype):
    """The loss at every step."""
    images, digits, batches = data(dtype)
    net = model.Sequential(
        layers.Dense(64, 32, dtype=dtype),
        activations.ReLU(),
        layers.Dense(32, 10, dtype=dtype),
    )
    net.load_state_dict(weights(start, dtype))
    loss_fn = losses.CrossEntropyWithLogits()
    options = dict(OPTIMIZERS[name])
    optimizer = getattr(optimizers, name.split(",")[0])
    optim = optimizer(net.parameters(), net.gradients(), learning_rate=options.pop("rate"), **options)

    history = []
    for rows in batches:
        outputs = net.forward(images[rows])
        loss = loss_fn.forward(outputs, digits[rows])
        optim.zero_grad()
        net.backward(loss_fn.backward())
        optim.step()
        history.append(loss.item())
    return history
