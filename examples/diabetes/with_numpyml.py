"""Diabetes, 442 patients by 10 measurements: how far does it progress in a year? Every patient is held out once."""

import sys

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
rng = np.random.default_rng(seed)
numpyml.manual_seed(seed)
EPOCHS, BATCH, RATE, DECAY = 60, 32, 0.001, 0.01


def fit(X, y):
    net = model.Sequential(
        layers.Dense(10, 32),
        activations.ReLU(),
        layers.Dropout(0.5),
        layers.Dense(32, 1),
    )
    loss_fn = losses.MeanSquaredError()
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=RATE, weight_decay=DECAY)

    net.train()
    for _epoch in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(X)), len(X) // BATCH):
            outputs = net.forward(X[rows])
            loss_fn.forward(outputs, y[rows])
            optim.zero_grad()
            net.backward(loss_fn.backward())
            optim.step()
    return net.eval()


def predict(net, X):
    with numpyml.no_grad():
        return net.forward(X)


measurements, progression = load_diabetes(return_X_y=True)
progression = progression[:, np.newaxis]
scores = []
for train, test in KFold(5, shuffle=True, random_state=seed).split(measurements):
    inputs = StandardScaler().fit(measurements[train])  # the held-out patients have no say in it
    targets = StandardScaler().fit(progression[train])
    X_train, X_test = (inputs.transform(measurements[rows]).astype(np.float32) for rows in (train, test))
    y_train = targets.transform(progression[train]).astype(np.float32)

    # The same size, rate, batches, epochs and weight decay (alpha is divided by the batch size in there).
    options = {"batch_size": BATCH, "learning_rate_init": RATE, "alpha": DECAY * BATCH, "random_state": seed}
    theirs = MLPRegressor(hidden_layer_sizes=(32,), **options)
    for _epoch in range(EPOCHS):
        theirs.partial_fit(X_train, y_train[:, 0])

    ours = predict(fit(X_train, y_train), X_test)
    both = ours, theirs.predict(X_test)[:, np.newaxis]
    scores.append([r2_score(progression[test], targets.inverse_transform(y)) for y in both])

ours, theirs = np.mean(scores, axis=0)
print(f"diabetes: held-out R2 {ours:.4f}, scikit-learn's MLPRegressor {theirs:.4f}, mean of {len(scores)} folds")
