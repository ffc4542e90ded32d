"""The functions for torch tensors on the compiled kernels, below the layers and losses."""
