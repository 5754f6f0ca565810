"""Tasks on real data, each solved twice, with numpyml and with PyTorch: ``python -m examples list``."""
