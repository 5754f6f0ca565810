"""Findings: for each error of PyTorch the smallest script, which prints its answer and the true one.

The rows in ``conformance/contracts`` list the answers that each finding affects.
"""
