"""Data of many sizes on few graphs: a cache of compiled graphs, padding, and a band for each item."""
