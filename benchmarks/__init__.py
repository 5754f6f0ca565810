"""Side by side with PyTorch: each framework in a process of its own, alternating, medians, as a ratio."""
