"""NumPy's functions with a derivative, one row each: what PyTorch writes for it, how it may be called, its formula."""
