"""Where PyTorch is wrong: the smallest script for each finding, which prints its answer and the true one.

The rows in ``conformance/contracts`` say which answers of which components each one affects.
"""
