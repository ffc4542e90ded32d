"""The functions for torch tensors in torch operations: backend="torch"."""
