"""Graphs as device kernels read them: index arrays, a table that finds them, and facts that special kernels rely on."""
