"""Describe: a graph in the user's names, node by node or as arrays."""
