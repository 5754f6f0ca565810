"""How the checks speak to a framework. One file each; PyTorch, which all are held to, is one of them."""
