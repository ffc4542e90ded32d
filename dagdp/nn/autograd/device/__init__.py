"""Tensors on a CUDA device: the launches of device kernels, and all that `dagdp.nn` asks of torch.cuda."""
