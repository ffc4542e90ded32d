"""Compiled loops over nodes and edges, and the Python that runs them over a batch."""
