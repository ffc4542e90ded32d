"""Kernels: recursion.py has the formulas at a node and an edge; cpu/ has the loops over levels and rows."""
