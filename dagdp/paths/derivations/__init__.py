"""Derivations, the paths of graphs with hyperedges: k best, drawn, checked, and the record of results."""
