"""Where PyTorch is wrong: the smallest script for each finding, which prints its answer and the true one.

``conformance/divergences.py`` says which comparisons meet them.
"""
