"""PyTorch: importing this imports torch."""
