"""Describing a graph: in the user's names, edge by edge or as arrays."""
