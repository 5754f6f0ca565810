"""NumPy's functions with a derivative, one row each: PyTorch's code, a strategy of calls, and the reference."""
