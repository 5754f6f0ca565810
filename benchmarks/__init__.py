"""Benchmarks of numpyml and PyTorch: alternating processes, medians, ratios."""
