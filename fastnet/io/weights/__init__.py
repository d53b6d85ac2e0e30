"""Weights of networks that PyTorch and Keras have, too: read into ours, and written of them."""
