"""The texts of device kernels: plain Python over addresses and numbers, which never runs as it stands."""
