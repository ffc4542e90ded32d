"""Sweeps for graphs and operators of which the compiler proved something. Each can be deleted."""
