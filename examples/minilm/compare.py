"""The same pretrained weights in both frameworks: do they give the same embeddings?

Of short texts and long ones, alone and padded in batches, and of what no text should be.
"""

import numpy as np
import with_numpyml
import with_pytorch
from texts import QUERIES, TEXTS

ODD = ["", " ", "?", "naïve café, 東京, Ωmega, 🙂", "word " * 600, " ".join(TEXTS), " ".join(TEXTS * 4), "a", "0" * 300]
ALL = [*TEXTS, *QUERIES, *ODD]

ours, theirs = with_numpyml.load(), with_pytorch.load()
print(f"{len(ALL)} texts, of 2 to 512 tokens: least cosine between numpyml's embedding and PyTorch's")
for size in (1, 8, 32):
    for longest in (256, 512):
        options = {"size": size, "longest": longest}
        a, b = with_numpyml.embed(ours, ALL, **options), with_pytorch.embed(theirs, ALL, **options)
        cosines = (a.astype(np.float64) * b).sum(1)
        print(f"batches of {size:2}, cut off at {longest} tokens {cosines.min():.9f}")
