"""Every size from which on the same numbers are computed in another way.

The code reads them as attributes of this module when it runs, never with ``from ... import``: a test sets them low, so
that small arrays take the path of large ones.
"""

# Sums and products
SUMMED_ROWS = 64  # rows that a product adds one by one; more are added in parts, whose rounding errors grow less
SUMMED_PARTS = 16  # such parts that are added one by one; more are added pairwise
SUMMED_IN_ARRAYS = 256  # rows of each of several arrays: products add them faster than sum
SUMMED_IN_AXIS = 256  # elements along an axis: einsum adds fewer in a third of the time that sum needs
FEW_ROWS = 64  # rows times a large weight, which BLAS would first copy to transpose it
LARGE_WEIGHT = 1 << 15  # elements of such a weight: a smaller one is copied quickly
SCANNED_GRADIENT = 1 << 14  # elements of a gradient: whether it is all zeros is tested, since then nothing is added

# Attention
FEW_QUERIES = 4  # queries: for so few, a copy of K costs more than BLAS gains by it
CACHED_SCORES = 1 << 19  # scores computed at a time: 2¹⁸ and 2²⁰ are as fast; with fewer, call overhead shows

# Elementwise functions
BLOCK_BYTES = 1 << 18  # bytes of a block: the fastest of 64 KiB to 512 KiB where a core has 1 MiB of its own
COMPARED_ZEROS = 1 << 15  # elements compared with an array of as many zeros; a larger one no longer fits the cache
ROW_OF_ZEROS = 256  # elements of a row of zeros, which is broadcast; a shorter row is as slow as a single zero
FEW_FAR = 2048  # elements of a block: a third of what it has beyond these is computed twice before all is computed once

# Losses, parameters and optimizers
CLASSES_LAST = 64  # classes: reductions over so many are fast without a copy that puts the classes first
CHUNK_BYTES = 1 << 18  # bytes of contiguous parameters; a larger parameter gets a chunk of its own
UPDATED_BLOCK = 1 << 16  # elements that an optimizer updates at a time, so that they stay in cache

# Training and prediction
COPIED_STEPS = 16  # steps between two copies of the weights to fall back to: at most 1 % of a step's time
PREDICTED_ROWS = 1024  # rows that an estimator predicts at a time, so that the memory is bounded
