"""dagdp in PyTorch: layers, and the functions behind `dagdp.dp_*` for tensors. Importing this imports torch."""
