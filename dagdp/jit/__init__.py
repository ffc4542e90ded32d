"""How Python becomes kernels: every decision about Numba."""
