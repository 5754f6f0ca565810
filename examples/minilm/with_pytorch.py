"""all-MiniLM-L6-v2: sentence embeddings, and search by their cosines."""

import numpy as np
import task
from pretrained import batches, state_dict

import torch
from torch import from_numpy, nn


class MiniLM(nn.Module):
    """A BERT of six layers, its output averaged over the tokens."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.word = nn.Embedding(30522, 384, dtype=dtype)
        self.position = nn.Embedding(512, 384, dtype=dtype)
        self.kind = nn.Embedding(2, 384, dtype=dtype)
        self.norm = nn.LayerNorm(384, eps=1e-12, dtype=dtype)
        layer = nn.TransformerEncoderLayer(
            384, 12, 1536, activation="gelu", layer_norm_eps=1e-12, batch_first=True, dtype=dtype
        )
        self.encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)

    def forward(self, tokens, padding):
        time, longest = tokens.shape[1], self.position.num_embeddings
        if time > longest:
            raise ValueError(f"expected texts of at most {longest} tokens, got {time}; cut them: batches(longest=...)")
        x = self.norm(self.word(tokens) + self.position.weight[:time] + self.kind.weight[0])
        x = self.encoder(x, None, padding)
        x = (x * ~padding[:, :, None]).sum(1)  # the sum: only the direction matters
        return x / (x * x).sum(1, keepdims=True) ** 0.5


def build(dtype=torch.float32):
    """The pretrained model."""
    net = MiniLM(dtype)
    net.load_state_dict({name: from_numpy(array) for name, array in state_dict().items()})
    return net.eval()


def embed(net, texts, **options):
    """A row of length 1 for each text."""
    points = np.empty((len(texts), 384), net.word.weight.numpy(force=True).dtype)
    with torch.no_grad():
        for rows, tokens, padding in batches(texts, **options):
            points[rows] = net(from_numpy(tokens), from_numpy(padding)).numpy()
    return points


def predict(net, data):
    """Cosines of each query with each text."""
    return embed(net, data.queries) @ embed(net, data.texts).T


if __name__ == "__main__":
    data, net = task.data(), build()
    predictions = predict(net, data)
    for query, cosines in zip(data.queries, predictions, strict=True):
        print(f"\n{query}")
        for i in np.argsort(-cosines)[:3]:
            print(f"  {cosines[i]:6.3f}  {data.texts[i]}")
    for name, figure in task.scores(predictions, data).items():
        print(f"\n{name} {figure}")
